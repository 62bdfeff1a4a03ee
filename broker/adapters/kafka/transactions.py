"""Kafka transactions: one disposable producer, committed or dead.

aiokafka's transactional producer must be thrown away after any error: a failed send leaves its sequence numbers torn, a
fenced one answers with AssertionError, and `commit_transaction` succeeds even after a send that failed. So every send
is awaited before the commit, every step has a time limit, and any error at all is `ProducerDead`: the caller learns
from the stored offsets what became of the transaction. Its `setback` states whether the content was refused, which
fails the same way each time, or a right or a topic is missing; everything else may be chance (`setbacks`). A refusal
comes before the commit is requested, so the transaction was certainly not committed.

aiokafka may raise a mere consequence of the actual error: it looks for a deleted topic until the time is over, and a
missing right makes the next send "illegal". So the cause is looked up.
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import (
    IllegalOperation,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import OffsetAndMetadata, RecordMetadata

from headrace.broker.adapters.kafka.connection import DENIED, KafkaConnection, denied
from headrace.broker.adapters.kafka.setbacks import SETBACKS, ErrorSubject, kind_of
from headrace.broker.errors import MissingTopic, ProducerDead
from headrace.broker.ports import SENT_BYTES_MAX, Outgoing, StoredOffset, TopicPartition
from headrace.schemas.record import Record

_RETRY_BACKOFF_MS = 10  # with the default of 100 a successor waits up to 0.2 s longer for the last markers
_REQUEST_TIMEOUT_MS = 4_000  # a frozen node is given up after this; with the default of 40 s it stops us for minutes
_BATCH_BYTES_MAX = 262_144  # one batch a partition is in flight, so its size is the throughput; below max.message.bytes
_OPEN_WITHIN_S = 10.0
_DELIVER_WITHIN_S = 3.0
_STOP_WITHIN_S = 0.5
_LOOK_WITHIN_S = 0.5
_SINGLY_S = 600.0

_FAILURES = (KafkaError, IllegalOperation, TimeoutError, OSError, AssertionError, TypeError, ValueError, OverflowError)
"""Errors with which aiokafka ends a transaction; the last three for a record that it cannot write."""
_OF_A_TOPIC = frozenset({ErrorSubject.CONTENT, ErrorSubject.DENIAL})
"""Kinds of delivery errors that concern the record's topic."""


class Batching:
    """Maximum bytes of one partition's records in one batch, the size that Kafka compares with a topic's limit.

    A batch of records that fit one by one may be refused where a topic's limit is lower than expected. So after one
    refusal every record is sent alone for ten minutes. All producers of a process share this object.
    """

    def __init__(self, bytes_max: int = _BATCH_BYTES_MAX) -> None:
        """`bytes_max` should be no more than the smallest limit of the topics written to."""
        self._bytes_max = min(bytes_max, _BATCH_BYTES_MAX)
        self._singly_until_s = 0.0

    def bytes_max(self, now_s: float) -> int:
        """Return the batch size for a producer that starts now."""
        return 1 if now_s < self._singly_until_s else self._bytes_max

    def refused(self, now_s: float) -> None:
        """Note that the broker found a batch too large."""
        self._singly_until_s = now_s + _SINGLY_S


class _Refused(Exception):  # noqa: N818 — it never leaves this module
    """A record that its topic refused."""

    def __init__(self, topic: str, error: BaseException) -> None:
        super().__init__(str(error))
        self.topic = topic
        self.error = error


