"""Events: what happened in the world, and the only way into the core.

Plain data that nothing changes; the instant at which an event happened is passed beside it. The type checker refuses
every assignment. At run time those made for every request are not frozen (`headrace.broker.core.value`), the others
are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.broker.core.answers.verdict import Verdict
from headrace.broker.core.budget.budget import Checkpoint
from headrace.broker.core.commands import AttemptEntry, SettledEntry
from headrace.broker.core.identity.dedupe import Awaited
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.setback import Setback
from headrace.broker.core.ticket import CallNumber, Candidate, Garbage, LanePartition, Source, TicketNumber
from headrace.broker.core.value import value


@value
class Taken:
    """A record was read from its lane, or from the control topic, and decoded as far as possible.

    `bytes` is its size when it is written again; `buffer_bytes`, if stated, the memory it occupies: decoded, a megabyte
    may take ten.
    """

    number: TicketNumber
    source: Source
    timestamp_ms: int
    bytes: int
    content: Candidate | Garbage | CancelRecord
    buffer_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """Records of a partition below `offset` that were not taken can no longer be read.

    `removed`: by retention; otherwise they are in a batch that cannot be decoded, or (`crashed`) unpacking them killed
    the processes that tried. `first`: the offset of the first of them, if known; between the last record taken and it
    there are none.
    """

    number: TicketNumber
    partition: LanePartition
    offset: int
    removed: bool = True
    crashed: bool = False
    first: int = 0


@value
class Answered:
    """A call ended.

    `bytes` is the size of its outcome; 0 if there is none. `usage` is as the answer reports it.
    """

    call: CallNumber
    verdict: Verdict
    bytes: int
    usage: TokenUsage | None = None


@dataclass(frozen=True, slots=True)
class CallNotSent:
    """The shell did not start a call, because leadership was no longer trusted: nothing was sent."""

    call: CallNumber


@dataclass(frozen=True, slots=True)
class Crashed:
    """An exception in our own code ended a call: what the server did is unknown, and the request may be the cause."""

    call: CallNumber


@dataclass(frozen=True, slots=True)
class Renewed:
    """Redis confirmed the lease to a renewal sent at that instant; None: the last renewal was not answered."""

    sent_at_ms: int | None


@dataclass(frozen=True, slots=True)
class LedgerRead:
    """A line of the ledger was read: fates, attempts, pending cancels and awaited copies, ours or another leader's.

    `term` and `owner` are those of the leader that wrote it. `left`: it ended its term in an orderly way. `named`: the
    line names a record that is about to be read with caution.
    """

    at_ms: int
    settled: Sequence[SettledEntry]
    started: Sequence[AttemptEntry]
    levels: Sequence[Checkpoint]
    cancels: Sequence[CancelRecord] = ()
    ended: Sequence[AttemptEntry] = ()
    term: int = 0
    owner: str = ""
    left: bool = False
    named: bool = False
    awaited: Sequence[Awaited] = ()


@dataclass(frozen=True, slots=True)
class Promoted:
    """The claim stands and all maps are read: lead, with this progress.

    `ledger_is_new`: the ledger from which the present knowledge was read is gone.
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
    """The commit of a batch returned: final.

    `crashed`: tickets for which a record could not be made; they were published, and stand in the ledger, as Failed.
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
    """Leadership has passed to another process: nothing in memory will be published."""


@dataclass(frozen=True, slots=True)
class Draining:
    """The process is about to leave: admit only calls that should end before that instant."""

    until_ms: int


Event = (
    Taken
    | Lost
    | Answered
    | CallNotSent
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
