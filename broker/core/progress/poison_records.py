"""Records that may have ended the process that decoded them, and how the ledger shows it (holes 24).

A record that ends its reader (a crash in a tokenizer, memory, a loop without end) is read first again in every term. No
process can report it: the process is gone. So after two deaths in a row a term reads with *caution*: each record is
named in the ledger before it is unpacked, and struck off once it is priced. A record that is named when a term
dies is a suspect.

Most deaths have another cause (an eviction, a killed node), so caution is made cheap: records are named in batches, and
one by one only where a batch was named when a term died, or once a record is proven deadly.

Rules:
- A term has died when another owner's claim follows it and it has not said that it left.
- Deaths are in a row when their successors' claims are at most ten minutes apart and no term left between them. The
  positions of the partitions do not matter: a term may commit a good deal before it reads the record that ends it.
- One naming at a time in the whole process, whatever the partitions that are read with caution.
- Each line of a term states anew which records are named; one that it no longer names was read, and is no suspect.
- Caution covers what a dead term can have read: the open records, and as many behind them as its buffer holds.
- Only deaths with one record named *alone* convict it: a batch convicts none of its records.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from headrace.broker.core import bounds
from headrace.broker.core.ticket import Source


@dataclass(frozen=True, slots=True)
class CautiousRead:
    """Rules for reading one partition below the offset `until`.

    Attributes:
        until: From here on no dead term can have read.
        deaths: Number of terms that died while an offset was named alone, by offset.
        crowd: Offsets that were named among others when a term died.
        gaps_known_to: Offsets without a record below this one are counted in `until`.
    """

    until: int
    deaths: Mapping[int, int] = field(default_factory=dict)
    crowd: frozenset[int] = frozenset()
    gaps_known_to: int = 0

    def may_decode(self, offset: int) -> bool:
        """Whether the record may be decoded: not after two terms died while it was named alone."""
        return self.deaths.get(offset, 0) < bounds.DEATHS_BY_DECODING

    def may_take(self, offset: int) -> bool:
        """Whether the record may be taken: not after a third term died without decoding it; unpacking it is deadly."""
        return self.deaths.get(offset, 0) < bounds.DEATHS_BY_TAKING

    def is_suspect(self, offset: int) -> bool:
        """Whether a term died while the record was named, alone or among others."""
        return offset in self.deaths or offset in self.crowd

    def passing(self, offsets: range, records: Collection[int] = ()) -> "CautiousRead":
        """Return the rules once it is known which of these offsets hold records; the others hold none, or lost ones.

        What a term reads ahead is bounded in records, so a dead one may have read further by each offset without one.
        Offsets that are passed again, after a rewind, count once.
        """
        begin = max(offsets.start, self.gaps_known_to)
        if offsets.stop <= begin:
            return self
        gaps = offsets.stop - begin - sum(begin <= offset < offsets.stop for offset in records)
        return replace(self, until=self.until + gaps, gaps_known_to=offsets.stop)

    def together(self, offsets: Sequence[int]) -> Sequence[int]:
        """Return which of the next records may be named together; at least the first.

        A suspect is named alone. So is any record beside one that is proven deadly: where one stands, others may, and
        each should cost the two deaths that convict it and no third for the batch around it.
        """
        proven = any(deaths >= bounds.DEATHS_BY_DECODING for deaths in self.deaths.values())
        if proven or self.is_suspect(offsets[0]):
            return offsets[:1]
        count = 1
        for offset in offsets[1 : bounds.CAUTIOUS_BATCH_MAX]:  # no generator: compiled, it was found empty
            if offset >= self.until or self.is_suspect(offset):
                break
            count += 1
        return offsets[:count]


class CrashHistory:
    """Terms that died, as the lines of the ledger show. Positions are `topic/partition/offset`."""

    def __init__(self) -> None:
        self._owner = ""
        self._is_over = True  # the term said that it left, or none is known
        self._row = 0  # deaths in a row
        self._died_ms = 0
        self._named: Sequence[str] = ()
        self._alone: dict[str, int] = {}
        self._crowd: set[str] = set()

    @property
    def suspected(self) -> set[str]:
        """The partitions, `topic/number`, with suspects: a claim states their positions, so others clear them too."""
        return {_split(position)[0] for position in (*self._alone, *self._crowd, *self._named)}

    def record_claim(self, owner: str, stands: Iterable[str], at_ms: int) -> None:
        """Record a claim, made at that wall time: each partition stands at one of these positions."""
        if not self._is_over and owner != self._owner:
            self._record_crash(at_ms)
        self._owner, self._is_over, self._named = owner, False, ()
        bases = dict(map(_split, stands))
        for position in (*self._alone, *self._crowd):
            partition, offset = _split(position)
            if offset < bases.get(partition, 0):  # it is done
                self._clear(position)

    def _record_crash(self, at_ms: int) -> None:
        self._row = self._row + 1 if self._row and at_ms - self._died_ms <= bounds.DEATHS_IN_A_ROW_WITHIN_MS else 1
        self._died_ms = at_ms
        if len(self._named) == 1:
            position = self._named[0]
            self._alone[position] = self._alone.get(position, 0) + 1
        else:
            self._crowd.update(self._named)

    def record_step(self, owner: str, named: Sequence[str], at_ms: int) -> None:
        """Record a line of a term: these records are named now."""
        if owner != self._owner or self._is_over:
            self.record_claim(owner, (), at_ms)  # its claim has left the window
        for position in self._named:
            if position not in named:
                self._clear(position)
        self._named = named

    def record_leave(self) -> None:
        """Record that the term said that it left."""
        self._is_over, self._named, self._row = True, (), 0

    def cautious_read(self, partition: str, until: int) -> CautiousRead | None:
        """Return how the maker of the last claim reads `topic/partition`; None: without caution.

        `until`: from there on a dead term cannot have read, unless it has named a record there.
        """
        alone = {
            offset: self._alone[position]
            for position in self._alone
            for named_partition, offset in [_split(position)]
            if named_partition == partition
        }
        crowd = frozenset(
            offset for named_partition, offset in map(_split, self._crowd) if named_partition == partition
        )
        if not alone and not crowd and self._row < bounds.DEATHS_BEFORE_CAUTION:
            return None
        return CautiousRead(max(until, *(offset + 1 for offset in (*alone, *crowd, until - 1))), alone, crowd)

    def _clear(self, position: str) -> None:
        self._alone.pop(position, None)
        self._crowd.discard(position)


class NamedRecord:
    """Records that this term names, and whether the ledger says so yet."""

    def __init__(self) -> None:
        self._named: tuple[Source, ...] = ()
        self._under_way: tuple[Source, ...] = ()
        self._written: tuple[Source, ...] = ()

    def name(self, sources: tuple[Source, ...]) -> None:
        """Set the records that are about to be read; empty: none is."""
        self._named = sources

    @property
    def due(self) -> bool:
        """Whether the next ledger line must name other records than the last one did."""
        return self._named != self._written

    @property
    def are_read(self) -> bool:
        """Whether the ledger names records that are being read now; the line that strikes them off comes next."""
        return bool(self._written) and self._named == self._written

    def is_written(self, sources: tuple[Source, ...]) -> bool:
        """Whether the ledger names exactly these records."""
        return self._written == sources

    def begin(self) -> tuple[Source, ...]:
        """Return the records that the next line names."""
        self._under_way = self._named
        return self._named

    def end(self) -> None:
        """Note that this line is committed."""
        self._written = self._under_way

    def clear(self) -> None:
        """Name nothing any more: nothing is read, and the next claim names no record."""
        self._named = self._under_way = self._written = ()


def _split(position: str) -> tuple[str, int]:
    partition, _, offset = position.rpartition("/")
    return partition, int(offset)
