"""A retrier whose clock is wrong puts nothing back at a wrong time."""

import asyncio
from datetime import timedelta

import pytest

from headrace.broker.clock import WallClock
from headrace.broker.service.leadership.clock_check import ByTheLeader
from tests.unit.consumers.rig import WALL, World, leading
from tests.unit.service.rig import until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

HOUR_S = 3_600


@pytest.mark.parametrize("error_s", [HOUR_S, -HOUR_S])
async def test_a_retrier_whose_clock_is_an_hour_off_puts_back_to_the_second(error_s: int) -> None:
    world = World()
    world.park("lead-1", 30)
    await world.dispatcher_leads()
    process = await leading(world, clock_error_s=error_s)
    await asyncio.sleep(25)
    assert world.back() == []
    await asyncio.sleep(8)
    assert world.back() == ["lead-1"]
    await process.end()


async def test_while_only_redis_contradicts_its_clock_it_waits_for_the_dispatcher_that_leads() -> None:
    world = World()
    world.park("lead-1", 30)
    world.park("lead-2", 0)
    process = await leading(world, clock_error_s=HOUR_S)
    await asyncio.sleep(5)
    assert world.back() == []
    await world.dispatcher_leads()
    await until(lambda: world.back() == ["lead-2"])
    await asyncio.sleep(20)
    assert world.back() == ["lead-2"]
    await process.end()


@pytest.mark.parametrize(
    ("off_s", "status"),
    [(HOUR_S, None), (HOUR_S / 2, None), (0, "{}"), (0, "no JSON"), (0, "[" * 4_000)],
    ids=["agrees with us", "says something else than both", "of a release that does not say", "garbage", "nested deep"],
)
async def test_a_clock_that_only_redis_contradicts_is_gone_by(off_s: float, status: str | None) -> None:
    world = World()
    world.park("lead-1", HOUR_S + 3)
    await world.dispatcher_leads(off_s=off_s, status=status)
    process = await leading(world, clock_error_s=HOUR_S)
    assert world.back() == []
    await until(lambda: world.back() == ["lead-1"])
    assert world.clock.utc_now() - WALL < timedelta(seconds=10)
    await process.end()


@pytest.mark.parametrize("off_s", [2 * HOUR_S, HOUR_S], ids=["says something else than both", "agrees with us"])
async def test_a_dispatcher_that_is_being_promoted_may_have_the_wrong_clock_and_settles_none(off_s: float) -> None:
    world = World()
    world.park("lead-1", 30)
    await world.dispatcher_leads(off_s=off_s, role="promoting")
    process = await leading(world, clock_error_s=HOUR_S)
    await asyncio.sleep(5)
    await world.dispatcher_leads()
    await asyncio.sleep(20)
    assert world.back() == []
    await asyncio.sleep(8)
    assert world.back() == ["lead-1"]
    await process.end()


async def test_a_clock_that_redis_confirms_needs_no_dispatcher() -> None:
    world = World()
    world.park("lead-1", 0)
    process = await leading(world)
    await until(lambda: world.back() == ["lead-1"])
    await process.end()


async def test_a_redis_that_is_silent_settles_no_clock() -> None:
    world = World()
    world.park("lead-1", 30)
    keeper = ByTheLeader(WallClock(asyncio.get_running_loop().time), world.dispatchers_lease("a"))
    world.leases.available = False
    await keeper.ask()
    assert not keeper.is_settled
    world.leases.available = True
    await world.dispatcher_leads()
    await keeper.ask()
    assert keeper.is_settled
