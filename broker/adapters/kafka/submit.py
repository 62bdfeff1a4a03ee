"""Producer of lane records: each is acknowledged by all replicas in sync, or fails with a reason.

aiokafka's idempotent producer never times out a send by itself, but for one whose partition has no leader; and after
one refused batch every later send on that partition fails forever (docs/facts/kafka.md §1.3). So each append has a
deadline of its own, which alone ends its wait, and a producer that met an error is replaced. After a time-out the
record may still arrive while this object lives; submitting the same id again then costs one call.
"""

import asyncio
import contextlib
import math
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from headrace.broker.adapters.kafka.connection import DENIED, KafkaConnection, denied, explain_unreachable, user_of
from headrace.broker.adapters.kafka.rights import seen, why_unseen
from headrace.broker.adapters.kafka.transactions import close_producer
from headrace.broker.client_ports import Appended
from headrace.broker.errors import HeadraceError, InvalidRequest, LogUnavailable, MissingTopic, RightsError, Unreachable
from headrace.schemas.record import Record

_REQUEST_MS = 4_000
_BATCH_BYTES_MAX = 256 * 1024
_RETRY_FIRST_S = 0.1
_RETRY_MAX_S = 2.0
_EXPLAIN_MIN_S = 0.5
_EXPLAIN_MAX_S = 3.0
_EXPLAIN_SHARE = 0.1
"""Time allowed after a time-out to find its cause: a tenth of the timeout within these bounds, since `--timeout` is to
hold. A connection with TLS and a login takes some seven round trips: two seconds of a network of 300 ms."""


def explained_within_s(timeout_s: float) -> float:
    """Return how long to look for a reason after a timeout of `timeout_s`."""
    return min(max(_EXPLAIN_MIN_S, _EXPLAIN_SHARE * timeout_s), _EXPLAIN_MAX_S)