class KafkaTransactions:
    """A `TransactionLog` on aiokafka."""

    def __init__(  # noqa: PLR0913 — all but the first keyword-only
        self,
        connection: KafkaConnection,
        *,
        transactional_id: str,
        group: str | None = None,
        transaction_timeout_ms: int = 15_000,
        commit_within_s: float = 10.0,
        batching: Batching | None = None,
    ) -> None:
        """It connects at `open`. The offsets group is `group`, by default named as the transactional id."""
        self._batching = batching or Batching()
        self._connection = connection
        self._transactional_id = transactional_id
        self._group = group or transactional_id
        self._transaction_timeout_ms = transaction_timeout_ms
        self._commit_within_s = commit_within_s
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """See `headrace.broker.ports.TransactionLog.open`."""
        self._producer = self._made()
        try:
            await asyncio.wait_for(self._producer.start(), _OPEN_WITHIN_S)
        except (KafkaError, TimeoutError, OSError, AssertionError) as error:
            await self.close()
            said = f"Kafka did not accept the transactional producer: {_told(error)}."
            raise ProducerDead(said, setback=SETBACKS[kind_of(error)]) from error

    def _made(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._connection.client_kwargs(),
            transactional_id=self._transactional_id,
            transaction_timeout_ms=self._transaction_timeout_ms,
            retry_backoff_ms=_RETRY_BACKOFF_MS,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            max_batch_size=self._batching.bytes_max(asyncio.get_running_loop().time()),
            max_request_size=SENT_BYTES_MAX,
        )
        producer._message_accumulator._pending_batches = _Pending()  # noqa: SLF001 — aiokafka has no public way
        return producer

    async def transact(
        self, records: Sequence[Outgoing], offsets: Mapping[TopicPartition, StoredOffset]
    ) -> Sequence[int]:
        """See `headrace.broker.ports.TransactionLog.transact`."""
        try:
            async with asyncio.timeout(self._commit_within_s):
                return await self._transact(records, offsets)
        except _Refused as refused:
            if isinstance(refused.error, MessageSizeTooLargeError | RecordListTooLargeError):
                self._batching.refused(asyncio.get_running_loop().time())
            raise self._died(refused.error, kind_of(refused.error, sending=True), refused.topic) from refused.error
        except _FAILURES as error:
            if isinstance(error, TimeoutError) and (topic := await self._missing({each.topic for each in records})):
                raise self._died(UnknownTopicOrPartitionError(topic), ErrorSubject.DENIAL, topic) from error
            cause = self._cause(error)
            raise self._died(cause, kind_of(cause)) from error

    def _died(self, error: BaseException, kind: ErrorSubject, topic: str | None = None) -> ProducerDead:
        if topic is not None and isinstance(error, UnknownTopicOrPartitionError):
            said = f"Nothing can be committed: {MissingTopic(topic)}"
        elif isinstance(error, DENIED):
            said = f"Nothing can be committed: {denied(error, self._connection, right='WRITE')}"
        elif topic is not None:
            said = f"A transaction was not committed: {topic} did not take a record: {_told(error)}."
        elif kind is ErrorSubject.DENIAL:
            said = f"Nothing can be committed: {_told(error)}."
        else:
            said = f"A transaction's outcome is unknown: {_told(error)}."
        return ProducerDead(said, setback=SETBACKS[kind], topic=topic)

    def _cause(self, error: BaseException) -> BaseException:
        """Find the error that ended the transaction, where aiokafka raises only its consequence."""
        transactions = None if self._producer is None else self._producer._txn_manager  # noqa: SLF001 — no public way
        waiter = None if transactions is None else transactions.wait_for_transaction_end()
        ended = None if waiter is None or not waiter.done() or waiter.cancelled() else waiter.exception()
        cause: BaseException = error if ended is None else ended
        while type(cause) is KafkaError and cause.__cause__ is not None:  # the sender's wrapper around the cause
            cause = cause.__cause__
        return cause

    async def _missing(self, topics: Collection[str]) -> str | None:
        """Return a topic unknown to Kafka, after a time-out; None if all exist, or Kafka does not answer."""
        if self._producer is None:
            return None
        client = self._producer.client
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            if await asyncio.wait_for(client.force_metadata_update(), _LOOK_WITHIN_S):
                return next(
                    (each for each in sorted(topics) if client.cluster.partitions_for_topic(each) is None), None
                )
        return None

    async def _transact(
        self, records: Sequence[Outgoing], offsets: Mapping[TopicPartition, StoredOffset]
    ) -> Sequence[int]:
        producer = self._producer
        assert producer is not None  # noqa: S101 — programmer error: transact before open
        await producer.begin_transaction()
        written = await _send(producer, records)
        if offsets:
            stored = {
                KafkaPartition(place.topic, place.partition): OffsetAndMetadata(value.offset, value.metadata)
                for place, value in offsets.items()
            }
            await producer.send_offsets_to_transaction(stored, self._group)
        await producer.commit_transaction()
        return written

    async def close(self) -> None:
        """See `headrace.broker.ports.TransactionLog.close`."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_producer(producer, deliver_within_s=0)  # a transaction waits for its own sends


class _Pending(set[object]):
    """The batches in flight. aiokafka removes one that waits for a retry a second time when it fails."""

    def remove(self, batch: object) -> None:
        """Remove a batch without a KeyError, which the event loop would log with a traceback."""
        self.discard(batch)


async def _send(producer: AIOKafkaProducer, records: Sequence[Outgoing]) -> list[int]:
    """Send all records and wait for them; return their offsets, each exact only for a partition's only record.

    After one failure the others are not waited for, and their errors are dropped.
    """
    sends: list[asyncio.Future[RecordMetadata]] = []
    try:
        for outgoing in records:
            sends.append(await _sent(producer, outgoing))  # noqa: PERF401 — the sends before a failure must be known
        return [sent.offset for sent in await asyncio.gather(*sends)]
    except BaseException as error:
        for send in sends:
            send.add_done_callback(_seen)
        if kind_of(error) in _OF_A_TOPIC:
            failed = (place for place, send in enumerate(sends) if send.done() and not send.cancelled())
            place = next((place for place in failed if type(sends[place].exception()) is type(error)), None)
            if place is not None:
                raise _Refused(records[place].topic, error) from error
        raise


async def _sent(producer: AIOKafkaProducer, outgoing: Outgoing) -> "asyncio.Future[RecordMetadata]":
    try:
        sent: asyncio.Future[RecordMetadata] = await producer.send(
            outgoing.topic,
            value=_sendable(outgoing.record),
            key=outgoing.record.key,
            headers=list(outgoing.record.headers),
            timestamp_ms=outgoing.timestamp_ms,
        )
    except _FAILURES as error:
        if kind_of(error, sending=True) in _OF_A_TOPIC:
            raise _Refused(outgoing.topic, error) from error
        raise
    return sent


def _seen(send: asyncio.Future[Any]) -> None:
    if not send.cancelled():
        send.exception()


async def close_producer(producer: AIOKafkaProducer, *, deliver_within_s: float = _DELIVER_WITHIN_S) -> None:
    """Stop a producer within a time limit, even if its cluster is away and its sender retries forever.

    `stop()` waits forever for a batch that cannot be delivered, for example one of a deleted topic. So it runs as a
    task of its own, and when its time is over the tasks it waits for are ended one by one.

    Args:
        producer: Started, or failed to start.
        deliver_within_s: How long it may keep trying to deliver its batches; 0 drops them at once.
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
    """Retrieve the errors of a dead producer's futures, else asyncio logs them; ProducerDead has reported them."""
    accumulator, transactions = producer._message_accumulator, producer._txn_manager  # noqa: SLF001 — no public way
    batches = [*accumulator._pending_batches, *(each for line in accumulator._batches.values() for each in line)]  # noqa: SLF001
    waiters = [each for batch in batches for each in (batch.future, batch._drain_waiter)]  # noqa: SLF001
    for waiter in (*waiters, transactions and transactions._transaction_waiter):  # noqa: SLF001
        if waiter is not None and waiter.done():
            _seen(waiter)


def _sendable(record: Record) -> bytes | None:
    """Return a value that aiokafka accepts: it asserts a key or a value, while neither Kafka nor we need one."""
    return b"" if record.key is None and record.value is None else record.value


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__
