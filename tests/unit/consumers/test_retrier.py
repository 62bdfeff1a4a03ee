"""Requests that were parked come back to their lane when they are due, each once, whatever dies."""

import asyncio
import json
import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from headrace.schemas import topics
from headrace.schemas.record import Record
from headrace.schemas.request_codec import DecodedRequest, decode_request
from tests.unit.consumers.rig import FAILURES, PREFIX, WALL, World, leading
from tests.unit.service.rig import until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

HOUR_S = 3_600


async def test_a_request_comes_back_when_it_is_due_and_not_before() -> None:
    world = World()
    process = await leading(world)
    world.park("lead-1", 30)
    await asyncio.sleep(29.9)
    assert world.back() == []
    assert process.retrier.snapshot()["waiting_by_kind"] == {"rate_limited": 1}
    await asyncio.sleep(0.3)
    assert world.back() == ["lead-1"]
    assert process.retrier.snapshot()["waiting"] == 0
    assert process.counted.lanes == {"bulk": 1}
    await process.end()


async def test_it_comes_back_with_key_headers_and_the_time_of_its_first_submission() -> None:
    world = World()
    process = await leading(world)
    world.park("lead-1", 0, lane="urgent")
    await until(lambda: world.back("urgent") == ["lead-1"])
    (fetched,) = world.kafka.committed(topics.requests_topic(PREFIX, "urgent"))
    assert fetched.timestamp_ms == int((WALL - timedelta(hours=1)).timestamp() * 1_000)
    assert fetched.record.key == b"acme"
    assert fetched.record.headers[0] == ("x", b"y")
    decoded = decode_request(fetched.record.value, fetched.record.headers)
    assert isinstance(decoded, DecodedRequest)
    assert (decoded.attempt, decoded.failures) == (2, 0)
    assert decoded.failure_position is not None
    assert decoded.failure_position.startswith("t.failures/")
    await process.end()


@pytest.mark.slow
async def test_many_leave_in_the_order_in_which_they_are_due() -> None:
    world = World(partitions=1)
    process = await leading(world)
    dues = {f"r{number}": world.park(f"r{number}", (number * 37) % 101 / 10) for number in range(300)}
    await until(lambda: len(world.back()) == 300)
    assert sorted(world.back(), key=lambda name: dues[name]) == sorted(dues, key=lambda name: dues[name])
    assert process.counted.transactions["committed"] < 150
    await process.end()


async def test_a_new_partition_is_found() -> None:
    world = World(partitions=1)
    process = await leading(world)
    world.kafka.create(FAILURES, 3)
    for number in range(20):
        world.park(f"r{number}", 1)
    assert await until(lambda: len(world.back()) == 20, 40) < 32
    await process.end()


async def test_what_does_not_fit_the_memory_is_read_again() -> None:
    world = World()
    process = await leading(world, held_bytes_max=2_000)
    for number in range(50):
        world.park(f"r{number}", 5 + number % 7)
    await asyncio.sleep(1)
    assert 0 < process.retrier.snapshot()["held_bytes"] <= 2_000
    await until(lambda: len(world.back()) == 50)
    assert world.all_back() == {f"r{number}": 1 for number in range(50)}
    assert process.retrier.snapshot()["read_again"] > 0
    await process.end()


async def test_what_is_no_failure_becomes_a_dead_letter_and_holds_up_nobody() -> None:
    world = World(partitions=1)
    process = await leading(world)
    world.kafka.append(FAILURES, Record(b"k", b"garbage"))
    world.kafka.append(FAILURES, Record(None, None))
    world.park("lead-1", 0)
    await until(lambda: world.back() == ["lead-1"])
    letters = world.dead_letters()
    assert [letter.value for letter in letters] == [b"garbage", None] or len(letters) == 2
    assert process.counted.letters == {"undecodable": 2}
    assert process.retrier.snapshot()["waiting_by_kind"] == {}
    await process.end()


