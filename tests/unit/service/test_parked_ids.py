"""A parked request has an outcome whatever becomes of its copy."""

import asyncio
import json
from typing import Any

from broker.testing.upstream import Asked, Said
from schemas import topics
from schemas.codec import decode_failure, encode_retry
from schemas.dead_letter import Origin
from schemas.record import Record
from tests.unit.service.rig import PREFIX, Process, World, led, settings_of, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

FAILURES, DEAD_LETTERS = topics.failures_topic(PREFIX), topics.dead_letters_topic(PREFIX)


def shut(asked: Asked) -> Said | None:
    """The model of `parked` is used up for the day, at first."""
    message = "Rate limit reached on requests per day. Please try again in 7m12s."
    parks = asked.request_id.startswith("parked") and asked.nth == 1
    return Said(429, {"error": {"message": message, "code": None, "type": "requests"}}) if parks else None


async def parked(world: World, name: str = "parked", **fields: Any) -> list[Record]:
    """A request that waits for the retrier; its records in the failures topic."""
    other = {"model": "gpt-4o", "messages": [{"role": "user", "content": [[[[[[name]]]]]]}]}
    world.submit(name, "bulk", body=other, **fields)
    await until(lambda: bool(world.kafka.committed(FAILURES)))
    return [fetched.record for fetched in world.kafka.committed(FAILURES)]


def put_back(world: World, record: Record) -> None:
    """As the retrier does."""
    failure = decode_failure(record.value, record.headers)
    again = encode_retry(failure, Origin(FAILURES, 0, 0))
    world.kafka.append(topics.requests_topic(PREFIX, failure.lane), again)


def ends(world: World) -> list[tuple[str, int, str]]:
    return [(each["id"], each["run"], each.get("reason", each["status"])) for each in world.outcomes()]


def letters(world: World) -> list[tuple[str, bytes]]:
    return [(dict(each.headers)["headrace-reason"].decode(), each.value or b"") for each in world.dead_letters()]


async def test_a_copy_that_input_bounds_refuse_by_now_is_failed_by_the_identity_in_its_headers() -> None:
    world = World(latency_s=0.1, script=shut)
    first = Process(world, "generous").start()
    await led(first)
    (failure,) = await parked(world)
    await first.end()
    strict = Process(world, "strict", settings=settings_of(input={"nesting_max": 4})).start()
    await led(strict)
    put_back(world, failure)
    await until(lambda: bool(world.outcomes()), 10)
    world.submit("parked", "bulk", body={"model": "gpt-4o"})
    await asyncio.sleep(5)
    assert ends(world) == [("parked", 0, "invalid_request")]
    found = dict(letters(world))
    assert found.keys() == {"invalid_request", "id_conflict"}
    assert json.loads(found["invalid_request"])["body"]["messages"], "the dead letter holds the request as it came"
    await strict.end()


async def test_garbage_that_only_names_a_parked_id_fails_nothing() -> None:
    world = World(latency_s=0.1, script=shut)
    process = Process(world, "a").start()
    await led(process)
    (failure,) = await parked(world)
    forged = (
        ("headrace-attempt", b"200"),
        ("ce_subject", b"parked"),
        ("headrace-identity", b"0000000000000000 0 parked"),
    )
    world.kafka.append(topics.requests_topic(PREFIX, "bulk"), Record(None, b"{", forged))
    await until(lambda: bool(world.dead_letters()), 10)
    put_back(world, failure)
    await until(lambda: bool(world.outcomes()), 600)
    assert ends(world) == [("parked", 0, "completed")]
    assert letters(world) == [("invalid_request", b"{")]
    await process.end()
