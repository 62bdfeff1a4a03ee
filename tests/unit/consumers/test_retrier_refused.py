"""A record that its lane does not take back stops no other: it leaves as a dead letter that says why."""

import asyncio
import json
from collections.abc import Callable

import pytest

from headrace.broker.core.setback import Setback
from headrace.schemas import topics
from headrace.schemas.codec import decode_dead_letter, encode_failure
from headrace.schemas.failure import FailureKind, RetryableFailure
from headrace.schemas.record import Record
from tests.unit.consumers.rig import FAILURES, NAME, PREFIX, WALL, World, leading
from tests.unit.service.rig import until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

LETTERS = topics.dead_letters_topic(PREFIX)
EVIL = b'"evil"'
GOOD = {f"lead-{number}" for number in range(20)}


def refuses(setback: Setback, *which: str) -> Callable[[str, Record], Setback | None]:
    return lambda topic, record: setback if topic in which and EVIL in (record.value or b"") else None


def park_all(world: World) -> None:
    for number in range(10):
        world.park(f"lead-{number}", 1)
    world.park("evil", 1)
    for number in range(10, 20):
        world.park(f"lead-{number}", 1)


async def test_a_request_that_its_lane_refuses_leaves_as_a_dead_letter_and_all_others_come_back() -> None:
    world = World(partitions=1)
    process = await leading(world)
    world.kafka.policy = refuses(Setback.REFUSED, topics.requests_topic(PREFIX, "bulk"))
    park_all(world)
    assert await until(lambda: set(world.back()) == GOOD, 60) < 10
    (letter,) = world.dead_letters()
    told = decode_dead_letter(letter.key, letter.value, letter.headers)
    assert (told.reason, told.origin.topic, told.attempts) == ("unpublishable", FAILURES, 1)
    assert json.loads(told.value or b"")["id"] == "evil", "as its lane should have had it, so that it can be replayed"
    assert set(world.all_back().values()) == {1}
    await process.end()


@pytest.mark.slow
async def test_an_error_that_may_be_chance_buries_nobody_within_an_hour() -> None:
    world = World(partitions=1)
    process = await leading(world)
    world.kafka.policy = refuses(Setback.UNKNOWN, topics.requests_topic(PREFIX, "bulk"))
    park_all(world)
    await asyncio.sleep(3_500)
    assert (set(world.back()), world.dead_letters()) == ({f"lead-{number}" for number in range(10)}, [])
    await asyncio.sleep(200)
    assert set(world.back()) == GOOD
    assert len(world.dead_letters()) == 1
    await process.end()


async def test_a_request_that_is_refused_everywhere_leaves_as_a_dead_letter_without_content() -> None:
    world = World(partitions=1)
    process = await leading(world)
    world.kafka.policy = refuses(Setback.REFUSED, topics.requests_topic(PREFIX, "bulk"), LETTERS)
    park_all(world)
    await until(lambda: set(world.back()) == GOOD, 60)
    (letter,) = world.dead_letters()
    told = decode_dead_letter(letter.key, letter.value, letter.headers)
    assert (told.reason, told.value, told.original_length) == (
        "unpublishable",
        b"",
        len(b'{"id":"evil","body":{"model":"m"}}'),
    )
    await process.end()


async def test_a_lane_that_may_not_be_written_buries_nobody() -> None:
    world = World(partitions=1)
    process = await leading(world)
    world.kafka.policy = refuses(Setback.DENIED, topics.requests_topic(PREFIX, "bulk"))
    world.park("evil", 1)
    opened = world.kafka.opened[NAME]
    await until(lambda: world.kafka.opened[NAME] > opened + 20, 120)
    assert world.dead_letters() == []
    world.kafka.policy = lambda _topic, _record: None
    await until(lambda: world.back() == ["evil"])
    await process.end()


async def test_a_lane_that_is_deleted_is_named_until_it_is_there_again_and_buries_nobody() -> None:
    world, lane = World(partitions=1), topics.requests_topic(PREFIX, "bulk")
    process = await leading(world)
    world.kafka.delete(lane)
    world.park("lead", 1)
    await until(lambda: process.health.denied is not None, 120)
    for _ in range(50):
        await asyncio.sleep(0.9)
        assert f"The topic {lane} does not exist: run `headrace topics create`." in (process.health.trouble or "")
    assert world.dead_letters() == []
    world.kafka.create(lane)
    await until(lambda: world.back() == ["lead"], 10)
    assert process.health.trouble is None
    await process.end()


async def test_a_request_too_large_for_its_lane_leaves_at_once() -> None:
    world = World(partitions=1)
    process = await leading(world)
    failure = RetryableFailure(
        id="evil",
        kind=FailureKind.RATE_LIMITED,
        attempt=1,
        not_before=WALL,
        lane="bulk",
        submitted_at=WALL,
        request={"id": "evil", "x": "y" * 1_048_000},
    )
    world.kafka.message_bytes_max[FAILURES] = 3_000_000
    world.kafka.append(FAILURES, encode_failure(failure, time=WALL))
    world.park("lead", 1)
    await until(lambda: world.back() == ["lead"], 20)
    assert process.counted.transactions["unknown"] == 0
    assert process.counted.letters == {"unpublishable": 1}
    await process.end()


async def test_a_failure_that_json_has_no_word_for_leaves_as_a_dead_letter() -> None:
    world = World(partitions=1)
    process = await leading(world)
    value = (
        b'{"id":"x","kind":"quota","attempt":1,"not_before":"2026-12-01T09:00:00Z","lane":"bulk",'
        b'"submitted_at":"0001-01-01T00:00:00Z","request":{"id":"x","n":NaN}}'
    )
    world.kafka.append(FAILURES, Record(b"x", value))
    world.park("lead", 1)
    await until(lambda: world.back() == ["lead"], 20)
    assert process.counted.letters == {"undecodable": 1}
    await process.end()


async def test_pauses_between_stretches_grow_though_each_begins_with_a_claim() -> None:
    world = World(partitions=1)
    process = await leading(world)
    world.kafka.policy = refuses(Setback.DENIED, topics.requests_topic(PREFIX, "bulk"))
    world.park("evil", 1)
    await until(lambda: process.counted.transactions["unknown"] == 8, 60)
    before = world.kafka.opened[NAME]
    loop_s = await until(lambda: world.kafka.opened[NAME] == before + 10, 60)
    assert loop_s > 8, "two seconds each, give or take the jitter"
    await process.kill()
