"""A request by its id: its outcome, the leader's report, or that there is none."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from headrace.broker.testing.upstream import Asked
from tests.unit.gateway.served import BODY, served

PATH = "/v1/headrace/requests/lead-17"


def hello(_: Asked) -> str:
    return "Dear Ada."


def leader_saying(*reports: Mapping[str, Any]) -> tuple[list[str], Any]:
    """Make a leader that gives these reports in turn, the last one for ever; and the ids that it is asked for."""
    left, asked = list(reports), []

    async def leader(request_id: str, _within_s: float) -> Mapping[str, Any]:
        asked.append(request_id)
        return left.pop(0) if len(left) > 1 else left[0]

    return asked, leader


async def test_an_outcome_that_comes_while_the_leader_is_asked_is_found() -> None:
    async with served(hello, latency_s=0.2, leader=lambda *_: answered_by_now()) as world:

        async def answered_by_now() -> Mapping[str, Any]:
            async with asyncio.timeout(5):
                while not world.broker.outcomes:  # noqa: ASYNC110 — a topic in memory
                    await asyncio.sleep(0.01)
            return {"state": "answered"}

        await world.ask(BODY, Prefer="respond-async", x_headrace_id="lead-17")
        seen = await world.ask(path=PATH, method="GET")
    assert (seen.status, seen.json["status"]) == (200, "completed")


async def test_a_request_that_the_leader_takes_up_a_moment_later_is_found() -> None:
    asked, leader = leader_saying({"state": "unknown", "lanes_without_room": []}, {"state": "waiting", "lane": "bulk"})
    async with served(hello, leader=leader) as world:
        seen = await world.ask(path=PATH, method="GET")
    assert (seen.status, seen.json["status"], seen.json["lane"]) == (200, "queued", "bulk")
    assert asked == ["acme/lead-17"] * 2
    assert seen.headers["x-headrace-id"] == seen.json["id"] == "lead-17"


async def test_a_request_that_is_not_there_after_two_seconds_is_unknown() -> None:
    asked, leader = leader_saying({"state": "unknown", "lanes_without_room": []})
    async with served(hello, leader=leader) as world:
        seen = await world.ask(path=PATH, method="GET")
    assert (seen.status, len(asked)) == (404, 4)
    assert "lead-17" in seen.error["message"]


@pytest.mark.parametrize("report", [{"state": "unknown", "lanes_without_room": ["bulk"]}, {"state": "elsewhere"}])
async def test_a_request_that_may_be_in_kafka_is_not_said_to_be_unknown(report: Mapping[str, Any]) -> None:
    _, leader = leader_saying(report)
    async with served(hello, leader=leader) as world:
        seen = await world.ask(path=PATH, method="GET")
    assert (seen.status, seen.json["status"]) == (200, "not_known")
