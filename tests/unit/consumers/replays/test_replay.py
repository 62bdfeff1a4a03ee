"""Whole replays on a Kafka in memory, in virtual time."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import count

import pytest

from headrace.broker.core.setback import Setback
from headrace.broker.errors import ProducerDead
from headrace.broker.testing.kafka import CommitFault
from headrace.consumers.replays.job import ReplayRequest
from headrace.consumers.replays.replay import ReplayTally
from headrace.consumers.replays.verdicts import Skip
from headrace.schemas.record import Record
from headrace.schemas.topics import requests_topic
from tests.unit.consumers.replays.rig import LANES, LETTERS, PREFIX, World, buried, killed_at
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME
HOUR = timedelta(hours=1)


async def test_each_goes_back_to_its_lane_as_its_next_run_with_a_new_deadline() -> None:
    world = World()
    world.bury("a", lane="urgent")
    world.bury("b", lane="bulk", run=3)
    tally = await world.replay()()
    assert (tally.put_back, tally.chosen, tally.is_done, tally.left) == (2, 2, True, 0)
    assert world.counts() == {("a", 1): 1, ("b", 4): 1}
    assert world.ids("urgent") == ["a"]
    [urgent], [bulk] = world.back("urgent"), world.back("bulk")
    now = world.clock.utc_now()
    assert urgent.deadline_override is not None
    assert bulk.deadline_override is not None
    assert timedelta(0) <= now + HOUR - urgent.deadline_override < timedelta(seconds=1)
    assert timedelta(0) <= now + timedelta(days=5) - bulk.deadline_override < timedelta(seconds=1)


@pytest.mark.parametrize("as_span", [True, False])
async def test_a_deadline_is_a_span_from_now_or_an_instant(as_span: bool) -> None:  # noqa: FBT001  # a column
    world = World()
    world.bury("a")
    until = world.clock.utc_now() + 2 * HOUR
    run = world.replay(deadline=2 * HOUR if as_span else until)
    await run()
    [back], [receipt] = world.back(), run.seen.receipts
    assert back.deadline_override is not None
    assert abs(back.deadline_override - until) < timedelta(seconds=1)
    assert (receipt.id, receipt.run, receipt.lane, receipt.reason) == ("a", 1, "bulk", "exhausted")
    assert (receipt.place.topic, receipt.deadline) == (LETTERS, receipt.deadline)


async def test_only_what_is_meant_goes_back_and_the_rest_is_told_by_reason() -> None:
    world = World()
    world.bury("a")
    world.bury("b", reason="rejected")
    world.bury("c", reason="id_conflict")
    world.bury("d", reason="undecodable", value=b"\xff")
    world.kafka.append(LETTERS, Record(None, b"a stranger's"), partition=0)
    tally = await world.replay(ReplayRequest(reasons=("exhausted", "id_conflict", "undecodable")))()
    assert world.ids() == ["a"]
    assert tally.skipped == {Skip.ID_CONFLICT: 1, Skip.UNREADABLE: 1}
    assert tally.unreadable == 1


async def test_what_is_done_stays_done_and_only_what_is_new_goes_back() -> None:
    world = World()
    buried(world, 20)
    await world.replay()()
    again = await world.replay()()
    assert (again.put_back, again.chosen, again.is_done) == (0, 0, True)
    world.bury("new")
    assert (await world.replay()()).put_back == 1
    assert set(world.counts().values()) == {1}
    assert len(world.counts()) == 21


async def test_another_choice_is_another_job_with_its_own_progress() -> None:
    world = World()
    world.bury("a")
    world.bury("b", reason="rejected")
    await world.replay(ReplayRequest(reasons=("rejected",)))()
    await world.replay(ReplayRequest(reasons=("exhausted",)))()
    assert world.counts() == {("a", 1): 1, ("b", 1): 1}
    assert len(world.kafka.groups) == 2


# ---------------------------------------------------------------------------------------------------- how fast


@pytest.mark.slow
async def test_the_rate_holds_and_batches_are_small() -> None:
    world = World()
    buried(world, 600)
    began = world.clock.now_ms()
    await world.replay(per_s=50)()
    stamps = sorted(
        each.timestamp_ms for lane in ("bulk",) for each in world.kafka.committed(requests_topic(PREFIX, lane))
    )
    assert world.clock.now_ms() - began == pytest.approx(12_000, abs=250)
    assert set(Counter(stamps).values()) == {10}
    fullest = max(sum(1 for each in stamps if at <= each < at + 10_000) for at in stamps)
    assert fullest == pytest.approx(500, rel=0.05)


async def test_large_ones_go_in_small_transactions() -> None:
    """What a reader of the lane waits for is the end of a transaction, and that must come soon."""
    world = World()
    world.kafka.commit_takes_s = 0.001
    for number in range(12):
        world.bury(f"a-{number}", padding=500_000)
    await world.replay(per_s=1_000)()
    committed = world.kafka.committed(requests_topic(PREFIX, "bulk"))
    assert set(Counter(each.timestamp_ms for each in committed).values()) == {3}


async def test_a_limit_ends_it_and_the_next_run_goes_on_behind() -> None:
    world = World()
    names = buried(world, 25)
    first = await world.replay(limit=15)()
    assert (first.put_back, first.is_done, first.left) == (15, False, 10)
    assert world.ids() == sorted(names[:15])
    second = await world.replay(limit=15)()
    assert (second.put_back, second.is_done) == (10, True)
    assert set(world.counts().values()) == {1}


async def test_whoever_says_stop_waits_for_the_transaction_under_way_only() -> None:
    world = World()
    buried(world, 100)
    run = world.replay(per_s=10)
    running = asyncio.create_task(run())
    await asyncio.sleep(3.05)
    run.work.stop()
    await asyncio.sleep(0.01)
    assert running.done()
    assert not running.result().is_done
    assert running.result().put_back == len(world.back()) == 32
    await world.replay()()
    assert set(world.counts().values()) == {1}
    assert len(world.counts()) == 100


# ---------------------------------------------------------------------------------------------------- once


async def test_a_dry_run_says_the_same_and_writes_nothing() -> None:
    world = World()
    buried(world, 30)
    world.bury("gone", reason="cancelled")
    world.answer("lead-7", 0)
    dry = world.replay()
    told = await dry(dry=True)
    assert dry.producers == 0
    assert not world.kafka.groups
    assert not world.back()
    assert not world.kafka.opened
    done = await world.replay()()
    assert (told.put_back, told.skipped, told.chosen) == (done.put_back, done.skipped, done.chosen)
    assert done.skipped == {Skip.ANSWERED: 1, Skip.CANCELLED: 1}
    assert (await world.replay()(dry=True)).put_back == 0


async def test_what_was_answered_is_not_put_back_however_long_ago() -> None:
    world = World()
    for name in ("completed", "replayed", "failed", "later", "fresh"):
        world.bury(name, ago_s=300_000)
    world.answer("completed", 0, ago_s=290_000)
    world.answer("replayed", 1, status="failed", ago_s=290_000)
    world.answer("failed", 0, status="failed", ago_s=300_000)
    world.answer("later", 4, ago_s=100_000)
    tally = await world.replay()()
    assert world.counts() == {("failed", 1): 1, ("fresh", 1): 1}
    assert tally.skipped == {Skip.ANSWERED: 3}


async def test_a_run_that_has_a_dead_letter_of_its_own_is_known_when_its_outcome_is_gone() -> None:
    world = World()
    world.bury("a", ago_s=900_000)
    world.bury("a", ago_s=800_000, run=1)
    await world.replay()()
    assert world.counts() == {("a", 2): 1}


async def test_two_dead_letters_of_one_run_are_one_replay() -> None:
    world = World()
    world.bury("a", ago_s=900_000)
    world.bury("a", ago_s=1)
    tally = await world.replay()()
    assert world.counts() == {("a", 1): 1}
    assert tally.skipped == {Skip.ANSWERED: 1}


async def test_what_another_job_had_answered_while_this_one_was_at_work_is_noticed() -> None:
    world = World()
    buried(world, 100)
    running = asyncio.create_task(world.replay(per_s=1, answers_every_s=30)())
    await asyncio.sleep(40.5)
    world.answer("lead-99", 1)
    tally = await running
    assert tally.skipped == {Skip.ANSWERED: 1}
    assert ("lead-99", 1) not in world.counts()


async def test_a_conflict_under_a_new_id_is_recognised_when_it_is_interrupted_and_when_it_was_answered() -> None:
    world = World()
    offset = world.bury("a", reason="id_conflict", partition=0)
    world.bury("b")
    asked = ReplayRequest(new_id=True)
    await world.replay(asked)()
    [renamed] = [each.request.id for each in world.back() if each.run == 0]
    assert renamed.startswith("a~")
    assert world.counts() == {(renamed, 0): 1, ("b", 1): 1}
    world.answer(renamed, 0, status="failed")
    tally = await world.replay(ReplayRequest(new_id=True, reasons=("id_conflict",)))()
    assert tally.skipped == {Skip.ANSWERED: 1}
    assert offset == 0


async def test_a_second_replay_ends_the_first_and_nothing_goes_back_twice() -> None:
    world = World()
    buried(world, 100)
    first = asyncio.create_task(world.replay(per_s=10)())
    await asyncio.sleep(3)
    await world.replay()()
    with pytest.raises(ProducerDead):
        await first
    assert set(world.counts().values()) == {1}
    assert len(world.counts()) == 100


@pytest.mark.slow
async def test_two_replays_at_once_put_each_back_once_however_far_the_first_one_is() -> None:
    """The second begins with the first, one await later, two, and so on, until the first is done before it."""
    for step in count():
        world = World()
        world.kafka.offsets_lag = True
        buried(world, 23)
        first = asyncio.create_task(world.replay(per_s=1_000)())
        for _ in range(step):
            await asyncio.sleep(0)
        was_done = first.done()
        ended = await asyncio.gather(first, world.replay(per_s=1_000)(), return_exceptions=True)
        assert any(isinstance(each, ReplayTally) for each in ended), step
        assert all(isinstance(each, ReplayTally | ProducerDead) for each in ended), (step, ended)
        assert world.counts() == {(f"lead-{number}", 1): 1 for number in range(23)}, step
        if was_done:
            break
    assert step > 40


@pytest.mark.parametrize("fault", list(CommitFault))
async def test_a_commit_whose_answer_is_lost_is_neither_repeated_nor_forgotten(fault: CommitFault) -> None:
    world = World()
    buried(world, 45)
    run = world.replay()
    await run.work.open()
    world.kafka.commit_faults.extend([fault])
    with pytest.raises(ProducerDead):
        await run.work.run()
    await run.work.close()
    await world.replay()()
    assert set(world.counts().values()) == {1}
    assert len(world.counts()) == 45


@pytest.mark.slow
async def test_killed_at_any_await_and_gone_on_with_each_goes_back_once() -> None:
    """At its first await, its second, and so on, until one run comes through; each time all is well after the next."""
    for step in count(1):
        world = World()
        world.kafka.commit_takes_s = 0.01
        world.kafka.offsets_lag = True
        buried(world, 23)
        came_through = await killed_at(world.replay(), step)
        await world.replay()()
        assert set(world.counts().values()) == {1}, step
        assert len(world.counts()) == 23, step
        if came_through:
            break
    assert step > 60


@pytest.mark.slow
async def test_killed_again_and_again_in_one_world_each_goes_back_once() -> None:
    world = World()
    world.kafka.commit_takes_s = 0.01
    buried(world, 150)
    for step in range(1, 80):
        await killed_at(world.replay(), step)
    await world.replay()()
    assert set(world.counts().values()) == {1}
    assert len(world.counts()) == 150


def refuses(setback: Setback, *ids: str) -> Callable[[str, Record], Setback | None]:
    lanes = {requests_topic(PREFIX, lane) for lane in LANES}

    def policy(topic: str, record: Record) -> Setback | None:
        value = record.value or b""
        return setback if topic in lanes and any(b'"%s"' % each.encode() in value for each in ids) else None

    return policy


async def test_a_dead_letter_that_its_lane_refuses_is_skipped_and_all_others_go_back_once() -> None:
    world = World()
    names = [f"r{number}" for number in range(120)]
    for name in names:
        world.bury(name)
    world.kafka.policy = refuses(Setback.REFUSED, "r0", "r57", "r58")
    tally = await world.replay()()
    assert (tally.put_back, tally.skipped, tally.is_done) == (117, Counter({Skip.REFUSED: 3}), True)
    assert world.counts() == {(name, 1): 1 for name in names if name not in {"r0", "r57", "r58"}}


async def test_a_lane_that_may_not_be_written_ends_a_replay_that_goes_on_another_time() -> None:
    world = World()
    for number in range(10):
        world.bury(f"r{number}")
    world.kafka.policy = refuses(Setback.DENIED, "r3")
    with pytest.raises(ProducerDead):
        await world.replay()()
    world.kafka.policy = refuses(Setback.DENIED)
    assert (await world.replay()()).put_back == 10
