"""A send that fails takes those before it along, and nobody waits for them any more."""

import asyncio
import gc
from typing import Any

import pytest
from aiokafka.errors import ProducerFenced

from broker.adapters.kafka_connection import KafkaConnection
from broker.adapters.kafka_transactions import KafkaTransactions
from broker.errors import ProducerDead
from broker.ports import Outgoing
from schemas.record import Record


class FencedOnTheWay:
    """As aiokafka does when the fence comes between two sends: the first fails later, the second raises at once."""

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


async def test_no_exception_of_an_earlier_send_is_left_for_the_log() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
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
