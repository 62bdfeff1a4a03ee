"""Partitions read on demand: fetched in the background, unpacked within a bound, and given up when they are moved."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from headrace.broker.adapters.kafka.batches import UNPACKED_BYTES_MAX
from headrace.broker.adapters.kafka.fetch import ScreeningClient
from headrace.broker.adapters.kafka.on_demand import OnDemand
from headrace.broker.errors import LogUnavailable
from headrace.broker.on_demand_ports import Upcoming
from tests.unit.adapters.raw_batches import ZSTD, batch, one

PLACE, OTHER = TopicPartition("lane", 0), TopicPartition("lane", 1)


class Node:
    """Answers each fetch with this batch, from the offset that is asked for, once `answers` is set."""

    def __init__(self, value: bytes = b"a") -> None:
        self.value = value
        self.answers = asyncio.Event()
        self.answers.set()
        self.error: Exception | None = None
        self.asked: list[tuple[int, int]] = []
        self.ended = 0
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: 1)

    async def send(self, _: int, request: Any, **__: Any) -> Any:
        ((partition, first, _),) = request.topics[0][1]
        self.asked.append((partition, first))
        try:
            await self.answers.wait()
        finally:
            self.ended += 1
        if self.error is not None:
            raise self.error
        data = batch(first, [one(self.value), one(self.value)], codec=ZSTD)
        fields = (partition, 0, first + 2, first + 2, 0, None, -1, data)
        return SimpleNamespace(API_VERSION=11, topics=[("lane", [fields])], throttle_time_ms=0)

    @property
    def consumer(self) -> Any:
        """As `start_consumer` leaves one."""
        fetcher = SimpleNamespace(_client=ScreeningClient(self), _max_partition_fetch_bytes=1_000)
        return SimpleNamespace(_client=self, _fetcher=fetcher)


async def started(*partitions: int) -> OnDemand:
    on_demand = OnDemand()
    await on_demand.start(partitions)
    return on_demand


async def test_a_fetch_that_takes_long_goes_on_in_the_background() -> None:
    node, on_demand = Node(), await started(0, 1)
    node.answers.clear()
    assert await on_demand.upcoming(node.consumer, PLACE, 5, 9) is None
    assert await on_demand.upcoming(node.consumer, PLACE, 5, 9) is None
    node.answers.set()
    assert await on_demand.upcoming(node.consumer, PLACE, 5, 9) == Upcoming([5, 6], 7)
    assert node.asked == [(0, 5)], "it was asked once"
    assert await on_demand.upcoming(node.consumer, PLACE, 5, 1) == Upcoming([5], 7)
    assert node.asked == [(0, 5)], "and is not asked for what is here"


async def test_what_was_asked_for_before_a_move_is_given_up() -> None:
    node, on_demand = Node(), await started(0)
    node.answers.clear()
    assert await on_demand.upcoming(node.consumer, PLACE, 5, 9) is None
    waiting = asyncio.create_task(on_demand.upcoming(node.consumer, PLACE, 5, 9))
    await asyncio.sleep(0)
    on_demand.move(0, 3)
    assert await waiting is None
    assert node.ended == 1
    node.answers.set()
    assert await on_demand.upcoming(node.consumer, PLACE, 3, 9) == Upcoming([3, 4], 5)
    on_demand.move(0, 9)
    assert await on_demand.upcoming(node.consumer, PLACE, 9, 9) == Upcoming([9, 10], 11)
    assert [first for _, first in node.asked] == [5, 3, 9]


async def test_an_error_is_raised_once_and_the_next_call_asks_again() -> None:
    node, on_demand = Node(), await started(0)
    node.error = KafkaConnectionError("away")
    with pytest.raises(KafkaConnectionError):
        await on_demand.upcoming(node.consumer, PLACE, 5, 9)
    node.error = None
    assert await on_demand.upcoming(node.consumer, PLACE, 5, 9) == Upcoming([5, 6], 7)


async def test_nothing_is_taken_that_was_not_announced_and_nothing_is_lost() -> None:
    node, on_demand = Node(), await started(0)
    assert await on_demand.take(node.consumer, 0, 9) == ([], None)
    await on_demand.upcoming(node.consumer, PLACE, 5, 9)
    got, position = await on_demand.take(node.consumer, 0, 1)
    assert ([each.offset for each in got], position) == ([5], 6)  # type: ignore[union-attr]
    taking = asyncio.create_task(on_demand.take(node.consumer, 0, 1))
    await asyncio.sleep(0)
    taking.cancel()
    await asyncio.wait({taking})
    assert taking.cancelled()
    assert await on_demand.upcoming(node.consumer, PLACE, 6, 1) == Upcoming([6], 8), "it is fetched again"


async def test_where_there_is_no_memory_it_is_said_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    node, on_demand = Node(), await started(0)
    await on_demand.upcoming(node.consumer, PLACE, 5, 9)
    with monkeypatch.context() as patched:
        patched.setattr("headrace.broker.adapters.kafka.fetched_batches.unpacked", full)
        with pytest.raises(LogUnavailable, match=r"no memory to unpack partition 0: MemoryError"):
            await on_demand.take(node.consumer, 0, 9)
    await on_demand.upcoming(node.consumer, PLACE, 5, 9)
    got, _ = await on_demand.take(node.consumer, 0, 9)
    assert [each.offset for each in got] == [5, 6]  # type: ignore[union-attr]


@pytest.mark.slow
async def test_of_all_partitions_no_more_is_held_unpacked_than_one_batch_may_be() -> None:
    node, on_demand = Node(b"\0" * (UNPACKED_BYTES_MAX // 3)), await started(0, 1)
    consumer = node.consumer
    for place in (PLACE, OTHER):
        await on_demand.upcoming(consumer, place, 0, 9)
        assert (await on_demand.take(consumer, place.partition, 1))[1] == 1
    held = [packed.unpacked_bytes for packed in on_demand._packed.values() if packed is not None]
    assert held[0] == 0
    assert held[1] > UNPACKED_BYTES_MAX // 2
    await on_demand.upcoming(consumer, PLACE, 1, 9)
    got, position = await on_demand.take(consumer, 0, 1)
    assert ([each.offset for each in got], position) == ([1], 2)  # type: ignore[union-attr]


async def test_a_new_start_and_the_end_leave_no_fetch_behind() -> None:
    for end in ("start", "close"):
        node, on_demand = Node(), await started(0)
        node.answers.clear()
        assert await on_demand.upcoming(node.consumer, PLACE, 5, 9) is None
        await (on_demand.start([1]) if end == "start" else on_demand.close())
        assert node.ended == 1
        assert (0 in on_demand, 1 in on_demand) == ((False, True) if end == "start" else (True, False))
