"""What the core knows of a request: ids, cost, deadline, state; never the prompt.

A ticket exists from the instant a record is taken until the transaction that settles it has committed. Records that
need no call (duplicates, garbage) get one too, so that nothing taken is ever without an owner in memory.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple, NewType

from broker.core.identity.dedupe import Identity
from broker.core.identity.pending_cancels import Cancel
from broker.core.pricing.laws import Prices
from broker.core.value import value

TicketNumber = NewType("TicketNumber", int)
CallNumber = NewType("CallNumber", int)

CONTROL: Final = "control"
"""Stands where a lane's name stands for what is read from the control topic; no lane may be called so."""


class LanePartition(NamedTuple):
    """One partition of one lane's topic; the key of much, so a tuple: its hash costs little."""

    lane: str
    number: int


@value
class Source:
    """Where a record stands in Kafka."""

    partition: LanePartition
    offset: int


Rank = tuple[int, int, "Ticket"]
"""A ticket's place in its line: by deadline, then by serial as they came; no serial comes twice in a line."""


@value
class Candidate:
    """A record that could be decoded, priced and attributed to a limit.

    Attributes:
        identity: Who it is: hash of the id, run, fingerprint.
        attempt: 0 for a first submission; for one that was parked, the number of its next attempt, from 1.
        failures: Attempts before it was parked that count towards `attempts_max`; throttled ones do not.
        model: The model asked for.
        limit: Name of the limit its charge is taken from.
        prices: Tokens the limit may take for one call, by each law that may hold.
        deadline_ms: Instant on the core's clock after which nobody wants the answer.
        refusal: Why it must not be called at all (`reason`, sentence), or None.
        tenant: Whose work it is; the empty word is nobody's in particular.
        order: Hash of its ordering key; empty if it has none.
        name: Its id, which the ledger must know of what is parked.
        tenant_mark: Hash of its tenant, or of having none, which a cancel may name; empty: not known.
    """

    identity: Identity
    attempt: int
    model: str
    limit: str
    prices: Prices
    deadline_ms: int
    refusal: tuple[str, str] | None = None
    failures: int = 0
    tenant: str = ""
    order: bytes = b""
    name: str = ""
    tenant_mark: bytes = b""

    @property
    def calls_before(self) -> int:
        """HTTP calls made for it before this record was written."""
        return self.attempt - 1 if self.attempt else 0

    def apart(self, identity: Identity) -> "Candidate":
        """The same under a substitute identity, as a first submission; it fails, and is never called."""
        return Candidate(
            identity,
            0,
            self.model,
            self.limit,
            self.prices,
            self.deadline_ms,
            self.refusal,
            tenant=self.tenant,
            name=self.name,
            tenant_mark=self.tenant_mark,
        )

    def tried(self, attempt: int, failures: int) -> "Candidate":
        """The same, tried so often before."""
        return Candidate(
            self.identity,
            attempt,
            self.model,
            self.limit,
            self.prices,
            self.deadline_ms,
            self.refusal,
            failures,
            self.tenant,
            self.order,
            self.name,
            self.tenant_mark,
        )


