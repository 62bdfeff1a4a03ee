"""Protocols between decisions and the world, and the shapes that pass through them.

One Protocol for each third party behind a door; two modules of ours talk directly and need none. Every Protocol has one
contract suite under `tests/contract` that the real door and its double in `headrace.broker.testing` both pass.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from headrace.broker.core.answers.answer import Answer
from headrace.schemas.delta import Delta, Head
from headrace.schemas.record import Record

# ---------------------------------------------------------------------------------------------------- Redis


@dataclass(frozen=True, slots=True)
class LeaseView:
    """Content of the lease key: its value, or None if it is absent, and its remaining life in ms, if it has one."""

    value: str | None
    pttl_ms: int | None


@dataclass(frozen=True, slots=True)
class LeaseTaken:
    """Reply that the lease is ours now."""


@dataclass(frozen=True, slots=True)
class LeaseMine:
    """Reply that the lease was still ours, or was absent and has been set again."""


@dataclass(frozen=True, slots=True)
class LeaseForeign:
    """Reply that the lease names another holder, or none (None)."""

    value: str | None


class Lease(Protocol):
    """The key that elects.

    Every method raises `headrace.broker.errors.LeaseUnavailable` when Redis does not answer in time.
    """

    async def look(self) -> LeaseView:
        """Read the key without changing it."""

    async def take(self) -> LeaseTaken | LeaseView:
        """Take an absent or released key; otherwise return its content."""

    async def renew(self, *, restore: bool) -> LeaseMine | LeaseForeign:
        """Prolong our own key; `restore` sets an absent one again."""

    async def release(self) -> None:
        """Mark our own key `released`, without expiry, and wake the standby."""

    async def note_ready(self) -> None:
        """Note for two seconds that this process is a standby that reaches all that a promotion needs."""

    async def ready_standbys(self) -> Sequence[str]:
        """Return the tokens of the standbys with such a note."""

    async def server_time_ms(self) -> int:
        """Return the wall clock of Redis, in milliseconds since 1970."""

    async def publish_status(self, status: str) -> None:
        """Leave a live status for `headrace status`."""

    async def read_status(self) -> str | None:
        """Return the live status of the lease's holder, or None if none was left within five seconds."""

    async def close(self) -> None:
        """Close the connection."""


# ---------------------------------------------------------------------------------------------------- Kafka


@dataclass(frozen=True, slots=True)
class TopicPartition:
    """One partition of one topic."""

    topic: str
    partition: int


SENT_BYTES_MAX = 2 * 1024 * 1024
"""No `TransactionLog` sends a larger record, whatever its topic takes."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record and the topic it goes to; `timestamp_ms` is its Kafka timestamp where it is not that of its sending."""

    topic: str
    record: Record
    timestamp_ms: int | None = None


NO_OFFSET = -1
FIRST_RECORD_YOUNG_MS = 86_400_000
"""Where no offset is stored, a partition that begins at 0 with a younger record, or none, is new to its reader."""


@dataclass(frozen=True, slots=True)
class StoredOffset:
    """An offset as the group stores it; NO_OFFSET means there is none."""

    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """A record as it is in Kafka; `timestamp_ms` is its Kafka timestamp."""

    offset: int
    timestamp_ms: int
    record: Record


@dataclass(frozen=True, slots=True)
class UnreadableRange:
    """An unreadable range of offsets: its batch cannot be decoded, or retention removed it.

    `last` is its last offset.
    """

    first: int
    last: int
    removed: bool = False


class TransactionLog(Protocol):
    """A disposable transactional producer. After any error it is dead: close it, make another."""

    async def open(self) -> None:
        """Fence every predecessor of the same transactional id and settle its last transaction.

        Raises:
            headrace.broker.errors.ProducerDead: For any reason; nothing was written.
        """

    async def transact(
        self, records: Sequence[Outgoing], offsets: Mapping[TopicPartition, StoredOffset]
    ) -> Sequence[int]:
        """Commit records and offsets together; returning is final.

        Returns:
            The offset of each record in its partition, -1 where Kafka did not give it.

        Raises:
            headrace.broker.errors.ProducerDead: The outcome is unknown.
        """

    async def close(self) -> None:
        """Give up the producer within three seconds, whatever it is doing."""


class OffsetStore(Protocol):
    """Stored offsets of the dispatcher's or retrier's group."""

    async def read(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, StoredOffset]:
        """Read all of them; a partial answer of the server is retried, never returned."""


