"""When a producer dies, what it was doing dies with it; nobody waits for that any more, and the log is spared."""

import asyncio
import gc
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import ProducerFenced

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.transactions import KafkaTransactions, close_producer
from headrace.broker.errors import ProducerDead
from headrace.broker.ports import Outgoing
from headrace.schemas.record import Record


@pytest.fixture
async def complaints() -> AsyncIterator[list[dict[str, Any]]]:
    """What the loop complains about; collected once the test has let go of everything."""
    found: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context))
    yield found
    asyncio.get_running_loop().set_exception_handler(None)


class FencedOnTheWay:
    """As aiokafka does when the fence comes between two sends: the first fails later, the second raises at once."""

    _txn_manager = None

    def __init__(self) -> None:
        self.sent: list[asyncio.Future[None]] = []

    async def begin_transaction(self) -> None:
        pass

    async def send(self, topic: str, **_: Any) -> asyncio.Future[None]:
        if self.sent:
            asyncio.get_running_loop().call_soon(self.sent[0].set_exception, ProducerFenced())
            raise ProducerFenced
        self.sent.append(asyncio.get_running_loop().create_future())
        return self.sent[0]


async def test_no_exception_of_an_earlier_send_is_left_for_the_log(complaints: list[dict[str, Any]]) -> None:
    transactions, producer = KafkaTransactions(KafkaConnection("nowhere:1"), transactional_id="t"), FencedOnTheWay()
    transactions._producer = producer
    with pytest.raises(ProducerDead):
        await transactions.transact([Outgoing("topic", Record(None, b"{}"))] * 2, {})
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert producer.sent[0].done()
    producer.sent.clear()
    gc.collect()
    assert complaints == []


async def _died(*, batch: bool) -> None:
    """A real producer without a Kafka, in a transaction, fenced; with `batch` a record had not left yet."""
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", transactional_id="t")
    producer._txn_manager.set_pid_and_epoch(1, 1)
    producer._txn_manager.begin_transaction()
    if batch:
        place = KafkaPartition("topic", 0)
        sent = await producer._message_accumulator.add_message(place, None, b"{}", 1)
        sent.add_done_callback(lambda each: each.exception())
    fenced = ProducerFenced()
    producer._message_accumulator.fail_all(fenced)
    producer._txn_manager.fatal_error(fenced)
    await close_producer(producer)


@pytest.mark.parametrize("batch", [True, False])
async def test_a_dead_producer_leaves_no_exception_of_its_own_for_the_log(
    complaints: list[dict[str, Any]], *, batch: bool
) -> None:
    await _died(batch=batch)
    await asyncio.sleep(0)
    gc.collect()
    assert complaints == []


async def test_a_producer_that_never_began_a_transaction_is_closed_too(complaints: list[dict[str, Any]]) -> None:
    await close_producer(AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", transactional_id="t"))
    gc.collect()
    assert complaints == []


async def test_a_batch_that_waits_for_another_try_is_given_up_without_a_complaint(
    complaints: list[dict[str, Any]],
) -> None:
    """The client takes it out of what is on its way when it waits, and then once more when it fails."""
    producer = KafkaTransactions(KafkaConnection("127.0.0.1:1"), transactional_id="t")._made()
    producer._txn_manager.set_pid_and_epoch(1, 1)
    producer._txn_manager.begin_transaction()
    place = KafkaPartition("topic", 0)
    sent = await producer._message_accumulator.add_message(place, None, b"{}", 1)
    batch = producer._message_accumulator._pop_batch(place)
    producer._message_accumulator._batches[place] = deque()
    producer._message_accumulator.reenqueue(batch)
    producer._message_accumulator.fail_all(ProducerFenced())
    await close_producer(producer)
    with pytest.raises(ProducerFenced):
        await sent
    assert complaints == []
