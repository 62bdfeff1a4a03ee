"""How far a job is: what its spans meant, and offsets that pass nothing that nobody considered."""

import asyncio
from datetime import timedelta

import pytest

from headrace.broker.errors import ProgressUnreadable, Unreachable
from headrace.broker.ports import StoredOffset, TopicPartition
from headrace.consumers.replays.job import ReplayRequest
from tests.unit.consumers.replays.rig import LETTERS, PARTITIONS, World, buried
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME
HOUR = timedelta(hours=1)


async def test_an_interrupted_pass_keeps_what_its_span_meant() -> None:
    world = World()
    buried(world, 30)
    asked = ReplayRequest(since=HOUR)
    await world.replay(asked, limit=10)()
    await asyncio.sleep(7_000)
    run = world.replay(asked)
    tally = await run()
    assert run.work.resumed
    assert (tally.put_back, len(world.counts())) == (20, 30)


async def test_a_pass_that_is_done_begins_with_a_new_span() -> None:
    world = World()
    buried(world, 5)
    asked = ReplayRequest(since=HOUR)
    await world.replay(asked)()
    await asyncio.sleep(50_000)
    world.bury("old", ago_s=20_000)
    world.bury("new", ago_s=20)
    run = world.replay(asked)
    assert (await run()).put_back == 1
    assert not run.work.resumed
    assert ("new", 1) in world.counts()


async def test_what_is_too_young_today_goes_back_tomorrow() -> None:
    world = World()
    asked = ReplayRequest(until=HOUR)
    world.bury("old", ago_s=4_000, partition=0)
    world.bury("young", ago_s=3_000, partition=0)
    world.bury("behind", ago_s=3_900, partition=0)
    assert (await world.replay(asked)(dry=True)).put_back == 1
    await world.replay(asked)()
    assert world.ids() == ["old"]
    await asyncio.sleep(1_000)
    assert (await world.replay(asked)()).is_done
    assert world.counts() == {("old", 1): 1, ("young", 1): 1, ("behind", 1): 1}


async def test_until_an_instant_passes_what_is_younger() -> None:
    world = World()
    world.bury("old", ago_s=4_000, partition=0)
    world.bury("young", ago_s=3_000, partition=0)
    world.bury("behind", ago_s=3_900, partition=0)
    await world.replay(ReplayRequest(until=world.clock.utc_now() - HOUR))()
    assert world.ids() == ["behind", "old"]


# ---------------------------------------------------------------------------------------------------- progress


async def test_progress_never_passes_what_nobody_considered() -> None:
    """Partitions of very different ages are merged by time; each one's offset counts for itself."""
    world = World()
    for number in range(30):
        world.bury(f"a-{number}", ago_s=9_000 - number, partition=0)
        world.bury(f"b-{number}", ago_s=900 - number, partition=1)
    await world.replay(limit=20)()
    [group] = world.kafka.groups.values()
    assert [group.stored[TopicPartition(LETTERS, number)].offset for number in range(PARTITIONS)] == [20, 0, 0]
    await world.replay()()
    assert set(world.counts().values()) == {1}
    assert [group.stored[TopicPartition(LETTERS, number)].offset for number in range(PARTITIONS)] == [30, 30, 0]


async def test_what_retention_removed_meanwhile_is_passed() -> None:
    world = World()
    for number in range(30):
        world.bury(f"a-{number}", partition=0)
    await world.replay(limit=10)()
    world.kafka.logs(LETTERS)[0].trim(20)
    await world.replay()()
    assert len(world.counts()) == 20


@pytest.mark.slow
async def test_long_stretches_of_what_is_not_meant_are_noted_too() -> None:
    world = World()
    for _ in range(5_000):
        world.bury("x", reason="rejected")
    run = world.replay(ReplayRequest(reasons=("exhausted",)))
    await run.work.open()
    world.kafka.commit_takes_s = 1
    running = asyncio.create_task(run.work.run())
    await asyncio.sleep(1.5)
    running.cancel()
    [group] = world.kafka.groups.values()
    assert sum(stored.offset for stored in group.stored.values()) == 2_000
    assert run.seen.looked[-1] == (5_000, 5_000)


async def test_a_topic_that_was_made_anew_is_refused_whether_it_is_shorter_or_longer() -> None:
    for number in (3, 60):
        world = World()
        for each in range(10):
            world.bury(f"a-{each}", partition=0)
        await world.replay()()
        world.kafka.logs(LETTERS)[0] = type(world.kafka.logs(LETTERS)[0])()
        for each in range(number):
            world.bury(f"b-{each}", partition=0, ago_s=7)
        with pytest.raises(ProgressUnreadable, match=r"was recreated .* delete the group t\.replay\."):
            await world.replay()()
        assert len(world.counts()) == 10


async def test_a_strangers_group_is_refused() -> None:
    world = World()
    world.bury("a")
    await world.replay()()
    [group] = world.kafka.groups.values()
    group.shown[TopicPartition(LETTERS, 0)] = group.stored[TopicPartition(LETTERS, 0)] = StoredOffset(0, "theirs")
    with pytest.raises(ProgressUnreadable, match="delete the group"):
        await world.replay()()


async def test_a_kafka_that_is_away_ends_it_and_it_can_be_opened_again() -> None:
    world = World()
    buried(world, 5)
    world.kafka.stop()
    run = world.replay()
    with pytest.raises(Unreachable):
        await run.work.open()
    world.kafka.start_again()
    assert (await run()).put_back == 5


async def test_a_stop_before_it_has_begun_writes_nothing() -> None:
    world = World()
    buried(world, 5)
    run = world.replay()
    run.work.stop()
    tally = await run()
    assert (tally.put_back, tally.is_done) == (0, False)
    assert not world.back()
