"""Topics that change while clients and readers are open: run on a Kafka in memory, and on a real one.

No dispatcher runs: the tests publish what one would, so that they say in which partition it stands.
"""

import asyncio
from collections.abc import AsyncIterable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest

from headrace.broker.adapters.kafka.client import client_doors
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.client import GenerationClient
from headrace.broker.client_ports import ClientDoors
from headrace.broker.errors import WaitTimedOut
from headrace.consumers.chunks import ChunkReader
from headrace.consumers.results import ResultReader
from headrace.schemas.chunk import Chunk
from headrace.schemas.codec import encode_chunk, encode_outcome
from headrace.schemas.outcome import Completed
from headrace.schemas.record import Record
from headrace.schemas.topics import chunks_topic, requests_topic, results_topic

PARTITIONS = 2
BODY: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Grüße"}]}
FOUND_WITHIN_S = 30
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)


class ChangingTopics(Protocol):
    """A prefix with all its topics; lanes, results and chunks have two partitions each and are empty."""

    @property
    def connection(self) -> KafkaConnection | ClientDoors: ...

    @property
    def prefix(self) -> str: ...

    async def publish(
        self, topic: str, *records: Record, partition: int | None = None, at: datetime | None = None
    ) -> None:
        """Append them, by their keys where no partition is named; they stand when it returns."""

    async def add_partitions(self, topic: str, count: int) -> None:
        """From now on it has so many."""

    async def make_anew(self, topic: str, partitions: int) -> None:
        """Delete it, and create it again, empty."""


def outcome(request_id: str, run: int = 0) -> Record:
    done = Completed(id=request_id, run=run, lane="urgent", response={"choices": [{"message": {"content": "Hi"}}]})
    return encode_outcome(done, time=NOW)


def outcomes(prefix: str, count: int) -> list[Record]:
    return [outcome(f"{prefix}-{number}") for number in range(count)]


def chunk(request_id: str) -> Record:
    return encode_chunk(Chunk(id=request_id, term=1, attempt=1, seq=0, final=True), time=NOW)


async def ids_until(reader: AsyncIterable[Any], wanted: set[str], named: Callable[[Any], str]) -> list[str]:
    """The ids that are delivered until all wanted ones were."""
    seen: list[str] = []
    try:
        async with asyncio.timeout(FOUND_WITHIN_S):
            async for each in reader:
                seen.append(named(each))
                if wanted <= set(seen):
                    return seen
    except TimeoutError:
        pass
    raise AssertionError(f"{type(reader).__name__} has seen only {seen} of {sorted(wanted)}")


