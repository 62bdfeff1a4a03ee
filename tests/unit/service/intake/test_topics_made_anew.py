"""A lane's topic is deleted and made anew under a living leader: the new one is read from its first record."""

import asyncio

import pytest

from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.ports import StoredOffset, TopicPartition
from headrace.broker.service.intake.lane_intake import PARTITIONS_LOOKED_UP_EVERY_MS
from headrace.broker.service.publishing.ledger_lines import claim_record
from headrace.broker.testing.kafka import CommitFault
from headrace.schemas.ledger import LedgerKind, encode_ledger
from headrace.schemas.record import Record
from headrace.schemas.topics import control_topic, ledger_topic, requests_topic
from tests.unit.service.rig import NAME, PREFIX, Process, World, led, settings_of, until, warmed
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

TOPIC = requests_topic(PREFIX, "standard")
NOTICED_WITHIN_S = PARTITIONS_LOOKED_UP_EVERY_MS / 1_000 + 5


def answered(world: World) -> set[str]:
    return {outcome["id"] for outcome in world.outcomes()}


def once_each(world: World) -> bool:
    return set(world.counts().values()) == {1}


async def leading(world: World, owner: str = "a") -> Process:
    process = Process(world, owner).start()
    await led(process)
    return process


async def with_former(world: World, count: int = 5) -> Process:
    """A leader that has answered some requests of the first topic."""
    process = await leading(world)
    await warmed(world)
    for number in range(count):
        world.submit(f"former-{number}", "standard", 0)
    await until(lambda: len(answered(world)) == count + 1)
    return process


def make_anew(world: World, count: int) -> set[str]:
    """The topic as it is now, and the ids in it."""
    world.kafka.delete(TOPIC)
    world.kafka.create(TOPIC, world.partitions)
    ids = [f"new-{number}" for number in range(count)]
    for each in ids:
        world.submit(each, "standard", 0)
    return set(ids)


@pytest.mark.slow
@pytest.mark.parametrize("window_s", [60, 3_600])
async def test_the_topics_of_the_progress_are_known_as_far_back_as_the_ledger_is_read(window_s: int) -> None:
    world, settings = World(), settings_of(dedupe={"window_s": window_s})
    leader = Process(world, "a", settings=settings).start()
    await led(leader)
    for part in range(7):
        await asyncio.sleep(window_s * 0.4)
        late = Process(world, f"late {part}", settings=settings)
        await late.follower.catch_up()
        assert late.follower.topic_ids.keys() >= {TOPIC}
        await late.follower.close()
    await leader.end()


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 8, 40])
async def test_a_topic_made_anew_is_taken_from_its_first_record_however_long_it_is_by_now(count: int) -> None:
    world = World()
    process = await with_former(world)
    ids = make_anew(world, count)
    world.submit("aside", "bulk")
    await until(lambda: "aside" in answered(world), 5)  # other lanes flow on
    await until(lambda: ids <= answered(world), NOTICED_WITHIN_S)
    assert once_each(world)
    assert world.claims() == [(1, "a"), (1, "a")]  # its own term goes on
    assert world.holder() == "a"
    await process.end()


async def test_what_was_taken_from_the_former_topic_still_has_its_outcomes() -> None:
    world = World(latency_s=12.0)
    process = await leading(world)
    for number in range(3):
        world.submit(f"former-{number}", "standard", 0)
    await until(lambda: world.upstream.inflight == 1)
    ids = make_anew(world, 6)
    await until(lambda: ids | {f"former-{number}" for number in range(3)} <= answered(world), 90)
    assert once_each(world)
    await process.end()


async def test_a_successor_does_not_believe_the_progress_of_the_former_topic() -> None:
    world = World()
    process = await with_former(world)
    ids = make_anew(world, 8)
    await until(lambda: "new-7" in answered(world), 5)  # read on from the former offset, and stored
    await process.kill()
    successor = await leading(world, "b")
    await until(lambda: ids <= answered(world))
    assert once_each(world)
    await successor.end()


async def test_a_leader_that_died_right_after_its_claim_hands_on_what_the_progress_belongs_to() -> None:
    world = World()
    process = await with_former(world)
    former = world.kafka.topic_id(TOPIC)
    ids = make_anew(world, 8)
    await until(lambda: "new-7" in answered(world), 5)
    await process.kill()
    claimed = encode_ledger(claim_record(2, "dead", (), {TOPIC: former}))
    world.kafka.append(ledger_topic(PREFIX), Record(None, claimed))
    successor = await leading(world, "b")
    await until(lambda: ids <= answered(world))
    await successor.end()


async def test_a_former_release_in_between_has_said_nothing_so_nothing_is_voided() -> None:
    world = World()
    process = await with_former(world)
    await process.end()
    ids = make_anew(world, 8)
    progress = PartitionProgress(8)  # the former release has taken all of the new topic
    kept = progress.store(2)
    world.kafka.append(ledger_topic(PREFIX), Record(None, encode_ledger(claim_record(2, "older"))))
    world.kafka.commit(NAME, NAME, {TopicPartition(TOPIC, 0): StoredOffset(kept.offset, kept.metadata)})
    successor = await leading(world, "b")
    world.submit("next", "standard", 0)
    await until(lambda: "next" in answered(world))
    assert not ids & answered(world)
    await successor.end()


async def test_the_ledger_says_of_which_topics_the_stored_progress_is() -> None:
    world = World()
    process = await with_former(world)
    lines = world.ledger()
    assert [line.topics for line in lines if line.kind is LedgerKind.CLAIM] == [{}]
    [said] = [line.topics for line in lines if line.topics]
    names = [control_topic(PREFIX), *(requests_topic(PREFIX, lane) for lane in ("urgent", "standard", "bulk"))]
    assert said == {name: world.kafka.topic_id(name) for name in names}
    await process.end()
    successor = await leading(world, "b")
    assert [line.topics for line in world.ledger() if line.kind is LedgerKind.CLAIM] == [{}, said]
    await successor.end()


async def test_the_control_topic_made_anew_is_read_from_its_beginning() -> None:
    world = World(latency_s=20.0)
    process = await leading(world)
    for number in range(5):
        world.cancel(f"unknown-{number}")
    await asyncio.sleep(2)
    world.kafka.delete(control_topic(PREFIX))
    world.kafka.create(control_topic(PREFIX))
    for number in range(4):
        world.cancel(f"later-{number}")
    world.cancel("lead-1")
    world.cancel("lead-2")
    await asyncio.sleep(NOTICED_WITHIN_S)
    world.submit("later-0", "standard")
    await until(lambda: "later-0" in answered(world), 5)
    assert [outcome["reason"] for outcome in world.outcomes()] == ["cancelled"]
    await process.end()


async def test_a_lane_that_is_missing_for_a_while_ends_no_leader() -> None:
    world = World(latency_s=3.0)
    process = await leading(world)
    await warmed(world)
    world.submit("paid", "bulk")
    await until(lambda: world.upstream.inflight == 1)
    world.kafka.delete(TOPIC)
    world.kafka.commit_faults.append(CommitFault.LOST)  # whatever is committed next: who leads must be asked
    await asyncio.sleep(8)
    world.kafka.create(TOPIC, world.partitions)
    world.submit("new", "standard", 0)
    await until(lambda: {"paid", "new"} <= answered(world), NOTICED_WITHIN_S)
    assert world.upstream.calls["paid"] == 1
    await process.end()