class LaneLog(Protocol):
    """Records of one lane.

    Attributes:
        topic_id: Of the topic that `partitions` found last: another topic of the same name, made later, has another id.
            None before that, and where the server does not say.
    """

    @property
    def topic_id(self) -> str | None: ...  # noqa: D102  # see above

    async def partitions(self) -> list[int]:
        """Return the lane's partitions, ascending.

        Raises:
            headrace.broker.errors.MissingTopic: The lane has no topic.
        """

    async def bounds(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Return log start and log end of each partition."""

    async def first_timestamp_ms(self, partition: int) -> int | None:
        """Return the Kafka timestamp of the first record, or None if there is none."""

    async def timestamps_ms(self, offsets: Mapping[int, int]) -> dict[int, int]:
        """Return the Kafka timestamps of the records at these offsets, one per partition, without missing records."""

    async def start(self, positions: Mapping[int, int]) -> None:
        """Read these partitions from these offsets on; replaces what was read before."""

    async def wait(self, partitions: Sequence[int], timeout_ms: int) -> None:
        """Return when one of the partitions may have a record, or after the timeout."""

    async def take(self, partition: int, records_max: int) -> Sequence[Fetched] | UnreadableRange:
        """Return at most that many of the records of one partition that have arrived; empty if there are none."""

    def rewind(self, partition: int, offset: int) -> None:
        """Read on from that offset."""

    def position(self, partition: int) -> int:
        """Return the offset from which `take` continues; it may have passed markers and aborted records."""

    def is_at_end(self, partition: int) -> bool:
        """Whether `take` would find nothing, by what is known here; Kafka is not asked."""

    async def close(self) -> None:
        """Close the connection."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One record of the ledger; `at_ms` is the wall clock at its append."""

    offset: int
    at_ms: int
    value: bytes


class ChunkLog(Protocol):
    """Pieces of streamed answers on their way to readers, best effort: nothing waits for them.

    Attributes:
        dropped: Number of chunks given up: Kafka was away or too slow, or would not take them.
    """

    dropped: int

    def prepare(self) -> None:
        """Connect in advance, since something will be sent soon. Never waits and never raises."""

    def send(self, record: Record) -> None:
        """Hand one over, in the order of the calls. Never waits and never raises."""

    async def close(self) -> None:
        """Deliver what is on its way if Kafka takes it within half a second; the rest is dropped."""


@dataclass(frozen=True, slots=True)
class ReplyTopic:
    """Present state of a producer's own topic.

    Attributes:
        bytes_max: The heaviest record it takes, as far as it says.
        trouble: Why nothing can be written there, such as `does not exist`; empty if something can.
    """

    bytes_max: int
    trouble: str = ""


class ReplyTopics(Protocol):
    """Inspection of topics that others create and delete. Never creates one by asking."""

    async def look(self, topics: Sequence[str]) -> Mapping[str, ReplyTopic]:
        """Return the present state of each topic.

        Raises:
            headrace.broker.errors.LogUnavailable: Kafka does not answer within a second.
        """

    async def close(self) -> None:
        """Close the connection."""


class Coordinators(Protocol):
    """Kafka's two coordinators of one process: of its transactional id and of its offsets group."""

    async def check(self) -> None:
        """Ask both, so that a started producer and stored offsets can be counted on. It fences no producer.

        Raises:
            headrace.broker.errors.LogUnavailable: One of them does not answer within a second and a half.
        """

    async def close(self) -> None:
        """Close the connections."""


@dataclass(frozen=True, slots=True)
class LedgerStart:
    """Start of a reading of the ledger.

    Attributes:
        from_ms: Every record not older than this wall time is read.
        is_first: So is every other record that the ledger still holds.
        removed: Retention has removed records.
        end: The offset behind the last record.
    """

    from_ms: int
    is_first: bool
    removed: bool
    end: int


class LedgerLog(Protocol):
    """The leader's own topic, read in order."""

    @property
    def topic_id(self) -> str | None:
        """Id that distinguishes the topic from all others that ever had its name; None where Kafka does not say.

        `open` looks it up, and so does `at_end` every ten seconds.
        """

    async def open(self, from_wall_ms: int, *, before_last_ms: int | None = None) -> LedgerStart:
        """Start at the first record not older than that, or than `before_last_ms` before the last row if given."""

    def seek(self, offset: int) -> None:
        """Read on from that offset, whether or not there is a record."""

    async def read(self, timeout_ms: int) -> Sequence[LedgerRow]:
        """Return the next committed rows; empty after the timeout.

        Raises:
            headrace.broker.errors.PositionGone: Retention has removed what comes next; `open` again.
            headrace.broker.errors.LogUnavailable: Kafka answers with another error.
        """

    async def at_end(self) -> bool:
        """Whether every committed row has been returned by `read`."""

    async def close(self) -> None:
        """Close the connection."""


@dataclass(frozen=True, slots=True)
class RetryDoors:
    """Doors of the retrier: `failures` is read in order, `again` at any offset, `lanes` give their bounds."""

    failures: LaneLog
    again: LaneLog
    lanes: Mapping[str, LaneLog]
    offsets: OffsetStore
    make_producer: Callable[[], TransactionLog]


# ---------------------------------------------------------------------------------------------------- OpenAI


@dataclass(frozen=True, slots=True)
class UpstreamReply:
    """Reply of the upstream: the answer as the core reads it and, if it was successful, the whole body as text.

    `too_large`: instead of a body, the number of its bytes that had come when no outcome could have carried it any
    more.
    """

    answer: Answer
    body: str | None
    too_large: int | None = None


class UpstreamApi(Protocol):
    """OpenAI, or any server that speaks its protocol."""

    async def call(
        self,
        endpoint: str,
        body: Mapping[str, object],
        client_request_id: str,
        on_delta: Callable[[Delta], None] | None = None,
        *,
        on_head: Callable[[Head], None] | None = None,
    ) -> UpstreamReply:
        """Make one attempt, never more. Raises nothing but CancelledError: a failure is an answer without a status.

        With `on_delta` the answer is streamed: `on_delta` receives each delta as it comes, and the reply is the
        assembled answer, as it would be without. A stream that breaks off is no answer, whatever deltas it has sent.
        `on_head` receives what the stream says of its answer beside them, before the delta that it belongs to.
        """

    async def models(self) -> UpstreamReply:
        """Ask once for the list of models, which costs no tokens. Raises nothing but CancelledError, as `call`."""

    async def close(self) -> None:
        """Close all connections."""


class TokenCounter(Protocol):
    """Tokenizer that needs no network."""

    def count(self, model: str, text: str) -> int | None:
        """Count the tokens of a text; None if the tokenizer cannot: price it by bytes then."""
