"""The door to Kafka's transactions: one disposable producer, committed or dead.

aiokafka's transactional producer must be thrown away after any error: a failed send leaves its sequence numbers torn,
a fenced one answers with AssertionError, and `commit_transaction` returns happily after a send that failed. So every
send is awaited before the commit, every step has a time limit, and any error at all is `ProducerDead`: the caller asks
the stored offsets what became of the transaction.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from broker.adapters.kafka_connection import KafkaConnection
from broker.errors import ProducerDead
from broker.ports import Outgoing, StoredOffset, TopicPartition
from schemas.record import Record

_RETRY_BACKOFF_MS = 10  # with the default of 100 a successor waits up to 0.2 s longer for the last markers
_REQUEST_TIMEOUT_MS = 4_000  # a frozen node is given up after this; with the default of 40 s it stops us for minutes
_BATCH_BYTES_MAX = 262_144  # one batch a partition is in flight, so its size is the throughput; below max.message.bytes
_REQUEST_BYTES_MAX = 2 * 1024 * 1024
_OPEN_WITHIN_S = 10.0
_DELIVER_WITHIN_S = 3.0
_STOP_WITHIN_S = 0.5


class KafkaTransactions:
    """A `TransactionLog` on aiokafka."""

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        transactional_id: str,
        group: str | None = None,
        transaction_timeout_ms: int = 15_000,
        commit_within_s: float = 10.0,
    ) -> None:
        """Nothing is connected before `open`. The offsets group is named `group`, or else as the transactional id."""
        self._connection = connection
        self._transactional_id = transactional_id
        self._group = group or transactional_id
        self._transaction_timeout_ms = transaction_timeout_ms
        self._commit_within_s = commit_within_s
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """See `broker.ports.TransactionLog.open`."""
        self._producer = self._made()
        try:
            await asyncio.wait_for(self._producer.start(), _OPEN_WITHIN_S)
        except (KafkaError, TimeoutError, OSError, AssertionError) as error:
            await self.close()
            raise ProducerDead(f"Kafka did not accept the transactional producer: {_told(error)}.") from error

    def _made(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._connection.client_kwargs(),
            transactional_id=self._transactional_id,
            transaction_timeout_ms=self._transaction_timeout_ms,
            retry_backoff_ms=_RETRY_BACKOFF_MS,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            max_batch_size=_BATCH_BYTES_MAX,
            max_request_size=_REQUEST_BYTES_MAX,
        )
        producer._message_accumulator._pending_batches = _Pending()  # noqa: SLF001 — aiokafka has no public way
        return producer

    async def transact(self, records: Sequence[Outgoing], offsets: Mapping[TopicPartition, StoredOffset]) -> None:
        """See `broker.ports.TransactionLog.transact`."""
        try:
            async with asyncio.timeout(self._commit_within_s):
                await self._transact(records, offsets)
        except (KafkaError, TimeoutError, OSError, AssertionError, ValueError) as error:
            raise ProducerDead(f"A transaction's outcome is unknown: {_told(error)}.") from error

    async def _transact(self, records: Sequence[Outgoing], offsets: Mapping[TopicPartition, StoredOffset]) -> None:
        producer = self._producer
        assert producer is not None  # noqa: S101 — programmer error: transact before open
        await producer.begin_transaction()
        await _send(producer, records)
        if offsets:
            stored = {
                KafkaPartition(place.topic, place.partition): OffsetAndMetadata(value.offset, value.metadata)
                for place, value in offsets.items()
            }
            await producer.send_offsets_to_transaction(stored, self._group)
        await producer.commit_transaction()

    async def close(self) -> None:
        """See `broker.ports.TransactionLog.close`."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_producer(producer, deliver_within_s=0)  # a transaction waits for its own sends


class _Pending(set[object]):
    """The batches on their way. aiokafka removes one that waits for another try a second time when it fails."""

    def remove(self, batch: object) -> None:
        """Without a KeyError, which the event loop would log with a trace."""
        self.discard(batch)


async def _send(producer: AIOKafkaProducer, records: Sequence[Outgoing]) -> None:
    """All of them, awaited. Where one fails, nobody waits for the others, and what they fail with is no news."""
    sends: list[asyncio.Future[object]] = []
    try:
        for outgoing in records:
            sends.append(  # noqa: PERF401 — those before the one that fails must be known
                await producer.send(
                    outgoing.topic,
                    value=_sendable(outgoing.record),
                    key=outgoing.record.key,
                    headers=list(outgoing.record.headers),
                    timestamp_ms=outgoing.timestamp_ms,
                )
            )
        await asyncio.gather(*sends)
    except BaseException:
        for send in sends:
            send.add_done_callback(_seen)
        raise


def _seen(send: asyncio.Future[object]) -> None:
    if not send.cancelled():
        send.exception()


async def close_producer(producer: AIOKafkaProducer, *, deliver_within_s: float = _DELIVER_WITHIN_S) -> None:
    """Stop a producer within bounds, even if its cluster is away and its sender retries for ever.

    `stop()` waits without end for a batch that cannot be delivered, for one of a topic that was deleted, say; so it
    runs as a task of its own, and when its time is over the pieces it waits for are ended one by one.

    Args:
        producer: Started, or one whose start failed.
        deliver_within_s: How long it may go on trying to deliver what it holds; 0 drops that at once.
    """
    try:
        await _stop(producer, deliver_within_s)
    finally:
        _forget(producer)


async def _stop(producer: AIOKafkaProducer, deliver_within_s: float) -> None:
    if deliver_within_s <= 0:
        _drop(producer)
    stopping = asyncio.create_task(producer.stop(), name="producer stop")
    done, _ = await asyncio.wait({stopping}, timeout=max(deliver_within_s, _STOP_WITHIN_S))
    if done:
        if not stopping.cancelled():
            stopping.exception()
        return
    _drop(producer)
    stopping.cancel()
    sender = producer._sender.sender_task  # noqa: SLF001 — same
    for _ in range(6):  # a cancelled sender awaits children that retry; each round ends one layer
        if sender is None or sender.done():
            break
        sender.cancel()
        await asyncio.wait({sender}, timeout=0.3)
    await asyncio.wait({stopping}, timeout=0.3)
    with contextlib.suppress(TimeoutError, OSError, KafkaError):
        await asyncio.wait_for(producer.client.close(), 2)


def _drop(producer: AIOKafkaProducer) -> None:
    producer._message_accumulator.fail_all(KafkaError("given up"))  # noqa: SLF001 — aiokafka has no public way


def _forget(producer: AIOKafkaProducer) -> None:
    """Look at what the pieces of a dead producer failed with, so that asyncio does not: it was said as ProducerDead."""
    accumulator, transactions = producer._message_accumulator, producer._txn_manager  # noqa: SLF001 — no public way
    batches = [*accumulator._pending_batches, *(each for line in accumulator._batches.values() for each in line)]  # noqa: SLF001
    waiters = [each for batch in batches for each in (batch.future, batch._drain_waiter)]  # noqa: SLF001
    for waiter in (*waiters, transactions and transactions._transaction_waiter):  # noqa: SLF001
        if waiter is not None and waiter.done():
            _seen(waiter)


def _sendable(record: Record) -> bytes | None:
    """What aiokafka takes: it asserts that there is a key or a value; Kafka itself needs neither, and so do we."""
    return b"" if record.key is None and record.value is None else record.value


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__
