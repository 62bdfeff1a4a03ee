"""What ends a transaction is told apart: its content, a missing right, or anything else."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    PolicyViolationError,
    ProducerFenced,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.structs import RecordMetadata

from broker.adapters.kafka_connection import KafkaConnection
from broker.adapters.kafka_transactions import Batching, KafkaTransactions
from broker.core.setback import Setback
from broker.errors import ProducerDead
from broker.ports import Outgoing, StoredOffset, TopicPartition
from schemas.record import Record


class Producer:
    """aiokafka's: raises at the steps it is told to, at once or when the record is delivered."""

    def __init__(self, errors: Mapping[str, Exception]) -> None:
        self._errors = errors

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


async def died(step: str, error: Exception, batching: Batching | None = None) -> ProducerDead:
    transactions = KafkaTransactions(KafkaConnection("nowhere:1"), transactional_id="t", batching=batching)
    transactions._producer = Producer({step: error})
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
