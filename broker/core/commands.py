"""Commands: what the core wants done, and the only way out of it.

Plain data that nothing changes, as events are. The shell carries commands out in order and posts their results as
events.
"""

import builtins
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from headrace.broker.core.answers.verdict import Verdict
from headrace.broker.core.budget.budget import Checkpoint
from headrace.broker.core.identity.dedupe import Awaited, Fate, Identity, Overdue
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.progress.partition_progress import Stored
from headrace.broker.core.ticket import CallNumber, Garbage, LanePartition, ModelTier, Source, TicketNumber
from headrace.broker.core.value import value


@value
class Call:
    """Make one HTTP call for a ticket; its tokens are already reserved.

    Attributes:
        call: Unique in this process; names the reservation.
        repeated: An earlier leader had started this very call and died before it ended.
        line: The call begins once `TransactionBuilder.has_written` is true of this number; 0: at once.
    """

    call: CallNumber
    number: TicketNumber
    charge: int
    calls: int
    repeated: bool
    line: int = 0


@dataclass(frozen=True, slots=True)
class Complete:
    """Publish Completed with the answer that the shell holds."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Publish Failed and a dead letter.

    `apart` is 0 for an outcome under the request's own id. If that id belongs to another request, the outcome has a
    substitute id instead, and `apart` says which one: 1 to `triage.APART_MAX`.
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
        """Make the decision for a record that is garbage."""
        return cls(garbage.reason, garbage.sentence, garbage.offsets)


@dataclass(frozen=True, slots=True)
class Discard:
    """Publish nothing: another record of the same identity answers, or has answered.

    `returned`: the record is the copy left behind by a request that was withdrawn while parked; no other will come.
    `overdue`: its request was published as Failed because the copy did not come back in time; the dead letter with its
    content is written now.
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

    cancel: CancelRecord


Decision = Complete | Fail | Park | Withdraw | DeadLetterOnly | Discard | Remember


class Form(Enum):
    """How much of a settlement is written: less, if Kafka refuses the whole.

    See `headrace.broker.core.requests.failing_decisions`.
    """

    WHOLE = "whole"  # everything that belongs to it
    UNCOPIED = "uncopied"  # all but the copy for a topic of the producer's own
    SMALL = "small"  # an outcome without any content; the full dead letter
    BARE = "bare"  # the same outcome, and a dead letter that only names the record
    LETTER = "letter"  # that dead letter alone


WITH_CONTENT = frozenset({Form.WHOLE, Form.UNCOPIED})
"""The forms in which an answer, or the copy of a parked request, is written."""


@value
class Settlement:
    """The decision about one ticket."""

    number: TicketNumber
    decision: Decision
    form: Form = Form.WHOLE


@value
class SettledEntry:
    """A ledger entry: this identity has met its fate, after this many attempts."""

    identity: Identity
    attempt: int
    fate: Fate

    def ends(self, attempt: int) -> bool:
        """Whether that attempt is over.

        The entry that says that a request is parked may be repeated after its copy was called; it ends only attempts up
        to its own.
        """
        return self.attempt >= attempt or self.fate is not Fate.PARKED


@value
class AttemptEntry:
    """A ledger entry: a call for this identity was begun; or has ended, and its request waits for another."""

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
    started: tuple[AttemptEntry, ...]
    levels: tuple[Checkpoint, ...]
    cancels: tuple[CancelRecord, ...] = ()
    suspects: tuple[Source, ...] = ()
    ended: tuple[AttemptEntry, ...] = ()
    awaited: tuple[Awaited, ...] = ()
    overdue: tuple[Overdue, ...] = ()


@dataclass(frozen=True, slots=True)
class Publish:
    """Commit a batch; answer with Committed or Suspended. At most one is under way."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class CancelCall:
    """End a call whose answer will not be published; its charge is kept."""

    call: CallNumber


@dataclass(frozen=True, slots=True)
class BreakerOpened:
    """Report that a breaker has opened, or is now open for another reason.

    Attributes:
        breaker: The limit it belongs to; None: the account's.
        limit: The limit that the call drew on.
        number: The ticket that was called.
        verdict: What its answer meant.
        rest_ms: How long no call is allowed.
        tier: The service tier whose breaker it is; None: it is the limit's or the account's.
    """

    breaker: str | None
    limit: str
    number: TicketNumber
    verdict: Verdict
    rest_ms: int
    tier: ModelTier | None = None


@dataclass(frozen=True, slots=True)
class BreakerClosed:
    """Report that a breaker has closed; `breaker` and `tier` as in BreakerOpened."""

    breaker: str | None
    open_ms: int
    tier: ModelTier | None = None


@dataclass(frozen=True, slots=True)
class Contained:
    """Report that an exception while a ticket was handled (`step`) has failed its request, and nothing else."""

    number: TicketNumber
    step: str
    error: builtins.Exception  # mypyc looks a bare builtin class up among the module's own names, and finds none


@value
class Forget:
    """Drop what is held for a ticket: it is committed, or its record is another leader's now."""

    number: TicketNumber


Command = Call | Publish | CancelCall | BreakerOpened | BreakerClosed | Contained | Forget
