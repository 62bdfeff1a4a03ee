import asyncio
import json

import pytest

from headrace.broker.gateway.joins.call_records import content_digest
from headrace.broker.testing.upstream import Asked
from headrace.schemas.record import Record
from tests.unit.gateway.served import BODY, Served, served

CALLS = "generation.calls"


def by_id(asked: Asked) -> str:
    return f"answer of {asked.request_id}"


def _note(world: Served, value: object) -> None:
    kafka, digest = world.broker.kafka, content_digest("ingest", "chat.completions", BODY)
    record = Record(digest.encode(), json.dumps(value).encode())
    kafka.append(CALLS, record, partition=kafka.partition_for(CALLS, record), at_ms=kafka.utc_ms())


@pytest.mark.parametrize("event", [[], {}, None, 7, True, "paused"])
async def test_a_record_of_another_release_never_ends_the_following_of_calls(event: object) -> None:
    async with served(by_id, latency_s=0.3) as one, served(broker=one.broker) as two:
        _note(one, {"id": "acme/call-1", "event": event})
        await one.cut_off(x_stainless_retry_count="0")
        again = await asyncio.wait_for(two.ask(BODY, x_stainless_retry_count="1"), 3)
    assert again.status == 200
    assert len(one.broker.calls) == 1


@pytest.mark.parametrize("foreign", ["globex/lead-17", "no tenant at all", "acme/", "", "acme/" + "x" * 200, "acme/ü"])
async def test_a_repetition_never_joins_an_id_that_is_not_its_tenants(foreign: str) -> None:
    async with served(by_id) as world:
        _note(world, {"id": foreign, "event": "opened"})
        reply = await world.ask(BODY, x_stainless_retry_count="1")
        [outcome] = world.broker.outcomes
    assert reply.status == 200
    assert outcome.id.startswith("acme/call-")


@pytest.mark.parametrize("stream", [False, True])
async def test_of_two_equal_calls_cut_off_together_two_repetitions_at_once_take_one_each(stream: bool) -> None:  # noqa: FBT001
    body = {**BODY, "stream": stream}
    async with served(by_id, latency_s=0.5) as world:
        await world.cut_off(body, count=2, x_stainless_retry_count="0")
        replies = await asyncio.gather(*(world.ask(body, x_stainless_retry_count="1") for _ in range(2)))
    assert len({reply.headers["x-headrace-id"] for reply in replies}) == 2
    assert len(world.broker.calls) == 2


async def test_a_call_whose_id_was_taken_is_not_joined_by_another_ones_repetition() -> None:
    async with served(by_id, latency_s=0.3) as world:
        taken = await world.ask(BODY, Prefer="respond-async", x_stainless_retry_count="0")
        await asyncio.sleep(0.05)
        other = await world.ask(BODY, x_stainless_retry_count="1")
    assert taken.status == 202
    assert other.headers["x-headrace-id"] != taken.headers["x-headrace-id"]
    assert len(world.broker.calls) == 2


async def test_a_stream_that_ends_with_an_error_is_not_noted_as_received() -> None:
    body = {**BODY, "stream": True}
    async with served(lambda _: "one two three four", latency_s=0.8) as one, served(broker=one.broker) as two:
        reading = asyncio.create_task(one.ask(body, x_stainless_retry_count="0"))
        await asyncio.sleep(0.4)
        one.gateway.leave()
        broken = await reading
        assert broken.status == 200
        assert b"outcome_pending" in broken.body
        await asyncio.sleep(0.1)
        again = await two.ask(body, x_stainless_retry_count="1")
    assert b"four" in again.body
    assert len(one.broker.calls) == 1


async def test_a_stream_over_a_connection_that_closes_with_it_is_noted_as_received() -> None:
    body = {**BODY, "stream": True}
    async with served(by_id) as world:
        first = await world.ask(body, Connection="close", x_stainless_retry_count="0")
        await asyncio.sleep(0.1)
        again = await world.ask(body, x_stainless_retry_count="1")
    assert first.headers["x-headrace-id"] != again.headers["x-headrace-id"]
