"""Records that may have ended the process that decoded them, and how that is told from the ledger (holes 24).

A record that ends whoever reads it (a crash in a tokenizer, memory, a loop without end) is first again in every term.
Which record it is nobody sees: the process is gone. So each claim says where the partitions stand, and a partition that
three terms in a row found at one place, and died, is read with *caution*: one record at a time, named in the ledger
before its bytes are touched, and struck off once it is priced. Who is still named when a term dies is a suspect.

Rules:
- A term has died when another owner's claim follows it and it has not said that it left.
- One record is named at a time in the whole process, whatever the partitions that are read with caution.
- Each line of a term says anew who is named; what it names no more was read, and lived through: it is no suspect.
- Caution ends where the log ended at the promotion: what came later no dead term has read.
- A place where one more term dies under caution is named in the ledger, so the next term is cautious there too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from broker.core.bounds import DEATHS_BEFORE_CAUTION, DEATHS_BY_DECODING, DEATHS_BY_TAKING
from broker.core.ticket import Source


@dataclass(frozen=True, slots=True)
class Caution:
    """How one partition is read: below `until` one at a time. `deaths` are the terms that died of an offset."""

    until: int
    deaths: Mapping[int, int] = field(default_factory=dict)

    def may_decode(self, offset: int) -> bool:
        """False: two terms have died while it was named; nobody decodes it again."""
        return self.deaths.get(offset, 0) < DEATHS_BY_DECODING

    def may_take(self, offset: int) -> bool:
        """False: a term has died of it without decoding it. Not even its batch may be unpacked."""
        return self.deaths.get(offset, 0) < DEATHS_BY_TAKING


class Deaths:
    """What the lines of the ledger tell of terms that died. Positions are `topic/partition/offset`."""

    def __init__(self) -> None:
        self._owner = ""
        self._is_over = True  # the term has left in peace, or none is known
        self._stood: dict[str, int] = {}  # where the last claim found each partition, and how many died there in a row
        self._named: Sequence[str] = ()
        self._suspects: dict[str, int] = {}

    def claimed(self, owner: str, stands: Iterable[str]) -> None:
        """A claim: each partition stands at one of these positions."""
        died = not self._is_over and owner != self._owner
        if died:
            for position in self._named:
                self._suspects[position] = self._suspects.get(position, 0) + 1
        before = {} if self._is_over else self._stood
        self._stood = {position: before[position] + died if position in before else 0 for position in stands}
        self._owner, self._is_over, self._named = owner, False, ()
        bases = dict(map(_split, self._stood))
        for position in list(self._suspects):
            partition, offset = _split(position)
            if offset < bases.get(partition, 0):
                del self._suspects[position]  # it is done

    def stepped(self, owner: str, named: Sequence[str]) -> None:
        """A line of a term: these are named now."""
        if owner != self._owner or self._is_over:
            self.claimed(owner, ())  # its claim has left the window
        for position in self._named:
            if position not in named:
                self._suspects.pop(position, None)
        self._named = named

    def left(self) -> None:
        """The term has ended in peace."""
        self._is_over, self._named = True, ()

    def caution(self, partition: str, until: int) -> Caution | None:
        """How `topic/partition`, whose log ends at `until`, is read by whoever made the last claim."""
        split = ((*_split(position), deaths) for position, deaths in self._suspects.items())
        suspects = {offset: deaths for place, offset, deaths in split if place == partition}
        died_here = max(
            (deaths for position, deaths in self._stood.items() if _split(position)[0] == partition), default=0
        )
        return Caution(until, suspects) if suspects or died_here >= DEATHS_BEFORE_CAUTION else None


class Suspects:
    """Whom this term names, and whether the ledger says so yet. One at a time: else who only stood beside died too."""

    def __init__(self) -> None:
        self._named: Source | None = None
        self._under_way: Source | None = None
        self._written: Source | None = None

    def name(self, source: Source | None) -> None:
        """The record there is about to be read; None: none is."""
        self._named = source

    @property
    def due(self) -> bool:
        """Whether the ledger says something else."""
        return self._named != self._written

    def is_written(self, source: Source | None) -> bool:
        """Whether the ledger names that record; None: whether it names none."""
        return self._written == source

    def begin(self) -> Source | None:
        """Whom the next line names."""
        self._under_way = self._named
        return self._named

    def end(self) -> None:
        """That line is committed."""
        self._written = self._under_way

    def clear(self) -> None:
        """Nobody reads any more; the next claim names nobody."""
        self._named = self._under_way = self._written = None


def _split(position: str) -> tuple[str, int]:
    partition, _, offset = position.rpartition("/")
    return partition, int(offset)
