"""What a gateway needs of a topic that it follows for single keys: run on the Kafka in memory and on a real one."""

import asyncio
import uuid
from collections.abc import Collection
from typing import Protocol

import pytest

from headrace.broker.client_ports import GatewayDoors, StoredRecord
from headrace.broker.errors import HeadraceError, MissingTopic
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import Completed

WITHIN_S = 20.0


class GatewayWorld(Protocol):
    """A Kafka with a topic of outcomes that has several partitions."""

    doors: GatewayDoors
    topic: str

    async def publish(self, outcomes: Collection[Completed]) -> None:
        """Commit outcomes."""


def outcome(request_id: str, *, run: int = 0) -> Completed:
    return Completed(id=request_id, run=run, lane="urgent", response={"choices": []})


class Heard:
    """A follower that keeps what comes."""

    def __init__(self) -> None:
        self.keys: list[bytes | None] = []
        self.failed: list[HeadraceError] = []
        self.came = asyncio.Event()

    def deliver(self, record: StoredRecord) -> None:
        self.keys.append(record.record.key)
        self.came.set()

    def fail(self, reason: HeadraceError) -> None:
        self.failed.append(reason)


class GatewayDoorsContract:
    """The suite; whatever inherits it has a fixture `world`."""

    def new_id(self) -> str:
        return f"acme/{uuid.uuid4().hex}"

    async def test_records_of_a_key_are_delivered_wherever_its_partition_is(self, world: GatewayWorld) -> None:
        log = world.doors.keyed(world.topic)
        for _ in range(6):  # most of them are not in the home partition
            wanted, other = self.new_id(), self.new_id()
            heard = Heard()
            async with log.following(wanted.encode(), heard, connect_s=WITHIN_S):
                await world.publish([outcome(other), outcome(wanted)])
                await asyncio.wait_for(heard.came.wait(), WITHIN_S)
            assert heard.keys == [wanted.encode()]
            assert not heard.failed
        await log.close()

    async def test_many_keys_are_followed_at_once(self, world: GatewayWorld) -> None:
        log, wanted = world.doors.keyed(world.topic), [self.new_id() for _ in range(30)]

        async def one(key: str) -> list[bytes | None]:
            heard = Heard()
            async with log.following(key.encode(), heard, connect_s=WITHIN_S):
                entered.release()
                await asyncio.wait_for(heard.came.wait(), WITHIN_S)
            return heard.keys

        entered = asyncio.Semaphore(0)
        following = [asyncio.create_task(one(key)) for key in wanted]
        for _ in wanted:
            await entered.acquire()
        await world.publish([outcome(key) for key in wanted])
        assert await asyncio.gather(*following) == [[key.encode()] for key in wanted]
        await log.close()

    async def test_the_home_is_one_of_the_partitions_and_stays(self, world: GatewayWorld) -> None:
        log = world.doors.keyed(world.topic)
        home = await log.home(connect_s=WITHIN_S)
        assert 0 <= home.partition < home.partitions
        assert await log.home(connect_s=WITHIN_S) == home
        assert {log.partition_of(f"key-{number}".encode()) for number in range(200)} == set(range(home.partitions))
        await log.close()

    async def test_an_outcome_is_awaited_in_any_partition(self, world: GatewayWorld) -> None:
        answers = world.doors.home_answers(world.topic, read_back_s=3_600)
        for _ in range(6):
            request_id = self.new_id()
            async with answers.waiting(Expectation(request_id), connect_s=WITHIN_S) as answer:
                await world.publish([outcome(request_id)])
                assert (await asyncio.wait_for(answer, WITHIN_S)).id == request_id
        await answers.close()

    async def test_an_earlier_outcome_is_found_in_any_partition(self, world: GatewayWorld) -> None:
        ids = [self.new_id() for _ in range(12)]
        await world.publish([outcome(request_id) for request_id in ids])
        answers = world.doors.home_answers(world.topic, read_back_s=3_600)
        for request_id in ids:
            found = await answers.earlier(request_id, connect_s=WITHIN_S)
            assert found is not None
            assert found.id == request_id
            async with answers.waiting(Expectation(request_id), connect_s=WITHIN_S) as answer:
                again = await asyncio.wait_for(answers.or_earlier(request_id, answer, accepts=lambda _: True), WITHIN_S)
            assert again.id == request_id
        assert await answers.earlier(self.new_id(), connect_s=WITHIN_S) is None
        await answers.close()

    async def test_the_latest_run_counts(self, world: GatewayWorld) -> None:
        request_id = self.new_id()
        await world.publish([outcome(request_id, run=1), outcome(request_id)])
        answers = world.doors.home_answers(world.topic, read_back_s=3_600)
        found = await answers.earlier(request_id, connect_s=WITHIN_S)
        assert found is not None
        assert found.run == 1
        await answers.close()

    async def test_a_topic_that_is_not_there_is_named(self, world: GatewayWorld) -> None:
        log = world.doors.keyed("no-such-topic")
        with pytest.raises(MissingTopic, match="no-such-topic"):
            await log.home(connect_s=WITHIN_S)
        with pytest.raises(MissingTopic, match="no-such-topic"):
            async with log.following(b"key", Heard(), connect_s=WITHIN_S):
                pass
        await log.close()
