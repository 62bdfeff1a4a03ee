"""Each dispatcher reads the sums back: for `/status` alone, and whatever becomes of the topic."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from headrace.broker.service.containment import said
from headrace.broker.service.spending.follower import AGAIN_AFTER_S, SpendingFollower
from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.totals_door import MemoryTotals
from headrace.schemas import topics
from headrace.schemas.record import Record
from headrace.schemas.spending import HOUR_S, SpendingKey, SpendingTotal, encode_total
from tests.unit.service.rig import PREFIX, World
from tests.virtual_time import VIRTUAL_TIME

pytestmark = [VIRTUAL_TIME, pytest.mark.timeout(10)]

TOTALS = topics.totals_topic(PREFIX)


class Followed:
    """A follower that runs; its window, summed over 24 hours."""

    def __init__(self, world: World, door: type[MemoryTotals] = MemoryTotals) -> None:
        self.world = world
        self.link = KafkaLink(world.kafka)
        self.follower = SpendingFollower(door(self.link, topic=TOTALS), world.clock, said)
        self.task = asyncio.create_task(self.follower.run())

    @property
    def hour(self) -> int:
        return self.world.clock.utc_ms() // (HOUR_S * 1_000)

    def write(
        self, outcomes: int, *, hours_ago: int = 0, series: str = "a", at_ms: int | None = None, tenant: str = "acme"
    ) -> None:
        key = SpendingKey(self.hour - hours_ago, "bulk", "gpt-4", tenant)
        self.world.kafka.append(TOTALS, encode_total(key, series, SpendingTotal(outcomes=outcomes)), at_ms=at_ms)

    def outcomes(self) -> int:
        return self.follower.window.summed(self.hour - 24, self.hour).everything.outcomes

    async def after(self, seconds: float) -> int:
        await asyncio.sleep(seconds)
        return self.outcomes()

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


def world_of(*, topic: bool = True) -> World:
    world = World()
    if topic:
        world.kafka.create(TOTALS)
    return world


async def test_it_begins_a_day_back_and_goes_on() -> None:
    world = world_of()
    followed = Followed(world)
    now_ms = world.clock.utc_ms()
    followed.write(100, hours_ago=30, at_ms=now_ms - 30 * 3_600_000)
    followed.write(5, hours_ago=24, at_ms=now_ms - 24 * 3_600_000)
    followed.write(2)
    assert await followed.after(2) == 7
    assert followed.follower.is_caught_up
    followed.write(3)
    followed.write(4, series="b")
    assert await followed.after(3) == 12
    await followed.end()


async def test_an_hour_of_the_past_with_more_records_than_one_read_returns_is_summed_as_a_whole() -> None:
    world = world_of()
    followed = Followed(world)
    for number in range(4_500):
        followed.write(1, hours_ago=10, at_ms=world.clock.utc_ms() - 36_000_000, tenant=f"t{number}")
    assert await followed.after(5) == 4_500
    assert followed.follower.window.too_late == 0
    await followed.end()


async def test_a_large_read_is_summed_in_many_turns_of_the_loop() -> None:
    world, has_read = world_of(), asyncio.Event()

    class Telling(MemoryTotals):
        async def read(self, timeout_ms: int) -> Any:
            records = await super().read(timeout_ms)
            has_read.set()
            return records

    followed = Followed(world, Telling)
    for number in range(2_000):
        followed.write(1, tenant=f"t{number}")
    await has_read.wait()
    turns = 0
    while not followed.follower.is_caught_up:
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 20
    assert followed.outcomes() == 2_000
    await followed.end()


async def test_a_topic_that_comes_later_is_found() -> None:
    world = world_of(topic=False)
    followed = Followed(world)
    assert await followed.after(5) == 0
    assert not followed.follower.is_caught_up
    world.kafka.create(TOTALS)
    followed.write(2)
    assert await followed.after(AGAIN_AFTER_S + 2) == 2
    await followed.end()


async def test_what_was_read_stays_while_kafka_is_away_and_follows_when_it_is_back() -> None:
    world = world_of()
    followed = Followed(world)
    followed.write(2)
    assert await followed.after(2) == 2
    world.kafka.stop()
    assert await followed.after(30) == 2
    assert not followed.follower.is_caught_up, "it may have missed any number of sums"
    world.kafka.start_again()
    followed.write(3)
    assert await followed.after(30) == 3
    assert followed.follower.is_caught_up
    await followed.end()


async def test_why_it_cannot_read_is_logged_once_until_it_has_read() -> None:
    world = world_of(topic=False)
    with capture_logs() as logged:
        followed = Followed(world)
        await followed.after(5 * AGAIN_AFTER_S)
        assert [each["event"] for each in logged] == ["totals_not_followed"]
        world.kafka.create(TOTALS)
        await followed.after(2 * AGAIN_AFTER_S)
        assert followed.follower.is_caught_up
        world.kafka.delete(TOTALS)
        await followed.after(5 * AGAIN_AFTER_S)
        assert not followed.follower.is_caught_up
    assert [each["event"] for each in logged if each["event"].startswith("totals")] == ["totals_not_followed"] * 3
    await followed.end()


async def test_a_record_that_is_no_total_ends_nothing() -> None:
    world = world_of()
    followed = Followed(world)
    world.kafka.append(TOTALS, Record(b"\xff", b"{}"))
    world.kafka.append(TOTALS, Record(None, None))
    followed.write(2)
    assert await followed.after(2) == 2
    assert followed.follower.window.unreadable == 2
    await followed.end()


async def test_a_defect_of_the_door_is_said_and_survived() -> None:
    class Defective(MemoryTotals):
        async def read(self, timeout_ms: int) -> Any:
            raise ZeroDivisionError

    world = world_of()
    seen: list[str] = []
    door = Defective(KafkaLink(world.kafka), topic=TOTALS)
    follower = SpendingFollower(door, world.clock, lambda step, error: seen.append(f"{step} {type(error).__name__}"))
    task = asyncio.create_task(follower.run())
    await asyncio.sleep(2 * AGAIN_AFTER_S + 1)
    assert seen == ["totals ZeroDivisionError"] * 3
    task.cancel()
    await asyncio.wait({task})


async def test_a_door_that_cannot_be_closed_is_said_and_survived() -> None:
    class Stuck(MemoryTotals):
        async def close(self) -> None:
            raise ZeroDivisionError

    seen: list[str] = []
    door = Stuck(KafkaLink(world_of(topic=False).kafka), topic=TOTALS)
    follower = SpendingFollower(door, World().clock, lambda step, error: seen.append(f"{step} {type(error).__name__}"))
    task = asyncio.create_task(follower.run())
    await asyncio.sleep(AGAIN_AFTER_S + 1)
    task.cancel()
    await asyncio.wait({task})
    assert seen == ["totals ZeroDivisionError"] * 3
    assert task.cancelled()