@dataclass(frozen=True, slots=True)
class Garbage:
    """A record that could not be decoded.

    Attributes:
        identity: Present if an id could be read; its fingerprint is then one of the raw bytes.
        sentence: What is wrong with it, without its content.
        reason: Of its dead letter, and of its outcome if it has one.
        offsets: All that it stands for, where more than one record was lost, or none can be told from another.
        attempt: As of a Candidate, where headers say so though the body was not read.
    """

    identity: Identity | None
    sentence: str
    reason: str = "undecodable"
    offsets: range | None = None
    attempt: int = 0

    def is_copy_of(self, parked: Identity) -> bool:
        """Whether it is shown to be the copy of that parked request: by its headers, or as far as it could be read.

        It must have the fingerprint of the content, or every producer could fail a parked request by its id. A copy
        without, from a release that stated none, is a dead letter, and what is parked fails as overdue.
        """
        own = self.identity
        return own is not None and own.run == parked.run and own.fingerprint == parked.fingerprint

    @classmethod
    def lost(cls, offsets: range, *, removed: bool, crashed: bool = False) -> "Garbage":
        """What nobody can read any more: removed by retention, in a batch that is rotten, or the death of who tried."""
        whole = f"Offsets {offsets.start} to {offsets.stop - 1}"
        if crashed:
            return cls(None, f"{whole} ended every process that took them.", "crashed", offsets)
        if removed:
            return cls(None, f"{whole} were removed by retention before they were taken.", "lost_by_retention", offsets)
        return cls(None, f"{whole} stand in a batch that cannot be decoded.", offsets=offsets)


class State(Enum):
    """A ticket's way; only `broker.core.dispatch` moves it."""

    WAITING = "waiting"  # in its lane, or asleep until a retry
    CALLING = "calling"  # one HTTP call in flight
    JOINED = "joined"  # a duplicate; judged again when the first of its identity settles
    SETTLED = "settled"  # decided; in memory until a commit returns


WAITING: Final = State.WAITING  # names of their own for what every ticket is: before Python 3.12 they cost less
CALLING: Final = State.CALLING
SETTLED: Final = State.SETTLED


@dataclass(slots=True, eq=False)
class Ticket:
    """One record in the dispatcher's hands.

    `charge` is that of the law believed while it waits, or the server's own word if `stated`. `failures` counts the
    attempts that count towards `attempts_max`; `calls` every HTTP call made here; `queued` is False while a waiting
    ticket sleeps until a retry. `timestamp_ms` is the record's in Kafka, `cancel` what it said before it came to stand
    in for the copy of a parked request. `bytes` is its weight when it is written again, `buffer_bytes` what it takes of
    its lane's buffer, as much unless stated. `rank` is its place in the line it stands in, if any, `late` whether that
    is the line of those who would probably not be answered in time; `least` what its call takes at least, as of when
    that line last asked. `called_ms` is when it was last called. `turn` is its place among those of its ordering key,
    `lane_order` its lane's in the order of preference.
    `candidate` is the content of one that is a request; no other has it. If its id belongs to another request,
    `candidate` has a substitute identity, and `contested` is the content as it was sent.
    """

    number: TicketNumber
    source: Source
    bytes: int
    taken_ms: int
    content: Candidate | Garbage | Cancel
    state: State = WAITING
    timestamp_ms: int = -1
    cancel: Cancel | None = None
    queued: bool = False
    charge: int = 0
    stated: bool = False
    calls: int = 0
    failures: int = 0
    held_bytes: int = 0
    rank: Rank | None = field(default=None, repr=False)
    late: bool = False
    least: int = 0
    called_ms: int = 0
    buffer_bytes: int = 0
    turn: int = 0
    lane_order: int = 0
    contested: Candidate | None = None
    candidate: Candidate = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.buffer_bytes:
            self.buffer_bytes = self.bytes
        if isinstance(self.content, Candidate):
            self.candidate = self.content

    def becomes(self, candidate: Candidate) -> None:
        """It is a request from now on."""
        self.content = self.candidate = candidate

    def anew(self) -> "Ticket":
        """The same record, as if it had just been taken."""
        content = self.content if self.cancel is None else self.cancel
        if self.contested is not None:
            content = self.contested
        again = Ticket(self.number, self.source, self.bytes, self.taken_ms, content, timestamp_ms=self.timestamp_ms)
        again.buffer_bytes = self.buffer_bytes
        return again


def id_hash_of(ticket: Ticket) -> bytes:
    """The id that it speaks of, for a ticket known to be a request or a cancel."""
    return ticket.content.id_hash if isinstance(ticket.content, Cancel) else ticket.candidate.identity.id_hash
