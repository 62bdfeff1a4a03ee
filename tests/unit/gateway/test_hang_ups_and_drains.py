"""Waits that end before their answer: the time is over, the client leaves, the gateway leaves."""

import asyncio

import aiohttp
import pytest

from tests.unit.gateway.served import BODY, HELLO, hello, served


async def test_a_wait_that_ends_says_how_to_go_on_and_the_answer_is_there_later() -> None:
    async with served(hello, latency_s=1.3) as world:
        early = await world.ask(BODY, key="hasty")
        name = early.headers["x-headrace-id"]
        assert (early.status, early.error["code"]) == (504, "outcome_pending")
        await asyncio.sleep(0.5)
        late = await world.ask(BODY, key="hasty", x_headrace_id=name)
    assert late.text == HELLO
    assert len(world.broker.calls) == 1


async def test_a_client_that_hangs_up_cancels_its_request_if_its_key_says_so() -> None:
    async with served(hello, latency_s=5.0) as world:
        await world.cut_off(key="hasty", x_headrace_id="lead-17")
        async with asyncio.timeout(5):
            while not world.broker.outcomes:  # noqa: ASYNC110 — a topic in memory
                await asyncio.sleep(0.02)
    [outcome] = world.broker.outcomes
    assert (outcome.status, getattr(outcome, "reason", "")) == ("failed", "cancelled")


async def test_a_client_that_hangs_up_keeps_its_request_otherwise() -> None:
    async with served(hello, latency_s=0.3) as world:
        await world.cut_off(x_headrace_id="lead-17")
        again = await world.ask(BODY, x_headrace_id="lead-17")
    assert again.text == HELLO


async def test_a_gateway_that_leaves_sends_its_clients_to_another() -> None:
    async with served(hello, latency_s=0.6) as one, served(broker=one.broker) as two:
        asking = asyncio.create_task(one.ask(BODY, x_stainless_retry_count="0"))
        await one.until_called(1)
        one.gateway.leave()
        reply = await asking
        again = await two.ask(BODY, x_stainless_retry_count="1")
    assert (reply.status, reply.error["code"]) == (504, "outcome_pending")
    assert again.text == HELLO
    assert len(one.broker.calls) == 1


async def test_a_gateway_that_leaves_waits_for_what_ends_within_its_drain() -> None:
    async with served(hello, latency_s=0.4, drain_s=5.0) as world:
        asking = asyncio.create_task(world.ask(BODY))
        await world.until_called(1)
        world.gateway.leave()
        assert not world.gateway.is_ready
        reply = await asking
        assert reply.text == HELLO
        assert reply.headers["Connection"] == "close"
        async with aiohttp.ClientSession() as another:
            with pytest.raises(aiohttp.ClientConnectionError):
                await another.post(f"http://127.0.0.1:{world.gateway.port}/v1/chat/completions", json=BODY)


async def test_a_hang_up_cancels_nothing_that_another_client_waits_for() -> None:
    async with served(hello, latency_s=0.5) as world:
        staying = asyncio.create_task(world.ask(BODY, key="hasty", x_headrace_id="lead-17"))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(world.ask(BODY, key="hasty", x_headrace_id="lead-17"), 0.2)
        assert (await staying).text == HELLO


async def test_a_stream_that_has_not_begun_is_sent_away_with_a_status() -> None:
    async with served(hello, latency_s=1.0) as world:
        asking = asyncio.create_task(world.ask({**BODY, "stream": True}))
        await world.until_called(1)
        world.gateway.leave()
        reply = await asking
    assert (reply.status, reply.error["code"]) == (504, "outcome_pending")


async def test_a_second_signal_skips_the_drain() -> None:
    async with served(hello, latency_s=1.0, drain_s=30.0) as world:
        asking = asyncio.create_task(world.ask(BODY))
        await world.until_called(1)
        world.gateway.leave()
        world.gateway.leave()
        reply = await asyncio.wait_for(asking, 5)
    assert reply.error["code"] == "outcome_pending"
