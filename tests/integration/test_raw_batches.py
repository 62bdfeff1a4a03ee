"""Batches as other clients may write them, on a real Kafka: what one of their records breaks, no other one pays for."""

import asyncio

import pytest

from headrace.broker.adapters.kafka.batches import UNPACKED_BYTES_MAX
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.lanes import KafkaLane
from headrace.broker.local.services import LocalServices
from headrace.broker.on_demand_ports import Upcoming
from headrace.broker.ports import Fetched, UnreadableRange
from tests.contract.kafka_world import taken, texts, values
from tests.integration.kafka_world import RealWorld, append_batch, real_world
from tests.unit.adapters.raw_batches import GZIP, ZSTD, batch, one

HEAVY = 15
BAD_NAME = one(b"bad name", headers=[(b"\xff\xfe", b"x"), (b"", None)])


async def append_raw(world: RealWorld, partition: int, data: bytes) -> None:
    await append_batch(world.connection, world.lane_topic, partition, data)


async def all_of(lane: KafkaLane, until: int) -> list[str | UnreadableRange]:
    """What comes of the first partition up to an offset."""
    found: list[str | UnreadableRange] = []
    async with asyncio.timeout(60):
        while lane.position(0) < until:
            got = await lane.take(0, 2)
            if isinstance(got, UnreadableRange):
                found.append(got)
            else:
                assert all(isinstance(each, Fetched) for each in got)
                found += texts(got)
            if not got:
                await lane.wait([0, 1], 200)
    return found


@pytest.mark.parametrize("codec", [0, ZSTD])
async def test_good_records_around_one_that_breaks_the_client_are_all_served(
    services: LocalServices, codec: int
) -> None:
    world = await real_world(KafkaConnection(services.endpoints.bootstrap_servers), "raw")
    await world.append(0, *values("before"))
    await append_raw(world, 0, batch(0, [one(b"lead-1"), BAD_NAME, one(b"lead-2"), one(b"lead-3")], codec=codec))
    await world.append(0, *values("behind"))
    await world.append(1, *values("elsewhere"))
    lane = world.lane()
    await lane.start({0: 0, 1: 0})
    assert await all_of(lane, 6) == ["before", "lead-1", "bad name", "lead-2", "lead-3", "behind"]
    assert texts(await taken(lane, 1, 1)) == ["elsewhere"]
    lane.rewind(0, 3)
    assert await all_of(lane, 6) == ["lead-2", "lead-3", "behind"], "also from the middle of the batch"
    await world.append(0, *values("fresh"))
    assert texts(await taken(lane, 0, 1)) == ["fresh"]
    await lane.close()


@pytest.mark.parametrize("codec", [GZIP, ZSTD])
async def test_a_bomb_costs_itself_and_what_fits_before_it_is_served(services: LocalServices, codec: int) -> None:
    world = await real_world(KafkaConnection(services.endpoints.bootstrap_servers), "bomb")
    bomb = batch(0, [one(b"lead-1"), one(b"\0" * (2 * UNPACKED_BYTES_MAX)), one(b"lead-2")], codec=codec)
    assert len(bomb) < 200_000
    await append_raw(world, 0, bomb)
    await world.append(0, *values("behind"))
    lane = world.lane()
    await lane.start({0: 0, 1: 0})
    assert await all_of(lane, 4) == ["lead-1", UnreadableRange(1, 2), "behind"]
    await lane.close()


async def test_on_demand_a_batch_that_breaks_the_client_is_read_record_by_record(services: LocalServices) -> None:
    world = await real_world(KafkaConnection(services.endpoints.bootstrap_servers), "demand")
    await world.append(0, *values("before"))
    await append_raw(world, 0, batch(0, [one(b"lead-1"), BAD_NAME, one(b"lead-2")], codec=ZSTD))
    await append_raw(world, 0, batch(0, [one(b"lead-3"), one(b"\0" * (2 * UNPACKED_BYTES_MAX))], codec=GZIP))
    await world.append(0, *values("behind"))
    lane = world.lane()
    await lane.start({0: 0, 1: 0}, on_demand={0})
    found: list[str | UnreadableRange] = []
    async with asyncio.timeout(60):
        while (upcoming := await lane.upcoming(0, 2)) is None or (isinstance(upcoming, Upcoming) and upcoming.offsets):
            if upcoming is not None:
                got = await lane.take(0, len(upcoming.offsets))
                found += [got] if isinstance(got, UnreadableRange) else texts(got)
    assert found == ["before", "lead-1", "bad name", "lead-2", "lead-3", UnreadableRange(5, 5), "behind"]
    await lane.close()


@pytest.mark.timed
async def test_the_loop_goes_on_beside_a_backlog_of_batches_just_below_the_bound(services: LocalServices) -> None:
    """Each takes 2 kB of Kafka and some 0.1 s: at once they would take longer than any lease lasts."""
    world = await real_world(KafkaConnection(services.endpoints.bootstrap_servers), "heavy")
    heavy = batch(0, [one(b"\0" * (UNPACKED_BYTES_MAX - 1_000))], codec=ZSTD)
    for _ in range(HEAVY):
        await append_raw(world, 0, heavy)
    await world.append(0, *values("behind"))
    lane, loop = world.lane(), asyncio.get_running_loop()
    longest_s = 0.0

    async def beat() -> None:
        nonlocal longest_s
        while True:
            begun_s = loop.time()
            await asyncio.sleep(0.01)
            longest_s = max(longest_s, loop.time() - begun_s)

    beating = asyncio.create_task(beat())
    await lane.start({0: 0, 1: 0})
    async with asyncio.timeout(120):
        while lane.position(0) <= HEAVY:
            got = await lane.take(0, 50)
            assert isinstance(got, UnreadableRange) or len(got) <= 1, "no more than the bound is unpacked"
            await (asyncio.sleep(0) if got else lane.wait([0, 1], 200))
    beating.cancel()
    assert longest_s < 1.5, "the lease lasts for two seconds"
    await lane.close()
