"""What the checkers read: everything that matters for a promise, in order, as the world saw it."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from headrace.broker.core.config import LaneRule, TenantRule
from headrace.broker.core.ticket import Source, TicketNumber
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
        beside: How many others of its ordering key have begun and have no outcome yet, if its lane is serial.
        life: How often the writer had stood by.
        source: Where the record stands.
        tenant: Whose it is.
        limit: Who pays for it.
        charge: What its tenant is charged.
        ended_ms: When it was in flight no more; None: its process died first.
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
    beside: int
    life: int
    source: Source
    tenant: str
    limit: str
    charge: int
    ended_ms: int | None = None
    ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class Lined:
    """A request with an ordering key that a process has taken, and that waits for its call since.

    `calls` were made before by anybody.
    """

    calls: int
    writer: str
    life: int
    source: Source
    order: str


@dataclass(frozen=True, slots=True)
class Turn:
    """The calls of one limit that a leader made at once, and who stands behind them.

    Attributes:
        calm: That neither the limit nor the account was in trouble.
        calls: In order.
        waiting: By lane, who still stands in its line; of tenants without a cap.
        largest: The largest charge of all calls and of all who wait.
    """

    writer: str
    term: int
    limit: str
    calm: bool
    calls: Sequence[CallMade]
    waiting: Mapping[str, AbstractSet[TicketNumber]]
    largest: int


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds of a lane when it has just taken a record of it.

    `weight` are the bytes that it took since it last asked how much room there is.
    """

    process: str
    rule: LaneRule
    count: int
    bytes: int
    weight: int


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
        tenants: What each may take.
        lanes: How they share.
        turns: Every turn with a call, limit by limit.
        lined: Every request with an ordering key, as it was taken.
        held: The most that each process ever held of each lane, in records and in bytes.
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
    tenants: Mapping[str, TenantRule] = field(default_factory=dict)
    lanes: Sequence[LaneRule] = ()
    turns: list[Turn] = field(default_factory=list)
    lined: list[Lined] = field(default_factory=list)
    held: dict[tuple[str, str, str], Held] = field(default_factory=dict)
    lost: set[Source] = field(default_factory=set)
    answered: set[tuple[str, Source]] = field(default_factory=set)
    ended: set[tuple[str, int, Source]] = field(default_factory=set)
    defects: list[str] = field(default_factory=list)
    remains: list[Remains] = field(default_factory=list)
    quiet: bool = False
    silence_ms: int = 0

    def note_held(self, held: Held) -> None:
        """Keep it if it is the most so far."""
        for what, amount in (("records", held.count), ("bytes", held.bytes - held.weight)):
            key = held.process, held.rule.name, what
            known = self.held.get(key)
            if known is None or amount > (known.count if what == "records" else known.bytes - known.weight):
                self.held[key] = held

    @property
    def stored(self) -> list[Transaction]:
        """Every transaction that a reader can see."""
        return self.kafka.stored
