"""Following of single keys, where many begin and end while partitions are taken up and left."""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition

from headrace.broker.adapters.kafka import consumer, keyed
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.keyed import KafkaKeyedLog
from headrace.broker.adapters.kafka.read_back import partitions_of
from headrace.broker.client_ports import StoredRecord
from headrace.broker.errors import HeadraceError, Unreachable
from headrace.broker.tasks import ended
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME
COUNT = 3


class Deaf:
    """A `Follower` that notes nothing."""

    def deliver(self, record: StoredRecord) -> None: ...

    def fail(self, reason: HeadraceError) -> None: ...


class SlowConsumer:
    """A consumer that needs a second for each question."""

    def __init__(self) -> None:
        self.assigned: list[int] = []

    async def position(self, place: KafkaPartition) -> int:
        await asyncio.sleep(1)
        return 7

    async def end_offsets(self, places: Iterable[KafkaPartition]) -> dict[KafkaPartition, int]:
        await asyncio.sleep(1)
        return dict.fromkeys(places, 9)

    def assign(self, places: Iterable[KafkaPartition]) -> None:
        self.assigned = sorted(place.partition for place in places)

    def seek(self, place: KafkaPartition, offset: int) -> None: ...


@pytest.fixture
def log() -> KafkaKeyedLog:
    made = KafkaKeyedLog(KafkaConnection("localhost:1"), topic="generation.results", choose=lambda _: 0)
    made._count, made._home, made._followed = COUNT, 0, set(range(COUNT))
    return made


def key_at(log: KafkaKeyedLog, place: int) -> bytes:
    return next(key for number in range(100) if log.partition_of(key := f"acme/{number}".encode()) == place)


async def test_a_wait_that_begins_while_its_partition_is_left_begins_once_it_is_read_again(log: KafkaKeyedLog) -> None:
    consumer, entered = SlowConsumer(), asyncio.Event()
    log._running = asyncio.create_task(asyncio.Event().wait())  # type: ignore[arg-type]  # a loop that does nothing

    async def wait() -> None:
        async with log.following(key_at(log, 1), Deaf(), connect_s=30):
            entered.set()
            assert 1 in consumer.assigned

    leaving = asyncio.create_task(log._assign(cast("AIOKafkaConsumer", consumer), {0}))
    await asyncio.sleep(0.5)
    waiting = asyncio.create_task(wait())
    await leaving
    assert consumer.assigned == [0]
    assert not entered.is_set()
    assert log._wanted() == {0, 1}
    await log._assign(cast("AIOKafkaConsumer", consumer), {0, 1})
    await waiting
    await ended(log._running)


async def test_of_many_waits_for_a_frozen_kafka_each_has_its_own_time(
    log: KafkaKeyedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(_: object) -> None:
        await asyncio.sleep(13)
        raise Unreachable("frozen")

    async def close(_: object) -> None: ...

    monkeypatch.setattr(consumer, "make_consumer", lambda _: object())
    monkeypatch.setattr(consumer, "close_consumer", close)
    monkeypatch.setattr(keyed, "start_consumer", start)
    loop = asyncio.get_running_loop()

    async def took_s() -> float:
        began_s = loop.time()
        with pytest.raises(Unreachable):
            await log.home(connect_s=5)
        return loop.time() - began_s

    assert max(await asyncio.gather(*(took_s() for _ in range(50)))) <= 14


async def test_the_place_of_a_followed_key_is_computed_once(
    log: KafkaKeyedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log._running = asyncio.create_task(asyncio.Event().wait())  # type: ignore[arg-type]  # see above
    computed: list[bytes] = []
    real = partitions_of

    def counting(key: bytes, counts: Any) -> list[int]:
        computed.append(key)
        return real(key, counts)

    monkeypatch.setattr(keyed, "partitions_of", counting)
    async with AsyncExitStack() as stack:
        for number in range(200):
            await stack.enter_async_context(log.following(f"acme/{number}".encode(), Deaf(), connect_s=1))
        for _ in range(10):
            assert log._wanted() == set(range(COUNT))
        assert len(computed) == 200
    assert not log._place_of
    await ended(log._running)
