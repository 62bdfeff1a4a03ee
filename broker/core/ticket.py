"""Tickets: what the core knows of a request (ids, cost, deadline, state; never the prompt).

A ticket exists from the instant a record is taken until the transaction that settles it has committed. Records that
need no call (duplicates, garbage) get one too, so that every record taken has an owner in memory.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple, NewType

from headrace.broker.core.identity.dedupe import Identity
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.value import value

TicketNumber = NewType("TicketNumber", int)
CallNumber = NewType("CallNumber", int)

CONTROL: Final = "control"
"""Takes the place of a lane's name for records of the control topic; no lane may have this name."""


class LanePartition(NamedTuple):
    """One partition of one lane's topic; a tuple because it is a frequent key, and a tuple's hash is cheap."""

    lane: str
    number: int


@value
class Source:
    """Position of a record in Kafka."""

    partition: LanePartition
    offset: int


class ModelTier(NamedTuple):
    """A service tier of one model, by the producers' own words; `tier` is empty where a request names none."""

    model: str
    tier: str


Rank = tuple[int, int, "Ticket"]
"""A ticket's place in its queue: by deadline, then by serial number of arrival, which is unique within a queue."""


@value
class Candidate:
    """A record that could be decoded, priced and attributed to a limit.

    Attributes:
        identity: Hash of the id, run, fingerprint.
        attempt: 0 for a first submission; for a request that was parked, the number of its next attempt, from 1.
        failures: Attempts before it was parked that count towards `attempts_max`; throttled ones do not.
        model: The model asked for.
        limit: Name of the limit its charge is taken from.
        prices: Tokens the limit may take for one call, by each law that may hold.
        deadline_ms: Instant on the core's clock after which the answer is no longer wanted.
        refusal: Why it must not be called at all (`reason`, sentence), or None.
        tenant: The tenant it belongs to; empty if it belongs to none.
        order: Hash of its ordering key; empty if it has none.
        name: Its id, which the ledger must contain for a parked request.
        tenant_mark: Hash of its tenant, or of having none, which a cancel may name; empty: not known.
        tier: The service tier that it asks for; empty if it names none.
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
    tier: str = ""

    @property
    def model_tier(self) -> ModelTier:
        """The model and the service tier that it asks for."""
        return ModelTier(self.model, self.tier)

    @property
    def calls_before(self) -> int:
        """HTTP calls made for it before this record was written."""
        return self.attempt - 1 if self.attempt else 0

    def apart(self, identity: Identity) -> "Candidate":
        """Return a copy under a substitute identity, as a first submission; it fails, and is never called."""
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

    def with_attempts(self, attempt: int, failures: int) -> "Candidate":
        """Return a copy with other numbers of its next attempt and of earlier failures."""
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
            self.tier,
        )


@dataclass(frozen=True, slots=True)
class Garbage:
    """A record that could not be decoded.

    Attributes:
        identity: Present if an id could be read; its fingerprint is then one of the raw bytes.
        sentence: What is wrong with it, without its content.
        reason: Of its dead letter, and of its outcome if it has one.
        offsets: All offsets that it stands for, if several records were lost or cannot be told apart.
        attempt: As in Candidate, if headers state it although the body was not read.
    """

    identity: Identity | None
    sentence: str
    reason: str = "undecodable"
    offsets: range | None = None
    attempt: int = 0

    def is_copy_of(self, parked: Identity) -> bool:
        """Whether its headers, or the part that could be read, prove it to be the copy of that parked request.

        It must have the fingerprint of the content, or every producer could fail a parked request by its id. A copy
        without one, from a release that stated none, becomes a dead letter, and the parked request fails as overdue.
        """
        own = self.identity
        return own is not None and own.run == parked.run and own.fingerprint == parked.fingerprint

    @classmethod
    def lost(cls, offsets: range, *, removed: bool, crashed: bool = False) -> "Garbage":
        """Describe records that can no longer be read: removed by retention, in a corrupt batch, or deadly to read."""
        whole = f"Offsets {offsets.start} to {offsets.stop - 1}"
        if crashed:
            return cls(None, f"{whole} ended every process that took them.", "crashed", offsets)
        if removed:
            return cls(None, f"{whole} were removed by retention before they were taken.", "lost_by_retention", offsets)
        return cls(None, f"{whole} stand in a batch that cannot be decoded.", offsets=offsets)


class State(Enum):
    """State of a ticket; `Ticket.move` alone changes it, along `TRANSITIONS`."""

    WAITING = "waiting"  # in its lane, or asleep until a retry
    CALLING = "calling"  # one HTTP call in flight
    JOINED = "joined"  # a duplicate; triaged again when the first of its identity settles
    SETTLED = "settled"  # decided; in memory until a commit returns


WAITING: Final = State.WAITING  # frequently used members as module names: cheaper before Python 3.12
CALLING: Final = State.CALLING
SETTLED: Final = State.SETTLED

TRANSITIONS: Final = {
    WAITING: frozenset({CALLING, State.JOINED, SETTLED}),  # called; found to be a duplicate; decided without a call
    CALLING: frozenset({WAITING, SETTLED}),  # to be tried again, or not sent; decided, withdrawn or evicted
    State.JOINED: frozenset({WAITING, SETTLED}),  # triaged again; withdrawn or evicted
    SETTLED: frozenset({SETTLED}),  # decided otherwise before its commit
}
"""Every change of a ticket's state, by the state before it."""


