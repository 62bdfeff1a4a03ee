"""What is parked is sized as it will be written: in the failures topic, and on its lane again."""

import json
from random import Random

import pytest

from headrace.broker.core.setback import Setback
from headrace.broker.service.publishing.parked_weight import GROWTH_MAX, parked_weight
from headrace.broker.testing.upstream import Asked, Said, completion
from headrace.schemas import topics
from headrace.schemas.cloudevents import json_bytes
from headrace.schemas.codec import decode_failure
from headrace.schemas.record import Record
from headrace.schemas.request_codec import decode_request
from tests.unit.service.rig import PREFIX, Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME

FAILURES = topics.failures_topic(PREFIX)
NUMBERS = b'{"id":"%s","body":{"model":"gpt-4o-mini","x":[' + b"1e15," * 100_000 + b"1]}}"


def quota(asked: Asked) -> Said:
    error = {"message": "Rate limit reached on requests per day. Please try again in 7m12s.", "code": None}
    body = {"error": error | {"type": "requests"}}
    return Said(429, body=body) if asked.request_id.startswith("x") else Said(body=completion(asked))


def weight(record: Record, exact_above: int = 0) -> int:
    return parked_weight(record, decode_request(record.value, record.headers), exact_above=exact_above)


def test_a_request_whose_numbers_grow_weighs_what_is_written() -> None:
    record = Record(None, NUMBERS % b"x")
    assert len(record.value or b"") < 510_000
    assert weight(record) > 1_800_000


@pytest.mark.parametrize("key", [b"\x01" * 1_000, b"\xff" * 1_000, b'"' * 1_000, "ü\n".encode() * 300])
def test_a_key_weighs_what_is_written(key: bytes) -> None:
    plain = weight(Record(None, b'{"id":"x","body":{}}'))
    written = len(json_bytes(key.decode())) if b"\xff" not in key else len(key) * 4 // 3
    assert weight(Record(key, b'{"id":"x","body":{}}')) >= plain + written - 2


def test_many_empty_headers_weigh_what_is_written() -> None:
    headers = tuple(("a", b"") for _ in range(10_000))
    written = len(json_bytes([{"name": "a", "value": ""}] * 10_000))
    assert weight(Record(None, b'{"id":"x","body":{}}', headers)) >= written


def test_a_light_request_is_not_written_only_to_be_weighed() -> None:
    record = Record(None, b'{"id":"x","body":{"x":[1e15]}}')
    nothing = weight(Record(None, None))
    assert weight(record, exact_above=1_000) == len(record.value or b"") + nothing
    assert weight(Record(None, b"no request" * 1_000)) == 10_000 + nothing


@pytest.mark.parametrize("seed", range(50))
def test_no_json_grows_more_than_is_assumed(seed: int) -> None:
    chance = Random(seed)
    tokens = ("1e15", "-9e15", "1E15", "1e-4", "1e22", "0.1", "12", '"\\n\\u0001"', '"é"', "true", "[]", '{"a":1e15}')
    text = "[" + ",".join(chance.choice(tokens) for _ in range(2_000)) + "]"
    assert len(json_bytes(json.loads(text))) <= GROWTH_MAX * len(text.encode())


@VIRTUAL_TIME
async def test_a_request_that_outgrows_its_topic_is_not_parked_and_holds_up_nobody() -> None:
    world = World(latency_s=1, script=quota)
    process = Process(world, "a").start()
    await led(process)
    lane = topics.requests_topic(PREFIX, "standard")
    world.kafka.append(lane, Record(None, NUMBERS % b"x-numbers"), partition=0)
    world.submit("x-light", "standard")
    await until(lambda: bool(world.kafka.committed(FAILURES)), 20)
    for number in range(20):
        world.submit(f"lead-{number}", "urgent", body={"model": "gpt-4o", "messages": []})
    await until(lambda: len(world.outcomes()) == 20, 20)
    parked = [decode_failure(each.record.value).id for each in world.kafka.committed(FAILURES)]
    assert parked == ["x-light"]
    assert process.metric("headrace_transactions_total", {"result": "unknown"}) == 0
    await process.kill()


@VIRTUAL_TIME
async def test_a_copy_that_its_topic_refuses_all_the_same_becomes_an_outcome() -> None:
    world = World(latency_s=1, script=quota)
    process = Process(world, "a").start()
    await led(process)
    world.kafka.policy = lambda topic, _: Setback.REFUSED if topic == FAILURES else None
    world.submit("x", "standard")
    await until(lambda: len(world.outcomes()) == 1, 20)
    assert world.outcomes()[0]["reason"] == "unpublishable"
    assert len(world.dead_letters()) == 1
    await process.end()
