"""Batches of one partition that were fetched, each unpacked only when a record of it is taken."""

from collections.abc import Sequence

from headrace.broker.adapters.kafka.batches import Pieces, ReadableBatch, unpacked
from headrace.broker.ports import Fetched, UnreadableRange, Upcoming


class FetchedBatches:
    """What one fetch brought.

    Attributes:
        end: The offset behind all that was fetched, batches without records included.
        position: The offset that is taken next.
    """

    def __init__(self, batches: Sequence[ReadableBatch], end: int, position: int) -> None:
        """`position` is where the fetch began."""
        self._batches = batches
        self._begin = position
        self.end = end
        self._at = 0  # the batch that holds the next record
        self._pieces: Pieces | None = None  # of that batch, once it is unpacked
        self.position = position

    def upcoming(self, records_max: int) -> Upcoming | None:
        """Return the offsets of the next records; None if nothing is left. No batch is unpacked.

        The position passes offsets that hold no record.
        """
        batch = self._batch()
        if batch is None:
            self.position = self.end
            return None
        self.position = stop = max(self.position, batch.offsets.start)
        for each in self._batches[self._at :]:
            if not each.is_dense or each.offsets.start > stop or stop - self.position >= records_max:
                break
            stop = each.offsets.stop
        stop = max(self.position + 1, min(stop, self.position + records_max))  # one where compaction has left gaps
        return Upcoming(range(self.position, stop), batch.offsets.stop)

    def take(self, records_max: int) -> list[Fetched] | UnreadableRange:
        """Take the next records, at most so many, or a range that is lost; unpacks the batches they stand in."""
        got: list[Fetched] = []
        while len(got) < records_max and (batch := self._batch()) is not None:
            if self._pieces is None:
                self._pieces = unpacked(batch, max(self.position, batch.offsets.start))
            some = self._pieces.take(records_max - len(got))
            if isinstance(some, UnreadableRange) and got:
                self._pieces.found.appendleft(some)  # for the next call
                break
            self.position = self._pieces.position
            if isinstance(some, UnreadableRange):
                return some
            got += some
        return got

    def move(self, offset: int) -> bool:
        """Go on at another offset; return whether it is within what was fetched."""
        if not self._begin <= offset <= self.end:
            return False
        batch = self._batch()
        if self._pieces is not None and batch is not None and self.position <= offset < batch.offsets.stop:
            self._pieces.skip_below(offset)
        else:
            self._at, self._pieces = 0, None
        self.position = offset
        return True

    def _batch(self) -> ReadableBatch | None:
        """Return the batch that holds the next record; None behind the last."""
        while self._at < len(self._batches) and self._batches[self._at].offsets.stop <= self.position:
            self._at, self._pieces = self._at + 1, None
        return self._batches[self._at] if self._at < len(self._batches) else None
