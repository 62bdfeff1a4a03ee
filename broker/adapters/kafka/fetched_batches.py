"""Batches of one partition that were fetched, each unpacked only when a record of it is taken."""

from collections.abc import Sequence

from headrace.broker.adapters.kafka.batches import Pieces, ReadableBatch, unpacked
from headrace.broker.on_demand_ports import Upcoming
from headrace.broker.ports import Fetched, UnreadableRange


class FetchedBatches:
    """Batches of one fetch, in the order of their offsets.

    Attributes:
        end: The offset behind all that was fetched, batches without records included.
        position: The offset that is taken next.
        unpacked_bytes: Bytes of the records that are held unpacked.
    """

    def __init__(self, batches: Sequence[ReadableBatch], end: int, position: int) -> None:
        """`position` is where the fetch began."""
        self._batches = batches
        self._begin = position
        self.end = end
        self._at = 0  # the batch that holds the next record
        self._pieces: Pieces | None = None  # of that batch, once it is unpacked
        self._announced = -1
        self.unpacked_bytes = 0
        self.position = position

    def upcoming(self, records_max: int) -> Upcoming | None:
        """Return the offsets of the next records; None if nothing is left. No batch is unpacked.

        The position passes offsets that hold no record.
        """
        first = self._batch()
        if first is None:
            self.position = self.end
            return None
        self.position = max(self.position, first.offsets.start)
        offsets = list[int]()
        if not first.is_dense:
            offsets.append(self.position)
        for batch in self._batches[self._at :]:
            if not batch.is_dense or len(offsets) == records_max:
                break
            begin = max(self.position, batch.offsets.start)
            offsets += range(begin, min(batch.offsets.stop, begin + records_max - len(offsets)))
        self._announced = offsets[-1]
        return Upcoming(offsets, first.offsets.stop)

    def take(self, records_max: int) -> list[Fetched] | UnreadableRange:
        """Take the next records, at most `records_max`, or a range that is lost.

        Only batches are unpacked that hold an offset which `upcoming` returned.

        Raises:
            MemoryError, OSError: There is no memory for it now.
        """
        got: list[Fetched] = []
        while len(got) < records_max and (batch := self._batch()) is not None:
            if batch.offsets.start > self._announced:
                break
            if self._pieces is None:
                self._pieces = unpacked(batch, max(self.position, batch.offsets.start))
                self.unpacked_bytes = sum(map(_weight, self._pieces.found))
            some = self._pieces.take(records_max - len(got))
            if isinstance(some, UnreadableRange) and got:
                self._pieces.found.appendleft(some)  # for the next call
                break
            self.position = self._pieces.position
            if isinstance(some, UnreadableRange):
                return some
            got += some
        return got

    def release(self) -> None:
        """Drop what is unpacked; the next `take` unpacks it again."""
        self._pieces, self.unpacked_bytes = None, 0

    def move(self, offset: int) -> bool:
        """Continue at another offset; return whether it is within what was fetched."""
        if not self._begin <= offset <= self.end:
            return False
        batch = self._batch()
        if self._pieces is not None and batch is not None and self.position <= offset < batch.offsets.stop:
            self._pieces.skip_below(offset)
        else:
            self._at = 0
            self.release()
        self.position, self._announced = offset, -1
        return True

    def _batch(self) -> ReadableBatch | None:
        """Return the batch that holds the next record; None behind the last."""
        while self._at < len(self._batches) and self._batches[self._at].offsets.stop <= self.position:
            self._at += 1
            self.release()
        return self._batches[self._at] if self._at < len(self._batches) else None


def _weight(piece: Fetched | UnreadableRange) -> int:
    return 0 if isinstance(piece, UnreadableRange) else piece.record.bytes_max
