"""Leaving: what is published, said and released on the way out."""

import asyncio
import contextlib

import pytest

from headrace.broker.ports import LeaseForeign, LeaseMine
from headrace.broker.testing.lease import MemoryLease
from tests.unit.service.rig import (
    MODEL,
    Process,
    World,
    feed,
    led,
    loaded,
    settings_of,
    standing_by,
    until,
    warmed,
)
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


# ---------------------------------------------------------------------------------------------------- leaving


async def test_a_leader_that_leaves_publishes_says_so_and_releases() -> None:
    world = World(latency_s=2)
    process = Process(world, "a").start()
    await led(process)
    await loaded(world, 5)
    process.leadership.leave()
    await until(process.leading.done, 5)
    process.leading.result()
    assert len(world.outcomes()) == 6
    assert [line.kind.value for line in world.ledger()].count("left") == 1
    assert world.holder() == "released"
    await process.end()


async def test_a_leader_that_leaves_takes_nothing_more() -> None:
    world = World(latency_s=5)
    process = Process(world, "a").start()
    await led(process)
    world.upstream.latency_s = 1
    await warmed(world)
    world.upstream.latency_s = 5
    world.submit("last")
    await until(lambda: world.upstream.inflight == 1)
    process.leadership.leave()
    feeding = asyncio.create_task(feed(world))  # records settled without a call would hold up the end for ever
    assert await until(process.leading.done, 30) < 7
    feeding.cancel()
    await asyncio.wait({feeding})
    await process.end()


async def test_a_standby_that_leaves_touches_no_foreign_lease() -> None:
    world = World()
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await standing_by(second)
    await second.end()
    assert world.holder() == "a"
    await first.end()


async def test_leaving_while_kafka_is_away_goes_on_trying_and_not_all_the_time() -> None:
    world = World(latency_s=1)
    process = Process(world, "a").start()
    await led(process)
    await loaded(world, 3)
    world.kafka.stop()
    process.link.away_after_s = 0.0  # as a refused connection: no is said at once
    await until(lambda: process.health.role == "suspended", 60)
    process.leadership.leave()
    tries = process.lease.renewals
    await asyncio.sleep(10)
    assert process.lease.renewals - tries < 60, "a loop without a pause"
    world.kafka.start_again()
    process.link.away_after_s = 4.0
    await until(process.leading.done, 20)
    assert len(world.outcomes()) == 4
    await process.end()


async def test_a_cancelled_leader_closes_and_releases() -> None:
    world = World(latency_s=50)
    process = Process(world, "a").start()
    await led(process)
    world.submit("never")
    await until(lambda: world.upstream.inflight == 1)
    process.leading.cancel()
    await until(process.leading.done, 5)
    assert process.leading.cancelled()
    assert world.holder() == "released"
    process.tasks[0].cancel()


async def test_a_leader_cancelled_while_its_producer_opens_leaves_nothing_behind() -> None:
    world = World()
    world.kafka.open_takes_s = 5
    process = Process(world, "a").start()
    await until(lambda: process.health.role == "promoting", 5)
    await asyncio.sleep(1)
    process.leading.cancel()
    await until(process.leading.done, 5)
    assert process.leading.cancelled()
    assert world.holder() == "released"
    process.tasks[0].cancel()


@pytest.mark.slow
async def test_no_call_begins_while_a_leader_says_that_it_leaves() -> None:
    world = World(latency_s=0.05)
    world.kafka.commit_takes_s = 0.3
    scarce = {MODEL: {"tokens_per_minute": 12_000, "requests_per_minute": 120, "charge_law": "chat-2025"}}
    for number in range(300):
        world.submit(f"lead-{number}", lane="bulk")
    for name in "abcd":
        process = Process(world, name, settings=settings_of(limits=scarce)).start()
        await led(process)
        before = len(world.outcomes())
        await until(lambda before=before: len(world.outcomes()) >= before + 20)  # type: ignore[misc]
        process.leadership.leave()
        await until(process.leading.done, 10)
        await process.end()
    called = world.upstream.calls
    assert len(called) >= 80
    assert {each for each, count in called.items() if count > 1} == set()


class Deaf(MemoryLease):
    """As redis-py before Python 3.12: who is cancelled in the instant of an answer does not hear of it."""

    async def _deaf(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.3)

    async def renew(self, *, restore: bool) -> LeaseMine | LeaseForeign:
        await self._deaf()
        return await super().renew(restore=restore)

    async def publish_status(self, status: str) -> None:
        await self._deaf()
        await super().publish_status(status)


async def test_a_cancellation_that_a_library_swallows_holds_up_no_departure() -> None:
    world = World()
    process = Process(world, "a")
    process.lease.__class__ = Deaf
    serving = asyncio.create_task(process.dispatcher.serve(nowhere))
    await until(lambda: process.health.role == "leader")
    await asyncio.sleep(5.55)  # both a renewal and the status are under way
    process.dispatcher.leave()
    assert await until(serving.done, 30) < 2
    serving.result()


async def nowhere() -> str:
    return ""
