"""What the core wants done: the only way out of it.

Plain frozen data. The shell carries commands out in order and posts what came of them as events.
"""

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from broker.core.answers.verdict import Verdict
from broker.core.budget.budget import Checkpoint
from broker.core.identity.dedupe import Awaited, Fate, Identity, Overdue
from broker.core.identity.pending_cancels import Cancel
from broker.core.progress.partition_progress import Stored
from broker.core.ticket import CallNumber, Garbage, LanePartition, Source, TicketNumber
from broker.core.value import value


@value
class Call:
    """Make one HTTP call for a ticket; the money is already reserved.

    Attributes:
        call: Unique in this process; names the reservation.
        repeated: A leader before us had started this very call and died with it.
        line: The call begins once `Batches.tells_of` this; 0: at once.
    """

    call: CallNumber
    number: TicketNumber
    charge: int
    calls: int
    repeated: bool
    line: int = 0


@dataclass(frozen=True, slots=True)
class Complete:
    """Publish Completed with the answer the shell holds."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Publish Failed and a dead letter.

    `apart` is 0 for an outcome under the request's own id. If that id belongs to another request, the outcome has a
    substitute id instead, and `apart` says which one: 1 to `reception.APART_MAX`.
    """

    reason: str
    sentence: str
    apart: int = 0


@dataclass(frozen=True, slots=True)
class Park:
    """Publish RetryableFailure; the retrier puts the request back at `not_before_ms` (core clock).

    Attributes:
        attempts: HTTP calls made so far; 0 if none was.
        failures: Those that count towards `attempts_max`.
    """

    kind: str
    sentence: str
    not_before_ms: int
    attempts: int
    failures: int


@dataclass(frozen=True, slots=True)
class DeadLetterOnly:
    """Publish a dead letter only: no outcome belongs to this record. `lost`: it stands for all of these offsets."""

    reason: str
    sentence: str
    lost: range | None = None

    @classmethod
    def of(cls, garbage: Garbage) -> "DeadLetterOnly":
        """For the reason that it is garbage."""
        return cls(garbage.reason, garbage.sentence, garbage.offsets)


@dataclass(frozen=True, slots=True)
class Discard:
    """Publish nothing: another record of the same identity answers, or has answered.

    `returned`: it is the copy that a request withdrawn while parked has left behind; no other will come. `overdue`: of
    one that was Failed since its copy did not come back in time; the dead letter with its content is written now.
    """

    returned: bool = False
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Publish Failed (`cancelled`) for a parked request, whose content is not here; its copy is still to come back.

    `of_tenant`: it is known to be of the tenant that the cancel names.
    """

    run: int
    attempts: int
    sentence: str
    of_tenant: bool = False


@dataclass(frozen=True, slots=True)
class Remember:
    """Publish nothing: the ledger keeps this cancel until its request comes."""

    cancel: Cancel


Decision = Complete | Fail | Park | Withdraw | DeadLetterOnly | Discard | Remember


class Form(Enum):
    """How much of a settlement is written: less, where Kafka refuses the whole.

    See `broker.core.requests.failing_decisions`.
    """

    WHOLE = "whole"  # everything that belongs to it
    UNCOPIED = "uncopied"  # all but the copy for a topic of the producer's own
    SMALL = "small"  # an outcome without any content; the dead letter as ever
    BARE = "bare"  # and a dead letter that names the record only
    LETTER = "letter"  # that dead letter alone


WITH_CONTENT = frozenset({Form.WHOLE, Form.UNCOPIED})
"""The forms in which an answer, or the copy of a parked request, is written."""


@value
class Settlement:
    """What becomes of one ticket."""

    number: TicketNumber
    decision: Decision
    form: Form = Form.WHOLE


@value
class SettledEntry:
    """A line for the ledger: this identity has met its fate, after so many attempts."""

    identity: Identity
    attempt: int
    fate: Fate

    def ends(self, attempt: int) -> bool:
        """Whether that attempt is over. That a request is parked is said again also once its copy is called."""
        return self.attempt >= attempt or self.fate is not Fate.PARKED


@value
class StartedEntry:
    """A line for the ledger: a call for this identity was begun; or has ended, and its request waits for another."""

    identity: Identity
    attempt: int


@dataclass(frozen=True, slots=True)
class Batch:
    """One transaction: outcomes, progress and a ledger record, all or nothing.

    `overdue` are parked requests to be published as Failed (`deadline_exceeded`), each with a dead letter; their fates
    are among `settled`. `awaited` is what the ledger says of copies that are on their way.
    """

    serial: int
    settlements: tuple[Settlement, ...]
    offsets: Mapping[LanePartition, Stored]
    settled: tuple[SettledEntry, ...]
    started: tuple[StartedEntry, ...]
    levels: tuple[Checkpoint, ...]
    cancels: tuple[Cancel, ...] = ()
    suspects: tuple[Source, ...] = ()
    ended: tuple[StartedEntry, ...] = ()
    awaited: tuple[Awaited, ...] = ()
    overdue: tuple[Overdue, ...] = ()


@dataclass(frozen=True, slots=True)
class Publish:
    """Commit a batch; answer with Committed or Suspended. At most one is under way."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class CancelCall:
    """End a call whose answer nobody will publish; its charge is kept."""

    call: CallNumber


@dataclass(frozen=True, slots=True)
class BreakerOpened:
    """Tell people: a breaker has opened, or is open for another reason now.

    Attributes:
        breaker: The limit whose it is; None: the account's.
        limit: The limit that the call drew on.
        number: Whose call it was.
        verdict: What its answer meant.
        rest_ms: How long nobody may call.
    """

    breaker: str | None
    limit: str
    number: TicketNumber
    verdict: Verdict
    rest_ms: int


@dataclass(frozen=True, slots=True)
class BreakerClosed:
    """Tell people: a breaker has closed; `breaker` as in Tripped."""

    breaker: str | None
    open_ms: int


@dataclass(frozen=True, slots=True)
class Contained:
    """Tell people: an exception while a ticket was handled (`step`) has failed its request, and nothing else."""

    number: TicketNumber
    step: str
    error: builtins.Exception  # mypyc looks a bare builtin class up among the module's own names, and finds none


@value
class Forget:
    """Drop what is held for a ticket: it is committed, or somebody else's now."""

    number: TicketNumber


Command = Call | Publish | CancelCall | BreakerOpened | BreakerClosed | Contained | Forget
