"""Requests that are looked up and cancelled by their ids."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from headrace.schemas.codec import encode_outcome
from headrace.schemas.outcome import Completed
from tests.unit.gateway.served import BODY, HELLO, hello, served


async def test_a_client_may_take_the_id_alone_and_come_back() -> None:
    async with served(hello, latency_s=0.2) as world:
        taken = await world.ask(BODY, Prefer="respond-async", x_headrace_id="lead/17 of today")
        assert taken.status == 202
        assert taken.json["status"] == "accepted"
        path = taken.headers["Location"]
        waiting = await world.ask(path=path, method="GET")
        await asyncio.sleep(0.4)
        done = await world.ask(path=path, method="GET")
        foreign = await world.ask(path=path, method="GET", key="other")
    assert waiting.json["status"] == "not_known"
    assert done.json["status"] == "completed"
    assert done.json["response"]["choices"][0]["message"]["content"] == HELLO
    assert foreign.json.get("response") is None


async def test_a_request_that_the_leader_has_not_read_yet_is_not_said_to_be_missing() -> None:
    unread = {"state": "unknown", "lanes_without_room": [], "leads_for_s": 900.0}
    waiting = {"state": "waiting", "lane": "urgent", "model": "gpt-4o", "waits_for": [{"kind": "lane"}]}
    async with served(hello, reports=[unread, waiting]) as world:
        seen = await world.ask(path="/v1/headrace/requests/lead-17", method="GET")
    assert (seen.status, seen.json["status"]) == (200, "queued")


async def test_a_request_that_ends_between_two_looks_is_found_with_its_outcome() -> None:
    gone: list[dict[str, Any]] = [
        {"state": state, "lanes_without_room": [], "leads_for_s": 900.0} for state in ("answered", "unknown")
    ]
    async with served(hello, latency_s=0.2, reports=gone) as world:
        await world.ask(BODY, Prefer="respond-async", x_headrace_id="lead-17")
        seen = await world.ask(path="/v1/headrace/requests/lead-17", method="GET")
    assert (seen.status, seen.json["status"]) == (200, "completed")


async def test_a_request_that_is_nowhere_is_not_found() -> None:
    nothing = {"state": "unknown", "lanes_without_room": [], "leads_for_s": 900.0}
    async with served(hello, reports=[nothing] * 4) as world:
        seen = await world.ask(path="/v1/headrace/requests/lead-17", method="GET")
    assert seen.status == 404


async def test_a_request_can_be_cancelled_by_its_id_and_by_no_other_tenant() -> None:
    async with served(hello, latency_s=5.0) as world:
        await world.ask(BODY, Prefer="respond-async", x_headrace_id="lead-17")
        await world.ask(path="/v1/headrace/requests/lead-17", method="DELETE", key="other")
        await asyncio.sleep(0.2)
        assert not world.broker.outcomes
        told = await world.ask(path="/v1/headrace/requests/lead-17", method="DELETE")
        async with asyncio.timeout(5):
            while not world.broker.outcomes:  # noqa: ASYNC110 — a topic in memory
                await asyncio.sleep(0.02)
        seen = await world.ask(path="/v1/headrace/requests/lead-17", method="GET")
    assert told.status == 202
    assert (seen.json["status"], seen.json["reason"]) == ("failed", "cancelled")


async def test_an_outcome_of_another_tenant_with_an_id_of_ours_is_not_shown() -> None:
    async with served(hello) as world:
        foreign = Completed(id="acme/lead-17", tenant="globex", lane="urgent", response={"secret": "of globex"})
        record = encode_outcome(foreign, time=datetime.now(UTC))
        kafka = world.broker.kafka
        place = kafka.partition_for("generation.results", record)
        kafka.append("generation.results", record, partition=place, at_ms=kafka.utc_ms())
        seen = await world.ask(path="/v1/headrace/requests/lead-17", method="GET")
    assert "secret" not in seen.body.decode()


async def test_the_place_of_an_id_is_a_path_whatever_is_in_it() -> None:
    async with served(hello) as world:
        taken = await world.ask(BODY, Prefer="respond-async", x_headrace_id="50% of lead/17?")
        assert taken.headers["Location"] == "/v1/headrace/requests/50%25%20of%20lead/17%3F"
