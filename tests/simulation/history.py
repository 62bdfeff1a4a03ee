"""What the checkers read: everything that matters for a promise, in order, as the world saw it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.core.ticket import Source
from tests.simulation.kafka import Kafka, LaneRecord, Transaction
from tests.simulation.upstream import Ending


@dataclass(slots=True)
class CallMade:
    """One HTTP call and what its writer knew when it decided on it.

    Attributes:
        known: That the identity is answered.
        cancelled: That a cancel waits for it.
        late: That the deadline has passed.
        trusted: That it may act as leader.
        ending: How it went; None if it never reached OpenAI.
    """

    at_ms: int
    writer: str
    name: str
    run: int
    known: bool
    cancelled: bool
    late: bool
    trusted: bool
    ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class Remains:
    """What a process holds at the end."""

    process: str
    held: Mapping[str, int]


@dataclass(slots=True)
class History:
    """One run.

    Attributes:
        kafka: What is stored.
        records: Every record, in the order in which it came.
        calls: Every call that a machine has asked for.
        lost: Records that retention removed before they were done.
        answered: Per writer and ticket's record, when an answer was there that may be published.
        ended: Per writer, its life and ticket's record, what was open and undecided when its cancel was taken.
        defects: What broke on the way: an exception, a machine that wants to be woken at once for ever.
        remains: What each process holds once the world is quiet.
        quiet: Whether it ever was.
        silence_ms: The longest time in which nothing happened at all.
    """

    kafka: Kafka
    records: list[LaneRecord] = field(default_factory=list)
    calls: list[CallMade] = field(default_factory=list)
    lost: set[Source] = field(default_factory=set)
    answered: set[tuple[str, Source]] = field(default_factory=set)
    ended: set[tuple[str, int, Source]] = field(default_factory=set)
    defects: list[str] = field(default_factory=list)
    remains: list[Remains] = field(default_factory=list)
    quiet: bool = False
    silence_ms: int = 0

    @property
    def stored(self) -> list[Transaction]:
        """Every transaction that a reader can see."""
        return self.kafka.stored
