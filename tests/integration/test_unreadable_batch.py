"""A batch that rots on the server's disk costs its own records, and nothing else; and every codec is understood."""

import asyncio
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.lanes import KafkaLane
from headrace.broker.local.services import LocalServices
from headrace.broker.ports import Fetched, UnreadableRange
from tests.contract.kafka_world import taken, texts, values
from tests.integration.kafka_world import RealWorld, producing, real_world

BATCH = 5
BATCHES = 4
ROTTEN = ((1,), (0, 3))
_HEADER = struct.Struct(">qi")  # base offset, length of what follows


def rot(segment: Path, base_offset: int) -> None:
    """Flip a bit near the end of the batch that begins there, so that its checksum fails."""
    data = bytearray(segment.read_bytes())
    place = 0
    while place < len(data):
        offset, length = _HEADER.unpack_from(data, place)
        end = place + _HEADER.size + length
        if offset == base_offset:
            data[end - 3] ^= 0x10
            segment.write_bytes(data)
            return
        place = end
    raise AssertionError(f"no batch begins at {base_offset}")


async def stopped(services: LocalServices) -> None:
    """End Kafka in peace: after a kill it would check its segments and cut the rot off."""
    os.kill(services.kafka_pid, signal.SIGTERM)
    async with asyncio.timeout(30):
        while services.is_running:
            await asyncio.sleep(0.05)


async def everything(lane: KafkaLane, partition: int, until: int) -> list[list[str] | UnreadableRange]:
    """What comes of a partition up to an offset, neighbours joined."""
    found: list[list[str] | UnreadableRange] = []
    async with asyncio.timeout(60):
        while lane.position(partition) < until:
            got = await lane.take(partition, 50)
            if isinstance(got, UnreadableRange):
                found.append(got)
            elif got:
                _joined(found, got)
            else:
                await lane.wait([0, 1], 200)
    return found


def _joined(found: list[list[str] | UnreadableRange], got: object) -> None:
    assert isinstance(got, list)
    some = texts([each for each in got if isinstance(each, Fetched)])
    last = found[-1] if found else None
    if isinstance(last, list):
        last.extend(some)
    else:
        found.append(some)


async def worlds_with_rot(services: LocalServices) -> dict[tuple[int, ...], RealWorld]:
    """For each set of rotten batches a world of its own, on a Kafka that was started again once for all."""
    worlds: dict[tuple[int, ...], RealWorld] = {rotten: await written(services) for rotten in ROTTEN}
    await stopped(services)
    for rotten, world in worlds.items():
        directory = services.data_dir / "kafka-1" / "data" / f"{world.lane_topic}-0"
        (segment,) = directory.glob("*.log")
        for batch in rotten:
            rot(segment, batch * BATCH)
    await services.restart_kafka()
    return worlds


async def written(services: LocalServices) -> RealWorld:
    world = await real_world(KafkaConnection(services.endpoints.bootstrap_servers), "rot")
    for batch in range(BATCHES):
        await world.append(0, *values(*(f"{batch}.{number}" for number in range(BATCH))))
        await world.append(1, *values(f"other {batch}"))
    return world


@pytest.fixture(scope="module")
def rotten_worlds() -> Iterator[dict[tuple[int, ...], RealWorld]]:
    with LocalServices() as services:
        yield asyncio.run(worlds_with_rot(services))


def batch(number: int) -> list[str]:
    return [f"{number}.{each}" for each in range(BATCH)]


@pytest.mark.parametrize(
    ("rotten", "expected"),
    [
        (ROTTEN[0], [batch(0), UnreadableRange(5, 9), [*batch(2), *batch(3)]]),
        (ROTTEN[1], [UnreadableRange(0, 4), [*batch(1), *batch(2)], UnreadableRange(15, 19)]),
    ],
)
async def test_a_rotten_batch_costs_its_own_records_and_no_others(
    rotten_worlds: dict[tuple[int, ...], RealWorld],
    rotten: tuple[int, ...],
    expected: list[list[str] | UnreadableRange],
) -> None:
    world = rotten_worlds[rotten]
    lane = world.lane()
    await lane.start({0: 0, 1: 0})
    assert await everything(lane, 0, BATCH * BATCHES) == expected
    assert texts(await taken(lane, 1, BATCHES)) == [f"other {number}" for number in range(BATCHES)]
    await world.append(0, *values("fresh"))
    assert texts(await taken(lane, 0, 1)) == ["fresh"]
    await lane.close()


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_batches_are_read(services: LocalServices, codec: str) -> None:
    world = await real_world(KafkaConnection(services.endpoints.bootstrap_servers), codec)
    async with producing(world.connection, compression_type=codec, linger_ms=20) as producer:
        sent = [await producer.send(world.lane_topic, b"x" * 500 + b"%d" % n, partition=0) for n in range(20)]
        await asyncio.gather(*sent)
    lane = world.lane()
    await lane.start({0: 0})
    assert [text.lstrip("x") for text in texts(await taken(lane, 0, 20))] == [str(number) for number in range(20)]
    await lane.close()
