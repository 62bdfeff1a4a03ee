"""A lane takes back what fresh work and its floor allow; the rest waits in order, and no lane for another."""

import asyncio
import json
import socket

import pytest

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.errors import SettingsError
from headrace.broker.service.retrier import RetrierProcess
from headrace.broker.settings.whole import Settings
from headrace.broker.testing.kafka_doors import MemoryLane
from headrace.consumers.retries.retry_budget import RetryBudgetRules
from headrace.schemas import topics
from headrace.schemas.record import Record
from tests.unit.consumers.rig import PREFIX, Process, World, leading
from tests.unit.service.rig import until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


def fresh(world: World, count: int, lane: str = "bulk") -> None:
    for number in range(count):
        world.kafka.append(topics.requests_topic(PREFIX, lane), Record(b"%d" % number, b'{"id":"fresh"}'))


def came_back(world: World, lane: str = "bulk") -> list[str]:
    return [name for name in world.back(lane) if name != "fresh"]


@pytest.mark.slow
async def test_a_lane_takes_back_no_more_than_its_floor_and_holds_up_no_other() -> None:
    world = World()
    process = await leading(world, retry_budget=RetryBudgetRules(share=0.2, floor_per_s=5))
    await asyncio.sleep(20)
    dues = {f"r{number:03d}": world.park(f"r{number:03d}", (number * 37) % 200 / 1_000) for number in range(200)}
    world.park("lead-1", 0.5, lane="urgent")
    await asyncio.sleep(1)
    assert world.back("urgent") == ["lead-1"]
    assert 50 <= len(world.back()) <= 56, "ten seconds were saved up"
    await asyncio.sleep(10)
    assert 100 <= len(world.back()) <= 106
    order = sorted(world.back(), key=dues.__getitem__)
    assert order == sorted(dues, key=dues.__getitem__)[: len(order)], "by when they are due, whatever their partition"
    held_back = process.retrier.snapshot()["held_back"]
    assert 90 <= held_back["bulk"] <= 130
    assert held_back.keys() == {"bulk"}
    assert await until(lambda: len(world.back()) == 200, 60) < 21
    await asyncio.sleep(5)
    assert process.retrier.snapshot()["held_back"] == {}
    await process.end()


async def test_fresh_work_lets_a_fifth_as_many_come_back_and_what_came_back_lets_none() -> None:
    world = World()
    process = await leading(world, retry_budget=RetryBudgetRules(share=0.2, floor_per_s=0.01))
    for number in range(200):
        world.park(f"r{number}", 0)
    for _ in range(10):
        fresh(world, 50)
        await asyncio.sleep(1)
    await asyncio.sleep(2)
    count = len(came_back(world))
    assert 95 <= count <= 100, "each of our transactions may have left a marker on both partitions"
    fresh(world, 50, lane="urgent")
    await asyncio.sleep(90)
    assert len(came_back(world)) == count, "neither another lane's work nor retries are fresh work"
    await process.end()


async def test_a_lane_that_does_not_say_what_comes_takes_its_floor_and_others_all_they_may() -> None:
    world = World()
    process = Process(world, "a", retry_budget=RetryBudgetRules(share=1.0, floor_per_s=1))
    process.lanes["urgent"] = MemoryLane(process.link, topic="of nodes that are away")
    process.start()
    for number in range(100):
        world.park(f"u{number}", 0, lane="urgent")
        world.park(f"r{number}", 0)
    await until(lambda: process.health.role == "leader")
    await asyncio.sleep(2)
    fresh(world, 100, lane="urgent")
    fresh(world, 100)
    assert await until(lambda: len(came_back(world)) == 100) < 2
    assert len(came_back(world, "urgent")) <= 4
    await process.end()


async def test_a_partition_that_a_lane_is_given_is_counted_too() -> None:
    world = World()
    process = await leading(world, retry_budget=RetryBudgetRules(share=1.0, floor_per_s=0.01))
    world.kafka.create(topics.requests_topic(PREFIX, "bulk"), 3)
    await asyncio.sleep(31)
    for number in range(10):
        world.park(f"r{number}", 0)
        world.kafka.append(topics.requests_topic(PREFIX, "bulk"), Record(None, b'{"id":"fresh"}'), partition=2)
    await until(lambda: len(came_back(world)) == 10)
    await process.end()


def _figures(meter: Meter) -> list[str]:
    return [line for line in meter.render().decode().splitlines() if not line.startswith("#")]


def retrier_process(world: World, parts: Process, meter: Meter, **retrier: object) -> RetrierProcess:
    """The whole process, made of these parts."""
    return RetrierProcess(
        Settings.model_validate({"kafka": {"topic_prefix": PREFIX}, "retrier": retrier}),
        elected=parts.elected,
        leases=(parts.lease, world.dispatchers_lease("a")),
        doors=parts.doors,
        meter=meter,
        clock=parts.clock,
        owner="a",
    )


async def test_a_retrier_whose_port_is_taken_names_its_own_setting() -> None:
    world = World()
    parts = Process(world, "a")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = retrier_process(world, parts, Meter(), http_port=taken.getsockname()[1])
        with pytest.raises(SettingsError, match=r"set retrier\.http_port to a free one"):
            await process.run(parts.retrier)


async def test_how_many_are_held_back_stands_in_the_metrics_and_in_the_status() -> None:
    world, meter = World(), Meter()
    parts = Process(world, "a", retry_budget=RetryBudgetRules(share=0.2, floor_per_s=5))
    process = retrier_process(world, parts, meter)
    serving = asyncio.create_task(process.serve(parts.retrier))
    for number in range(200):
        world.park(f"r{number}", 1)
    await asyncio.sleep(15)
    said = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in _figures(meter)}
    assert 100 < said['headrace_retries_held_back{lane="bulk"}'] < 200
    assert said['headrace_retries_held_back{lane="urgent"}'] == 0
    assert 100 < json.loads(await parts.lease.read_status() or "{}")["held_back"]["bulk"] < 200
    process.leave()
    await serving
