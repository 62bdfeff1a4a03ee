"""Ids of a gateway's calls: the same id again, and what an SDK repeats."""

import asyncio

import pytest

from headrace.broker.testing.keyed import HOME
from headrace.broker.testing.upstream import Asked, Said
from headrace.schemas.record import Record
from tests.unit.gateway.served import BODY, HELLO, hello, served


async def test_the_same_id_again_gets_the_answer_that_was_paid() -> None:
    async with served(hello) as world:
        first = await world.ask(BODY, x_headrace_id="lead-17")
        again = await world.ask(BODY, Idempotency_Key="lead-17")
    assert first.text == again.text == HELLO
    assert first.headers["x-headrace-id"] == again.headers["x-headrace-id"] == "lead-17"
    assert len(world.broker.calls) == 1


async def test_an_id_used_for_another_body_is_a_conflict_that_no_sdk_repeats() -> None:
    async with served(hello) as world:
        await world.ask(BODY, x_headrace_id="lead-17")
        other = await world.ask({**BODY, "temperature": 1}, x_headrace_id="lead-17")
    assert (other.status, other.error["code"]) == (400, "id_conflict")


async def test_equal_ids_of_two_tenants_never_meet() -> None:
    async with served(lambda asked: f"call {len(asked.request_id)} of {asked.request_id}") as world:
        mine = await world.ask(BODY, x_headrace_id="lead-17")
        its = await world.ask(BODY, key="other", x_headrace_id="lead-17")
        seen = await world.ask(path="/v1/headrace/requests/lead-17", method="GET", key="small")
    assert mine.status == its.status == 200
    assert mine.text != its.text
    assert len(world.broker.calls) == 2
    assert "choices" not in seen.body.decode()


async def test_equal_first_attempts_are_separate_calls() -> None:
    async with served(hello) as world:
        await asyncio.gather(*(world.ask(BODY, x_stainless_retry_count="0") for _ in range(3)))
    assert len(world.broker.calls) == 3


async def test_a_repetition_joins_the_call_that_its_client_gave_up() -> None:
    async with served(hello, latency_s=0.3) as world:
        await world.cut_off(x_stainless_retry_count="0")
        again = await world.ask(BODY, x_stainless_retry_count="1")
    assert again.text == HELLO
    assert len(world.broker.calls) == 1


async def test_a_repetition_joins_a_call_that_began_at_another_gateway() -> None:
    async with served(hello, latency_s=0.3) as one, served(broker=one.broker) as two:
        await one.cut_off(x_stainless_retry_count="0")
        again = await two.ask(BODY, x_stainless_retry_count="1")
    assert again.text == HELLO
    assert len(one.broker.calls) == 1


async def test_a_repetition_after_an_answer_that_was_received_is_a_call_of_its_own() -> None:
    async with served(hello) as world:
        await world.ask(BODY, x_stainless_retry_count="0")
        await asyncio.sleep(0.1)
        await world.ask(BODY, x_stainless_retry_count="1")
    assert len(world.broker.calls) == 2


async def test_a_repetition_of_another_body_joins_nothing() -> None:
    async with served(hello, latency_s=0.2) as world:
        await world.cut_off(x_stainless_retry_count="0")
        await world.ask({**BODY, "temperature": 1}, x_stainless_retry_count="1")
    assert len(world.broker.calls) == 2


@pytest.mark.parametrize("apart_s", [0.0, 1.1])
async def test_two_calls_cut_off_together_are_each_joined_by_one_repetition(apart_s: float) -> None:
    async with served(hello, latency_s=0.5 + apart_s) as world:
        await world.cut_off(count=2, x_stainless_retry_count="0")
        await asyncio.sleep(0.05)
        first = asyncio.create_task(world.ask(BODY, x_stainless_retry_count="1"))
        await asyncio.sleep(apart_s)
        again = await asyncio.gather(first, world.ask(BODY, x_stainless_retry_count="1"))
        assert len(world.broker.calls) == 2
    assert len({reply.headers["x-headrace-id"] for reply in again}) == 2


async def test_a_repetition_that_was_answered_is_joined_by_no_further_one() -> None:
    async with served(hello, latency_s=0.3) as world:
        await world.cut_off(x_stainless_retry_count="0")
        await world.ask(BODY, x_stainless_retry_count="1")
        await asyncio.sleep(0.1)
        await world.ask(BODY, x_stainless_retry_count="1")
    assert len(world.broker.calls) == 2


@pytest.mark.parametrize("refuses", [False, True])
async def test_a_stream_that_was_received_is_joined_by_no_repetition(refuses: bool) -> None:  # noqa: FBT001 — a case
    def answer(_: Asked) -> Said | str:
        return Said(400, {"error": {"message": "no"}}) if refuses else HELLO

    body = {**BODY, "stream": True}
    async with served(answer) as world:
        await world.ask(body, x_stainless_retry_count="0")
        await asyncio.sleep(0.1)
        await world.ask(body, x_stainless_retry_count="1")
    assert len(world.broker.calls) == 2


async def test_ids_of_calls_belong_to_the_gateways_home_partition() -> None:
    async with served(hello) as world:
        await asyncio.gather(*(world.ask(BODY) for _ in range(5)))
        kafka = world.broker.kafka
        assert len(kafka.logs("generation.results")) > 1
        places = {
            kafka.partition_for("generation.results", Record(each.id.encode(), None)) for each in world.broker.outcomes
        }
    assert places == {HOME}