class ChangingTopicsContract:
    """Subclasses bring the fixture `world`."""

    @pytest.fixture
    async def world(self) -> ChangingTopics:
        raise NotImplementedError

    def client(self, world: ChangingTopics, **options: Any) -> GenerationClient:
        return GenerationClient(connection=world.connection, topic_prefix=world.prefix, **options)

    def reader(self, world: ChangingTopics, group: str | None, **options: Any) -> ResultReader:
        return ResultReader(connection=world.connection, topic_prefix=world.prefix, group=group, **options)

    async def test_what_stands_in_added_partitions_is_found_by_all_that_are_open(self, world: ChangingTopics) -> None:
        results, chunks = results_topic(world.prefix), chunks_topic(world.prefix)
        wanted = {f"lead-{number}" for number in range(4)}
        async with (
            self.client(world) as generations,
            self.reader(world, None, start="latest") as onlooker,
            self.reader(world, "mailer", start="latest") as member,
            ChunkReader(connection=world.connection, topic_prefix=world.prefix) as listener,
            asyncio.TaskGroup() as readers,
        ):
            asking = [
                readers.create_task(generations.generate(BODY, id=each, timeout_s=FOUND_WITHIN_S + 10))
                for each in sorted(wanted)
            ]
            reading = [
                readers.create_task(ids_until(reader, wanted, lambda each: str(each.id)))
                for reader in (onlooker, member)
            ]
            hearing = readers.create_task(ids_until(listener, wanted, lambda told: str(told.chunk.id)))
            await asyncio.sleep(1)  # all of them are open, and wait
            await world.add_partitions(results, PARTITIONS + 2)
            await world.add_partitions(chunks, PARTITIONS + 2)
            for number, each in enumerate(sorted(wanted)):
                await world.publish(chunks, chunk(each), partition=number)
                await world.publish(results, outcome(each), partition=number)
            async with asyncio.timeout(FOUND_WITHIN_S):
                assert {(await done).id for done in asking} == wanted
                assert [sorted(await ids) for ids in (*reading, hearing)] == [sorted(wanted)] * 3

    async def test_a_member_that_waits_while_the_group_is_dealt_anew_gets_what_comes_then(
        self, world: ChangingTopics
    ) -> None:
        topic, doors = results_topic(world.prefix), client_doors("", world.connection)
        first, second = (doors.outcomes(topic, group="mailer", start="latest") for _ in range(2))
        try:
            await first.open()
            async with asyncio.TaskGroup() as waits:
                waiting = waits.create_task(first.next(timeout_ms=20_000))
                await second.open()
                for number in range(PARTITIONS):
                    await world.publish(topic, outcome(f"lead-{number}"), partition=number)
                arrived = [await waiting, await second.next(timeout_ms=20_000)]
            assert sorted(each.partition for each in arrived if each is not None) == [0, 1]
        finally:
            await first.close()
            await second.close()

    async def test_an_earlier_outcome_is_found_although_partitions_were_added_since(
        self, world: ChangingTopics
    ) -> None:
        topic = results_topic(world.prefix)
        await world.publish(topic, *outcomes("early", 8))
        await world.add_partitions(topic, PARTITIONS + 3)

        async def ask(request_id: str) -> str:
            """With a client of its own, which has read nothing for others."""
            async with self.client(world) as generations:
                return (await generations.generate(BODY, id=request_id, timeout_s=20)).id

        ids = [f"early-{number}" for number in range(8)]
        assert await asyncio.gather(*map(ask, ids)) == ids

    async def test_of_several_runs_the_latest_is_found(self, world: ChangingTopics) -> None:
        await world.publish(results_topic(world.prefix), outcome("lead-1"), outcome("lead-2"), outcome("lead-1", 1))
        async with self.client(world) as generations:
            found = await generations.generate(BODY, id="lead-1", timeout_s=20)
            again = await generations.generate(BODY, id="lead-1", timeout_s=20)
        assert (found.run, again.run) == (1, 1)

    async def test_an_id_is_found_as_far_back_as_the_dedupe_window_reaches(self, world: ChangingTopics) -> None:
        hours_ago = datetime.now(UTC) - timedelta(hours=2)
        await world.publish(results_topic(world.prefix), outcome("lead-1"), at=hours_ago)
        async with self.client(world, dedupe_window_s=86_400) as generations:
            assert (await generations.generate(BODY, id="lead-1", timeout_s=20)).id == "lead-1"
        async with self.client(world) as generations:
            with pytest.raises(WaitTimedOut):
                await generations.generate(BODY, id="lead-1", timeout_s=4)

    async def test_a_client_that_waits_hears_what_stands_in_results_that_were_made_anew(
        self, world: ChangingTopics
    ) -> None:
        topic = results_topic(world.prefix)
        for number in range(PARTITIONS):
            await world.publish(topic, *outcomes("former", 3), partition=number)
        async with self.client(world) as generations, asyncio.TaskGroup() as waits:
            asking = waits.create_task(generations.generate(BODY, id="lead-1", timeout_s=FOUND_WITHIN_S))
            await asyncio.sleep(1)
            await world.make_anew(topic, PARTITIONS)
            await world.publish(topic, outcome("lead-1"), *outcomes("new", 6), partition=0)
            assert (await asking).id == "lead-1"

    async def test_a_client_goes_on_where_its_lane_was_made_anew(self, world: ChangingTopics) -> None:
        lane = requests_topic(world.prefix, "standard")
        async with self.client(world) as generations:
            for number in range(3):
                await generations.submit(BODY, id=f"former-{number}", tenant="acme")
            await world.make_anew(lane, PARTITIONS)
            receipts = [await generations.submit(BODY, id=f"new-{number}", tenant="acme") for number in range(2)]
        assert [receipt.offset for receipt in receipts] == [0, 1]

    @pytest.mark.parametrize("group", [None, "mailer"])
    async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
        self, world: ChangingTopics, group: str | None
    ) -> None:
        topic = results_topic(world.prefix)
        await world.publish(topic, *outcomes("former", 3), partition=0)
        async with self.reader(world, group) as reader, asyncio.TaskGroup() as others:
            await ids_until(reader, {f"former-{number}" for number in range(3)}, lambda each: str(each.id))
            wanted = {f"new-{number}" for number in range(6)}
            reading = others.create_task(ids_until(reader, wanted, lambda each: str(each.id)))
            await asyncio.sleep(0.5)
            await world.make_anew(topic, PARTITIONS)
            await world.publish(topic, *outcomes("new", 6), partition=0)
            assert set(await reading) == wanted

    async def test_a_group_whose_topic_was_made_anew_meanwhile_reads_all_of_it(self, world: ChangingTopics) -> None:
        topic = results_topic(world.prefix)
        await world.publish(topic, *outcomes("former", 3), partition=0)
        async with self.reader(world, "mailer") as reader:
            await ids_until(reader, {f"former-{number}" for number in range(3)}, lambda each: str(each.id))
        await world.make_anew(topic, PARTITIONS)
        await world.publish(topic, *outcomes("new", 6), partition=0)
        async with self.reader(world, "mailer") as reader:
            await ids_until(reader, {f"new-{number}" for number in range(6)}, lambda each: str(each.id))

    async def test_a_group_that_began_at_the_end_reads_a_partition_that_was_added_while_it_was_away(
        self, world: ChangingTopics
    ) -> None:
        topic = results_topic(world.prefix)
        async with self.reader(world, "mailer", start="latest"):
            pass
        await world.add_partitions(topic, PARTITIONS + 1)
        await world.publish(topic, outcome("lead-1"), partition=PARTITIONS)
        async with self.reader(world, "mailer", start="latest") as reader:
            assert await ids_until(reader, {"lead-1"}, lambda each: str(each.id)) == ["lead-1"]