@dataclass(slots=True)
class Blame:
    """What one request has said of the account, as compared with the calls served of its limit or of all limits.

    Attributes:
        first_ms: The first time that it blamed the account, or the first since it was refuted last; -1: never.
        refuted: How often a call sent after `first_ms` was served; `first_ms` then starts anew.
    """

    first_ms: int = -1
    refuted: int = 0


class Blamed(NamedTuple):
    """What one request has said of the account, by each of the two comparisons.

    Attributes:
        by_limit: As compared with the calls served of its limit.
        by_all: As compared with those of all limits.
    """

    by_limit: Blame
    by_all: Blame


@dataclass(slots=True, eq=False)
class Ticket:
    """One record in the dispatcher's memory.

    Attributes:
        number: Unique in this process.
        source: Its position in Kafka.
        bytes: Its size when it is written again.
        taken_ms: When it was taken.
        content: The record as far as it could be decoded.
        state: See `State`.
        timestamp_ms: The record's timestamp in Kafka.
        cancel: What the record said before it took the place of a parked request's copy.
        queued: Whether a queue holds it; a waiting ticket that sleeps until a retry is in none.
        in_tier_lanes: Whether it waits apart, because its service tier's breaker is open.
        charge: Tokens by the law believed while it waits, or the server's own figure.
        stated: Whether `charge` is the server's own figure.
        calls: HTTP calls made in this process.
        failures: Attempts that count towards `attempts_max`.
        blames: If its answers have blamed the account: what they have said.
        held_bytes: Size of its answer in memory.
        rank: Its place in the queue that holds it, if any.
        late: Whether that is the queue of requests that will probably not be answered in time.
        least: The least that its call takes, as of the last examination of that queue.
        called_ms: When it was last called.
        buffer_bytes: Its share of its lane's buffer; the same as `bytes` unless stated.
        turn: Its place among the requests of its ordering key.
        lane_order: Its lane's place in the order of preference.
        contested: If its id belongs to another request, the content as it was sent; `candidate` then has a substitute
            identity.
        candidate: The content, if that is a request; unset otherwise.
    """

    number: TicketNumber
    source: Source
    bytes: int
    taken_ms: int
    content: Candidate | Garbage | CancelRecord
    state: State = WAITING
    timestamp_ms: int = -1
    cancel: CancelRecord | None = None
    queued: bool = False
    in_tier_lanes: bool = False
    charge: int = 0
    stated: bool = False
    calls: int = 0
    failures: int = 0
    blames: Blamed | None = field(default=None, repr=False)
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

    def move(self, to: State) -> None:
        """Change the state along `TRANSITIONS`.

        Raises:
            AssertionError: There is no such transition: a defect of the caller.
        """
        assert to in TRANSITIONS[self.state], f"a ticket that is {self.state.value} never becomes {to.value}"
        self.state = to

    def set_candidate(self, candidate: Candidate) -> None:
        """Make this ticket a request."""
        self.content = self.candidate = candidate

    def fresh_copy(self) -> "Ticket":
        """Return a ticket for the same record, as if it had just been taken."""
        content = self.content if self.cancel is None else self.cancel
        if self.contested is not None:
            content = self.contested
        again = Ticket(self.number, self.source, self.bytes, self.taken_ms, content, timestamp_ms=self.timestamp_ms)
        again.buffer_bytes = self.buffer_bytes
        return again


def id_hash_of(ticket: Ticket) -> bytes:
    """Return the hash of the id that the ticket refers to; it must be a request or a cancel."""
    return ticket.content.id_hash if isinstance(ticket.content, CancelRecord) else ticket.candidate.identity.id_hash
