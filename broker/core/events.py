"""What happened in the world: the only way into the core.

Plain frozen data; the instant at which it happened is the argument beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from broker.core.answers.verdict import Verdict
from broker.core.budget.budget import Checkpoint
from broker.core.commands import SettledEntry, StartedEntry
from broker.core.identity.dedupe import Awaited
from broker.core.identity.pending_cancels import Cancel
from broker.core.pricing.law_identification import Usage
from broker.core.progress.partition_progress import PartitionProgress
from broker.core.ticket import CallNumber, Candidate, Garbage, LanePartition, Source, TicketNumber
from broker.core.value import value


class Setback(Enum):
    """Kind of an error that ended a transaction."""

    UNKNOWN = "unknown"  # Kafka may be away, or another leader there: the transaction may even stand
    REFUSED = "refused"  # for what it contains: it was not committed, and will fail again
    DENIED = "denied"  # for want of a right, of a topic, or by a setting: an operator's error, whatever it contains


@value
class Taken:
    """A record was read from its lane, or from the control topic, and decoded as far as it could be.

    `bytes` is what it weighs when it is written again; `buffer_bytes`, if stated, what it holds of memory: decoded, a
    megabyte may take ten.
    """

    number: TicketNumber
    source: Source
    timestamp_ms: int
    bytes: int
    content: Candidate | Garbage | Cancel
    buffer_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """Nobody can read any more what stood below `offset` of a partition and was not taken.

    `removed` by retention, or else in a batch that cannot be decoded; or `crashed`: whoever unpacked it died.
    """

    number: TicketNumber
    partition: LanePartition
    offset: int
    removed: bool = True
    crashed: bool = False


@value
class Answered:
    """A call ended. `bytes` is what its outcome will weigh; 0 if there is none. `usage` is as the answer reports it."""

    call: CallNumber
    verdict: Verdict
    bytes: int
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The door did not start a call, because leadership was no longer trusted: nothing was sent."""

    call: CallNumber


@dataclass(frozen=True, slots=True)
class Crashed:
    """An exception in our own code ended a call: what the server did is unknown, and the request may be to blame."""

    call: CallNumber


@dataclass(frozen=True, slots=True)
class Renewed:
    """Redis confirmed the lease to a renewal sent at that instant; None: it has not answered the last one."""

    sent_at_ms: int | None


@dataclass(frozen=True, slots=True)
class LedgerRead:
    """A line of the ledger was read: fates, attempts, waiting cancels and copies, ours or another leader's.

    `term` and `owner` are those of the leader that wrote it. `left`: its term ends in peace. `named`: it names a record
    that is about to be read with caution.
    """

    at_ms: int
    settled: Sequence[SettledEntry]
    started: Sequence[StartedEntry]
    levels: Sequence[Checkpoint]
    cancels: Sequence[Cancel] = ()
    ended: Sequence[StartedEntry] = ()
    term: int = 0
    owner: str = ""
    left: bool = False
    named: bool = False
    awaited: Sequence[Awaited] = ()


@dataclass(frozen=True, slots=True)
class Promoted:
    """The claim stands and all maps are read: lead, with this progress.

    `ledger_is_new`: the ledger that told what is known here is gone.
    """

    progress: Mapping[LanePartition, PartitionProgress]
    term: int
    wall_ms: int
    ledger_is_new: bool = False


@dataclass(frozen=True, slots=True)
class PartitionFound:
    """A lane has a new partition; it starts at its first record."""

    partition: LanePartition
    progress: PartitionProgress


@dataclass(frozen=True, slots=True)
class Suspected:
    """These records are about to be read with caution: the ledger must name them first. Empty: they have been read."""

    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Committed:
    """A batch's commit returned: final.

    `crashed`: a record of these tickets could not be made; they were published, and stand in the ledger, as Failed.
    """

    serial: int
    begun_at_ms: int
    crashed: frozenset[TicketNumber] = frozenset()


@dataclass(frozen=True, slots=True)
class Suspended:
    """The producer is gone and its last transaction unknown: admit nothing, keep everything."""

    setback: Setback = Setback.UNKNOWN


@dataclass(frozen=True, slots=True)
class StoodBy:
    """Leadership is somebody else's: nothing in memory will be published."""


@dataclass(frozen=True, slots=True)
class Draining:
    """The process leaves: admit only what should end before that instant."""

    until_ms: int


Event = (
    Taken
    | Lost
    | Answered
    | Refused
    | Crashed
    | Renewed
    | LedgerRead
    | Promoted
    | PartitionFound
    | Suspected
    | Committed
    | Suspended
    | StoodBy
    | Draining
)
