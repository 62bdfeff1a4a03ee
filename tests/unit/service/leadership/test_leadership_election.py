"""Which process takes a lease that is free, and when."""

import asyncio

from headrace.broker.errors import LeaseUnavailable
from headrace.broker.testing.lease import MemoryLease
from tests.unit.service.rig import NAME, Process, World, led, standing_by, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


async def test_the_first_of_all_leads_at_once_since_the_ledger_is_empty() -> None:
    world = World()
    process = Process(world, "a").start()
    assert await led(process) < 0.5
    assert world.claims() == [(1, "a")]
    await process.end()


async def test_a_process_that_never_saw_the_key_grants_a_living_leader_time_to_set_it_again() -> None:
    world = World()
    first = Process(world, "a").start()
    await led(first)
    await first.kill()
    world.leases.empty()
    second = Process(world, "b").start()
    assert 2.5 <= await led(second) < 3.2
    await second.end()


class _Noteless(MemoryLease):
    """Redis refuses the note alone: its index is of another type."""

    async def note_ready(self) -> None:
        raise LeaseUnavailable("Redis answers with an error: WRONGTYPE.")


class _NotelessProcess(Process):
    lease_type = _Noteless


async def test_a_standby_whose_note_is_refused_takes_over_all_the_same() -> None:
    """Before: no standby ever led."""
    world = World()
    first, second = Process(world, "a").start(), _NotelessProcess(world, "b")
    await led(first)
    second.start()
    await standing_by(second)
    await first.kill()
    assert await led(second) < 3
    await second.end()


async def test_a_released_key_is_taken_at_the_next_look() -> None:
    world = World()
    first, second = Process(world, "a").start(), Process(world, "b")
    await led(first)
    second.start()
    await standing_by(second)
    await first.end()
    assert await led(second) < 0.5
    await second.end()


async def test_a_key_that_is_released_a_moment_after_its_holder_said_so_is_taken_a_moment_later() -> None:
    world = World()
    first, second = Process(world, "a").start(), Process(world, "b")
    await led(first)
    second.start()
    await standing_by(second)
    released_s: list[float] = []

    async def release() -> None:
        await asyncio.sleep(0.03)  # the standby has read of it meanwhile, and has found the key still held
        await MemoryLease.release(first.lease)
        released_s.append(asyncio.get_running_loop().time())

    first.lease.release = release  # type: ignore[method-assign]
    await first.end()
    await led(second)
    assert asyncio.get_running_loop().time() - released_s[0] < 0.1
    await second.end()


async def test_a_key_that_runs_out_before_our_eyes_is_taken_then() -> None:
    world = World()
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await standing_by(second)
    await asyncio.sleep(3)
    await first.kill()
    assert 1.0 < await led(second) < 2.5
    assert world.claims()[-1] == (2, "b")
    await second.end()


async def test_a_standby_that_does_not_reach_kafka_takes_nothing_and_says_so() -> None:
    world = World()
    first, second = Process(world, "a").start(), Process(world, "b").start()
    await led(first)
    await standing_by(second)
    second.link.cut()
    await until(lambda: not second.health.kafka_ready, 10)
    assert second.health.trouble == "Kafka does not answer."
    await first.end()
    await asyncio.sleep(20)
    assert second.health.role == "standby"
    assert world.kafka.opened[NAME] == 1
    second.link.mend()
    await led(second)
    assert second.health.trouble is None
    await second.end()


async def test_a_standby_waits_for_redis() -> None:
    world = World()
    world.leases.available = False
    process = Process(world, "a").start()
    await asyncio.sleep(10)
    assert (process.health.role, process.health.redis_ready) == ("standby", False)
    assert world.kafka.opened[NAME] == 0
    world.leases.available = True
    assert await led(process) < 4
    assert process.health.redis_ready
    await process.end()