@pytest.mark.parametrize(
    "fields",
    [{"key": None, "key_base64": "x"}, {"request": {"a": math.nan}}, {"request": {"a": math.inf}},
     {"attempt": int("9" * 4_300)}],
)  # fmt: skip
async def test_a_failure_that_cannot_be_written_again_is_a_dead_letter_and_ends_no_retrier(
    fields: dict[str, Any],
) -> None:
    """Whoever may write to the topic can write this; each retrier in turn would end at it."""
    world = World(partitions=1)
    process = await leading(world)
    world.park("odd", 0)
    (parked,) = world.kafka.committed(FAILURES)
    shape = json.loads(parked.record.value or b"") | fields
    world.kafka.append(FAILURES, Record(None, json.dumps(shape).encode(), parked.record.headers))
    world.park("lead-1", 0)
    await until(lambda: sorted(world.back()) == ["lead-1", "odd"])
    await until(lambda: process.counted.letters == {"undecodable": 1})
    assert process.retrier.snapshot()["waiting_by_kind"] == {}
    await process.end()


async def test_a_batch_that_cannot_be_read_becomes_one_dead_letter() -> None:
    world = World(partitions=1)
    process = await leading(world)
    world.kafka.logs(FAILURES)[0].damage(0, 3)
    for number in range(6):
        world.park(f"r{number}", 1)
    await until(lambda: sorted(world.back()) == ["r4", "r5"])
    await process.end()
    second = await leading(world, "b")
    await asyncio.sleep(1)
    assert process.counted.letters + second.counted.letters == {"undecodable": 1}
    await second.end()


async def test_what_retention_removed_is_a_dead_letter_for_the_range() -> None:
    world = World(partitions=1)
    process = await leading(world)
    for number in range(5):
        world.park(f"r{number}", 5)
    world.park("done", 0)
    await until(lambda: world.back() == ["done"])
    await process.kill()
    world.kafka.logs(FAILURES)[0].trim(3)
    second = await leading(world, "b")
    await until(lambda: sorted(world.back()) == ["done", "r3", "r4"])
    (letter,) = world.dead_letters()
    assert dict(letter.headers)["headrace-reason"] == b"lost_by_retention"
    assert dict(letter.headers)["headrace-origin"] == b"t.failures/0/0"
    await second.end()


async def test_a_record_that_is_gone_when_it_is_due_is_a_dead_letter() -> None:
    world = World(partitions=1)
    process = await leading(world, held_bytes_max=1)
    world.park("r0", 5)
    world.park("r1", 5)
    await asyncio.sleep(1)
    world.kafka.logs(FAILURES)[0].trim(1)
    await until(lambda: world.back() == ["r1"])
    assert process.counted.letters == {"lost_by_retention": 1}
    await process.end()


async def test_the_requests_of_a_lane_that_is_gone_go_to_the_last() -> None:
    world = World()
    process = await leading(world)
    world.park("lead-1", 0, lane="express")
    await until(lambda: world.back("bulk") == ["lead-1"])
    await process.end()


def spoiled(world: World, name: str, **fields: object) -> None:
    """A failure of which some fields are no good."""
    scratch = World()
    scratch.park(name, 0)
    (fetched,) = scratch.kafka.committed(FAILURES)
    told = json.loads(fetched.record.value or b"") | fields
    world.kafka.append(FAILURES, replace(fetched.record, value=json.dumps(told).encode()))


@pytest.mark.parametrize(
    ("fields", "contained"),
    [
        ({"key": None, "key_base64": "x"}, 1),
        ({"request": {"id": "bad", "body": {"temperature": float("nan")}}}, 1),
        ({"lane": "x" * 5_000}, 0),
    ],
    ids=["its key cannot be restored", "its request cannot be written", "no progress could name its lane"],
)
async def test_a_failure_that_cannot_be_put_back_is_a_dead_letter_and_the_others_come_back(
    fields: dict[str, object], contained: int
) -> None:
    """Before, an exception ended the retrier, and each one that took over from it."""
    world = World()
    process = await leading(world)
    spoiled(world, "bad", **fields)
    world.park("lead-1", 0)
    world.park("lead-2", 5)
    await until(lambda: sorted(world.back()) == ["lead-1", "lead-2"])
    (letter,) = world.dead_letters()
    assert dict(letter.headers)["headrace-reason"] == b"undecodable"
    assert letter.value is not None
    assert process.counted.contained_steps["retry"] == contained
    assert process.task is not None
    assert not process.task.done()
    await process.end()
