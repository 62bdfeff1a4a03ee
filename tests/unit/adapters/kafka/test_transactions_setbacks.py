"""What ends a transaction is told apart: its content, a missing right, or anything else."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IllegalOperation,
    InvalidTransactionTimeout,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    PolicyViolationError,
    ProducerFenced,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.structs import RecordMetadata

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.transactions import Batching, KafkaTransactions
from headrace.broker.core.setback import Setback
from headrace.broker.errors import ProducerDead
from headrace.broker.ports import Outgoing, StoredOffset, TopicPartition
from headrace.schemas.record import Record


class Producer:
    """aiokafka's: raises at the steps it is told to, at once or when the record is delivered."""

    def __init__(self, errors: Mapping[str, Exception], cause: Exception | None = None) -> None:
        self._errors = errors
        self._txn_manager = TransactionManager("t", 15_000)
        self._txn_manager.set_pid_and_epoch(1, 1)
        self._txn_manager.begin_transaction()
        if cause is not None:
            self._txn_manager.error_transaction(cause)
            self._txn_manager.wait_for_transaction_end().exception()

    def _may(self, step: str) -> None:
        if step in self._errors:
            raise self._errors[step]

    async def begin_transaction(self) -> None:
        self._may("begin")

    async def send(self, topic: str, **_: Any) -> "asyncio.Future[RecordMetadata]":
        self._may(f"send {topic}")
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        if f"deliver {topic}" in self._errors:
            future.set_exception(self._errors[f"deliver {topic}"])
        else:
            future.set_result(RecordMetadata(topic, 0, KafkaPartition(topic, 0), 7, 0, 0, 0))
        return future

    async def send_offsets_to_transaction(self, _offsets: object, _group: str) -> None:
        self._may("offsets")

    async def commit_transaction(self) -> None:
        self._may("commit")


async def died(
    step: str, error: Exception, batching: Batching | None = None, *, cause: Exception | None = None
) -> ProducerDead:
    transactions = KafkaTransactions(KafkaConnection("nowhere:1"), transactional_id="t", batching=batching)
    transactions._producer = Producer({step: error}, cause)
    records = [Outgoing(topic, Record(None, b"{}")) for topic in ("good", "evil", "better")]
    with pytest.raises(ProducerDead) as dead:
        await transactions.transact(records, {TopicPartition("lane", 0): StoredOffset(1, "")})
    return dead.value


@pytest.mark.parametrize("step", ["send evil", "deliver evil"])
@pytest.mark.parametrize(
    ("error", "setback"),
    [
        (MessageSizeTooLargeError(), Setback.REFUSED),
        (PolicyViolationError(), Setback.REFUSED),
        (for_code(87)(), Setback.REFUSED),
        (TopicAuthorizationFailedError("evil"), Setback.DENIED),
        (UnknownTopicOrPartitionError(), Setback.DENIED),
    ],
)
async def test_a_record_that_is_not_taken_names_its_topic(step: str, error: Exception, setback: Setback) -> None:
    dead = await died(step, error)
    assert (dead.setback, dead.topic) == (setback, "evil")
    assert "evil" in str(dead)


@pytest.mark.parametrize("error", [TypeError("no bytes"), ValueError("too long"), OverflowError("too late")])
async def test_a_record_that_the_client_cannot_write_is_refused(error: Exception) -> None:
    dead = await died("send evil", error)
    assert (dead.setback, dead.topic) == (Setback.REFUSED, "evil")


@pytest.mark.parametrize(
    ("step", "error", "setback"),
    [
        ("begin", AssertionError(), Setback.UNKNOWN),
        ("send evil", KafkaTimeoutError(), Setback.UNKNOWN),
        ("deliver evil", NotEnoughReplicasError(), Setback.UNKNOWN),
        ("deliver evil", KafkaError("a defect of the sender"), Setback.UNKNOWN),
        ("offsets", GroupAuthorizationFailedError("g"), Setback.DENIED),
        ("offsets", ValueError("anything"), Setback.UNKNOWN),
        ("commit", ProducerFenced(), Setback.UNKNOWN),
        ("commit", MessageSizeTooLargeError(), Setback.REFUSED),
    ],
)
async def test_what_else_ends_a_transaction_names_none(step: str, error: Exception, setback: Setback) -> None:
    dead = await died(step, error)
    assert (dead.setback, dead.topic) == (setback, None)


async def test_a_topic_that_is_missing_is_named_with_the_verb_that_creates_it() -> None:
    dead = await died("send evil", UnknownTopicOrPartitionError())
    assert str(dead).endswith("The topic evil does not exist: run `headrace topics create`.")


async def test_a_send_that_is_illegal_since_a_right_is_missing_is_the_right_that_is_missing() -> None:
    dead = await died("send evil", IllegalOperation("Can't send"), cause=TopicAuthorizationFailedError({"good"}))
    assert dead.setback is Setback.DENIED
    assert "use the topic good: grant WRITE on it" in str(dead)


async def test_what_the_senders_task_met_is_told_and_not_that_it_was_unexpected() -> None:
    unexpected = KafkaError("Unexpected error during batch delivery")
    unexpected.__cause__ = InvalidTransactionTimeout()
    dead = await died("commit", unexpected)
    assert (dead.setback, "InvalidTransactionTimeout" in str(dead)) == (Setback.DENIED, True)


async def test_once_a_batch_was_too_large_records_go_one_by_one_for_a_while() -> None:
    batching = Batching(10**9)
    now_s = asyncio.get_running_loop().time()
    assert batching.bytes_max(now_s) == 262_144
    await died("deliver evil", PolicyViolationError(), batching)
    assert batching.bytes_max(now_s) == 262_144
    await died("deliver evil", MessageSizeTooLargeError(), batching)
    assert (batching.bytes_max(now_s + 1), batching.bytes_max(now_s + 1_000)) == (1, 262_144)


def test_a_smaller_topic_bounds_every_batch() -> None:
    assert Batching(1_000).bytes_max(0) == 1_000
