"""Leaving: what is published, said and released on the way out."""

import asyncio

from tests.unit.service.rig import Process, World, feed, led, loaded, standing_by, until, warmed
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