class KafkaSubmit:
    """Appender of records. One for each event loop; safe for many tasks at once."""

    def __init__(self, connection: KafkaConnection) -> None:
        """It connects at the first append."""
        self._connection = connection
        self._producer: AIOKafkaProducer | None = None
        self._topics: set[str] = set()
        self._opening = asyncio.Lock()
        self._why_away: Unreachable | None = None  # of the last attempt to connect
        self._closing: set[asyncio.Task[None]] = set()

    async def append(self, topic: str, record: Record, *, timeout_s: float) -> Appended:
        """Append one record and wait for its acknowledgement.

        Raises:
            MissingTopic: There is no such topic.
            LogUnavailable: No acknowledgement within `timeout_s`.
            InvalidRequest: The topic takes no record of this size.
            RightsError, AuthenticationError: Kafka does not let us.
        """
        acknowledged = await self.begin(topic, record, timeout_s=timeout_s)
        return await acknowledged.wait(timeout_s=timeout_s)

    async def begin(
        self, topic: str, record: Record, *, timeout_s: float, partition: int | None = None
    ) -> "PendingRecord":
        """Hand one record over, in the order of the calls; raises as `append`. Its key chooses where none is given."""
        waited_for = "while connecting"
        try:
            async with asyncio.timeout(timeout_s):
                producer = await self._ready(topic)
                waited_for = "while it waited behind others"
                try:
                    future = await producer.send(
                        topic, record.value, key=record.key, partition=partition, headers=list(record.headers)
                    )
                except KafkaError as reason:
                    raise self._translated(reason, producer, topic) from reason
                return PendingRecord(self, producer, topic, future)
        except TimeoutError as reason:
            raise await self._away(timeout_s, waited_for, is_sent=False) from reason

    async def check(self, topic: str) -> None:
        """Ensure that the topic exists and may be written to.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """
        found = await seen(self._connection, [topic])
        if topic in found.missing:
            raise MissingTopic(topic)
        allowed = found.allowed.get(topic, frozenset())
        if allowed is not None and "WRITE" not in allowed:
            raise RightsError(
                f"Kafka does not allow {user_of(self._connection)} to write to {topic}: grant WRITE on it."
            )

    async def _ready(self, topic: str) -> AIOKafkaProducer:
        """Return a started producer that knows the topic. Retries until its caller's deadline."""
        pause_s = _RETRY_FIRST_S
        while True:
            async with self._opening:
                with contextlib.suppress(KafkaError, OSError):
                    try:
                        producer = await self._knowing(topic)
                    except Unreachable as reason:
                        self._why_away = reason
                    else:
                        self._why_away = None
                        return producer
                self._discard(self._producer)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _RETRY_MAX_S)

    async def _knowing(self, topic: str) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = await self._started()
        if topic not in self._topics:
            await self._look_up(self._producer, topic)
        return self._producer

    async def _started(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            client_id="headrace-client",
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=_REQUEST_MS,
            retry_backoff_ms=50,
            max_batch_size=_BATCH_BYTES_MAX,
            **self._connection.client_kwargs(),
        )
        producer._message_accumulator._batch_ttl = math.inf  # noqa: SLF001 — no public way; else `_REQUEST_MS`
        try:
            await producer.start()
        except KafkaConnectionError as reason:
            await close_producer(producer)
            raise await explain_unreachable(self._connection) from reason
        except DENIED as reason:  # idempotence without the right to write anywhere
            await close_producer(producer)
            raise denied(reason, self._connection, right="WRITE") from reason
        except BaseException:
            await close_producer(producer)
            raise
        return producer

    async def _look_up(self, producer: AIOKafkaProducer, topic: str) -> None:
        # All topics at once: asking by name would create it where topics are created on sight.
        cluster = await producer.client.fetch_all_metadata()
        if topic not in cluster.topics():
            raise await why_unseen(producer.client, topic, self._connection, beside=cluster.topics())
        self._topics.add(topic)

    def _discard(self, producer: AIOKafkaProducer | None) -> None:
        """Discard a producer that met an error; it is closed while the next one starts."""
        if producer is None or producer is not self._producer:
            return
        self._producer = None
        self._topics.clear()
        closing = asyncio.create_task(close_producer(producer), name="close a failed producer")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _translated(self, reason: KafkaError, producer: AIOKafkaProducer, topic: str) -> HeadraceError:
        if isinstance(reason, DENIED):
            return denied(reason, self._connection, right="WRITE")
        if isinstance(reason, MessageSizeTooLargeError):
            self._discard(producer)
            return InvalidRequest(f"The request is too large for the topic {topic}: make it smaller.")
        self._discard(producer)
        said = "its buffer is full" if isinstance(reason, KafkaTimeoutError) else str(reason) or type(reason).__name__
        return LogUnavailable(f"Kafka did not take the request ({said}): submit it again with the same id.")

    async def _away(self, timeout_s: float, waited_for: str, *, is_sent: bool) -> HeadraceError:
        within_s = explained_within_s(timeout_s)
        reason: object = self._why_away or f"The cause is not known: Kafka gave no answer for {within_s:g} s more."
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                reason = await explain_unreachable(self._connection)
        if isinstance(reason, HeadraceError) and not isinstance(reason, Unreachable) and not is_sent:
            return reason  # access was refused: waiting longer would not have helped
        return LogUnavailable(f"Kafka did not take the request within {timeout_s:g} s ({waited_for}). {reason}")

    async def close(self) -> None:
        """Deliver records in flight if Kafka answers within three seconds; never hangs."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_producer(producer)
        if self._closing:
            await asyncio.wait(self._closing)


class PendingRecord:
    """A record in flight."""

    def __init__(self, log: KafkaSubmit, producer: AIOKafkaProducer, topic: str, future: "asyncio.Future[Any]") -> None:
        self._log = log
        self._producer = producer
        self._topic = topic
        self._future = future

    async def wait(self, *, timeout_s: float) -> Appended:
        """Return its position once all replicas in sync have it; raises as `KafkaSubmit.append`."""
        done, _ = await asyncio.wait({self._future}, timeout=timeout_s)
        if not done:
            self._future.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise await self._log._away(  # noqa: SLF001  # its own part
                timeout_s, "while its acknowledgement was missing", is_sent=True
            )
        if self._future.cancelled():
            raise LogUnavailable("The connection was closed before Kafka took the request: submit it again.")
        reason = self._future.exception()
        if isinstance(reason, KafkaError):
            raise self._log._translated(reason, self._producer, self._topic) from reason  # noqa: SLF001  # same
        placed = self._future.result()
        return Appended(self._topic, placed.partition, placed.offset, placed.timestamp)
