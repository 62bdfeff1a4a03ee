"""The topic `calls`, written by one gateway and read by another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from headrace.broker.clock import WallClock
from headrace.broker.gateway.joins.call_log import CallLog
from headrace.broker.testing.client_doors import MemoryClientDoors
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

TOPIC = "generation.calls"
GATHERED_S = 0.1


@dataclass
class World:
    clock: WallClock
    kafka: MemoryKafka

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[CallLog]:
        doors = MemoryClientDoors(self.kafka, KafkaLink(self.kafka))
        log = doors.submissions()
        async with CallLog(doors, TOPIC, window_s=600, log=log, clock=self.clock) as calls:
            yield calls


@pytest.fixture
async def world() -> World:
    clock = WallClock(asyncio.get_running_loop().time)
    kafka = MemoryKafka(clock.utc_ms)
    kafka.create(TOPIC, 3)
    return World(clock, kafka)


async def test_what_one_gateway_noted_is_known_to_another_at_once(world: World) -> None:
    async with world.gateway() as one, world.gateway() as two:
        for number in range(20):
            await one.opened(f"d{number}", f"acme/call-{number}")
            assert await two.repeated(f"d{number}") == f"acme/call-{number}"


async def test_a_gateway_that_starts_later_knows_what_was_noted_before(world: World) -> None:
    async with world.gateway() as one:
        await one.opened("d", "acme/call-1")
    await asyncio.sleep(0.01)
    async with world.gateway() as two:
        assert await two.repeated("d") == "acme/call-1"


async def test_what_a_client_received_at_one_gateway_is_joined_at_none(world: World) -> None:
    async with world.gateway() as one:
        async with world.gateway() as two:
            await two.opened("d", "acme/call-1")
            assert await one.repeated("d") == "acme/call-1"
            two.received("d", "acme/call-1")
            assert await two.repeated("d") is None, "here, before Kafka has the note"
        assert await one.repeated("d") is None


async def test_without_its_topic_it_is_not_ready() -> None:
    clock = WallClock(asyncio.get_running_loop().time)
    async with World(clock, MemoryKafka(clock.utc_ms)).gateway() as calls:
        await asyncio.sleep(0.05)
        assert not calls.is_ready


async def test_answers_received_within_a_moment_are_written_together_and_a_later_one_too(world: World) -> None:
    async with world.gateway() as one, world.gateway() as two:
        for number in range(5):
            await one.opened("d", f"acme/call-{number}")
            one.received("d", f"acme/call-{number}")
        assert await two.repeated("d") is not None, "none is written yet"
        await asyncio.sleep(GATHERED_S)
        assert await two.repeated("d") is None
        await one.opened("d", "acme/call-5")
        one.received("d", "acme/call-5")
        await asyncio.sleep(GATHERED_S)
        assert await two.repeated("d") is None


async def test_a_repetition_waits_for_the_gathering_that_has_begun_and_for_no_other(world: World) -> None:
    async with world.gateway() as one, world.gateway() as two:
        loop = asyncio.get_running_loop()
        for number in range(20):
            await one.opened(f"d{number}", f"acme/call-{number}")
            begun_s = loop.time()
            assert await two.repeated(f"d{number}") == f"acme/call-{number}"
            assert loop.time() - begun_s < 0.07
