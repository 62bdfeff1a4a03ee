"""A Kafka that stands still: every door says so in time, and closes in time, so that a process can leave."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from headrace.broker.adapters.kafka.chunks import KafkaChunks
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.probe import nodes_in_sync
from headrace.broker.errors import LogUnavailable, ProducerDead
from headrace.broker.local.services import LocalServices
from headrace.broker.ports import TopicPartition
from headrace.schemas.record import Record
from tests.contract.kafka_world import outgoing, taken, values
from tests.hostile.upstream_clock import undisturbed_s
from tests.integration.kafka_world import real_world
from tests.integration.standstill import standing_still

Away = Callable[[LocalServices], AbstractAsyncContextManager[None]]
SLACK_S = 0.7  # two busy cores
HEARTBEAT_S = 0.5  # a little more than that of headrace.broker.local.properties


@pytest.fixture(scope="module")
def started() -> Iterator[LocalServices]:
    """For all tests of this module; the last one kills its Kafka."""
    with LocalServices() as services:
        yield services


@pytest.fixture
async def pair(started: LocalServices) -> LocalServices:
    """The same once its Kafka serves: one that stood still is shut out as it goes on, until its next heartbeat."""
    await in_sync(started)
    await asyncio.sleep(HEARTBEAT_S)  # it may have been asked before it knew how long it had stood still
    await in_sync(started)
    return started


async def in_sync(services: LocalServices) -> None:
    port = int(services.endpoints.bootstrap_servers.rpartition(":")[2])
    async with asyncio.timeout(30):
        while await nodes_in_sync("127.0.0.1", port, timeout_s=5) != {1}:
            await asyncio.sleep(0.05)


def frozen(services: LocalServices) -> AbstractAsyncContextManager[None]:
    return standing_still(services.kafka_pid)


async def seconds(work: Awaitable[object]) -> float:
    """Without those in which the doors, which are in this process, waited for a processor: Kafka does nothing here."""
    begun_s = undisturbed_s()
    await work
    return undisturbed_s() - begun_s


@asynccontextmanager
async def killed(services: LocalServices) -> AsyncIterator[None]:
    os.kill(services.kafka_pid, signal.SIGKILL)
    yield


async def test_a_reader_of_totals_that_hears_nothing_is_not_at_the_end(pair: LocalServices) -> None:
    world = await real_world(KafkaConnection(pair.endpoints.bootstrap_servers), "silent")
    totals = world.totals()
    await totals.open(0)

    async def is_at_end(*, expected: bool) -> None:
        async with asyncio.timeout(40):
            while await totals.is_at_end() is not expected:
                assert await totals.read(200) == []

    await is_at_end(expected=True)
    async with frozen(pair):
        await is_at_end(expected=False)
    await is_at_end(expected=True)
    await totals.close()


async def test_questions_end_in_time(pair: LocalServices) -> None:
    world = await real_world(KafkaConnection(pair.endpoints.bootstrap_servers), "frozen")
    lane, ledger, coordinators = world.lane(), world.ledger(), world.coordinators()
    await lane.start({0: 0, 1: 0})
    await ledger.open(0)
    await coordinators.check()

    async def says(question: Awaitable[object], error: type[Exception]) -> None:
        with pytest.raises(error):
            await question

    async with frozen(pair):
        took_s = await asyncio.gather(
            seconds(says(lane.bounds([0, 1]), LogUnavailable)),
            seconds(says(ledger.at_end(), LogUnavailable)),
            seconds(says(world.offsets().read([TopicPartition(world.lane_topic, 0)]), LogUnavailable)),
            seconds(says(world.producer().open(), ProducerDead)),
            seconds(says(world.ledger().open(0), LogUnavailable)),
            seconds(says(world.missing_lane().partitions(), LogUnavailable)),
            seconds(says(coordinators.check(), LogUnavailable)),
        )
        print("bounds, at_end, offsets, producer, ledger, lane, coordinators:", [round(each, 1) for each in took_s])
        assert max(took_s) < 15 + SLACK_S
        assert took_s[-1] < 1.5 + SLACK_S
        assert await seconds(coordinators.close()) < 2 + SLACK_S
    await coordinators.check()
    await coordinators.close()
    await lane.close()
    await ledger.close()


async def test_chunks_delay_no_caller_are_counted_and_go_on_when_kafka_does(pair: LocalServices) -> None:
    connection = KafkaConnection(pair.endpoints.bootstrap_servers)
    world = await real_world(connection, "frozen")
    chunks, loop = KafkaChunks(connection, topic=world.results_topic), asyncio.get_running_loop()
    handed_over, longest_s = 0, 0.0

    async def send(for_s: float) -> None:
        nonlocal handed_over, longest_s
        until_s = loop.time() + for_s
        while loop.time() < until_s:
            begun_s = undisturbed_s()
            chunks.send(Record(b"lead-1", str(handed_over).encode().rjust(2_000)))
            longest_s = max(longest_s, undisturbed_s() - begun_s)
            handed_over += 1
            await asyncio.sleep(0.01)

    async def found() -> list[int]:
        return [int(record.value or b"") for record in await world.results()]

    async with asyncio.timeout(30):
        while not set(range(50)) <= set(await found()):  # what Kafka has not written when it freezes may be lost
            await send(0.5)
    async with frozen(pair):
        await send(12)
    await send(10)
    closing_s = await seconds(chunks.close())
    got = await found()
    print("dropped", chunks.dropped, "of", handed_over, "longest send", longest_s, "closing", closing_s)
    assert longest_s < 0.1
    assert chunks.dropped > 100
    assert got[-1] == handed_over - 1
    assert len(set(got)) >= handed_over - chunks.dropped
    assert [each for each in dict.fromkeys(got) if each < 50] == list(range(50))
    assert closing_s < 2 + SLACK_S


@pytest.mark.parametrize("away", [frozen, killed])
async def test_all_doors_close_in_time_though_a_commit_is_under_way(pair: LocalServices, away: Away) -> None:
    world = await real_world(KafkaConnection(pair.endpoints.bootstrap_servers), "frozen")
    producer, lane, ledger = world.producer(), world.lane(), world.ledger()
    await producer.open()
    await producer.transact(outgoing(world.ledger_topic, "a"), {})
    await world.append(0, *values("a"))
    await lane.start({0: 0, 1: 0})
    await taken(lane, 0, 1)
    await ledger.open(0)
    async with away(pair):
        committing = asyncio.create_task(producer.transact(outgoing(world.results_topic, "b"), {}))
        await asyncio.sleep(0.5)
        committing.cancel()
        await asyncio.wait({committing})
        took_s = (await seconds(producer.close()), await seconds(lane.close()), await seconds(ledger.close()))
        print("producer, lane, ledger:", [round(each, 1) for each in took_s])
        assert took_s[0] < 2 + SLACK_S
        assert max(took_s[1:]) < 1 + SLACK_S
