"""Cancels on a real Kafka: of what waits, flies, is parked, is answered or has not come, and while the leader dies."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.client import GenerationClient
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.script import Scripted
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from tests.integration.fleet import Fleet, producing, read_all, request, send

DAILY = "Rate limit reached for gpt-4o-mini on requests per day (RPD): Limit 200, Used 200. Please try again in 7m12s."


class Calls:
    """The first call of an id that begins with `slow` takes half a minute; who is to be parked is told to wait."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()

    def __call__(self, _: int, body: Mapping[str, Any]) -> Scripted | None:
        request_id = body["messages"][0]["content"].split()[3].rstrip(".")
        self.of[request_id] += 1
        if request_id.startswith("parked"):
            return Scripted(429, {"error": {"message": DAILY, "type": "requests", "code": "rate_limit_exceeded"}})
        return Scripted(delay_s=30) if request_id.startswith("slow") and self.of[request_id] == 1 else None

    async def reached(self, ids: Collection[str], within_s: float = 30) -> None:
        """Wait until each of them was called; a later call is answered soon."""
        async with asyncio.timeout(within_s):
            while not all(self.of[each] for each in ids):
                await asyncio.sleep(0.02)


def of_model(request_id: str, model: str) -> dict[str, object]:
    made = request(request_id)
    assert isinstance(made["body"], dict)
    return {**made, "body": made["body"] | {"model": model}}


async def headrace(fleet: Fleet, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """A verb as a script runs it: how it ended, and the objects it printed."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headrace.broker.cli.main",
        *arguments,
        env=fleet.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    printed, complaints = await child.communicate()
    fleet.said[f"complaints of `{' '.join(arguments)}` number {len(fleet.said) + 1} of {fleet.prefix}"] = (
        complaints.decode()
    )
    assert child.returncode is not None
    return child.returncode, [json.loads(line) for line in printed.splitlines()]


@pytest.mark.timeout(90)
async def test_whoever_cancels_gets_one_outcome_whatever_the_request_does_and_whoever_dies(
    services: LocalServices, tmp_path: Path
) -> None:
    calls = Calls()
    upstream_settings = UpstreamSettings(
        tokens_per_minute=6_000_000, requests_per_minute=600_000, latency_s=(0.05, 0.1), port=0
    )
    limits = {"gpt-4o-mini": {}, "gpt-4o": {"inflight_max": 1}, "gpt-5": {}}
    async with Upstream(upstream_settings) as upstream:
        upstream.script(calls)
        fleet = Fleet(services, "cancels", upstream.base_url, tmp_path, {"HEADRACE_LIMITS": json.dumps(limits)})
        async with (
            fleet,
            producing(fleet) as producer,
            GenerationClient(topic_prefix="cancels", connection=fleet.connection) as client,
        ):
            await send(producer, fleet, "urgent", [request("done"), of_model("parked", "gpt-5")])
            in_turn = [of_model("slow-flies", "gpt-4o"), of_model("slow-waits", "gpt-4o")]
            await send(producer, fleet, "bulk", in_turn, partition=0)
            leader = await fleet.start()
            standby = await fleet.start()
            await fleet.until(leader, "leader")
            await read_all(fleet, "failures", until=1)
            await calls.reached(["slow-flies"])
            asked_s = time.monotonic()
            receipts = [await client.cancel(each) for each in ("slow-waits", "done", "parked", "later", "slow-later")]
            code, printed = await headrace(fleet, "cancel", "slow-flies", "done", "--wait", "--json")
            assert (code, [(each["id"], each["status"]) for each in printed]) == (
                1,
                [("slow-flies", "failed"), ("done", "completed")],
            )
            print({"until cancelled, with the start of a verb": round(time.monotonic() - asked_s, 2)})
            assert [receipt.topic for receipt in receipts] == ["cancels.control"] * 5
            await send(producer, fleet, "urgent", [request("later")])

            dying = [f"slow-{number}" for number in range(10)]
            await send(producer, fleet, "standard", [request(each) for each in dying])
            await calls.reached(dying)
            await asyncio.gather(*(client.cancel(each) for each in dying[:5]))
            await fleet.until(standby, "standby")
            await fleet.kill(leader)
            await send(producer, fleet, "urgent", [request("slow-later")])
            ledger = await read_all(fleet, "results", until=16)
            letters = await read_all(fleet, "dead-letters")
    outcomes = {value["id"]: value for value in ledger.values}
    assert set(ledger.counts().values()) == {1}
    cancelled = {each for each, value in outcomes.items() if value["status"] == "failed"}
    assert cancelled == {"slow-flies", "slow-waits", "parked", "later", "slow-later", *dying[:5]}
    assert {outcomes[each]["reason"] for each in cancelled} == {"cancelled"}
    assert outcomes.keys() - cancelled == {"done", *dying[5:]}
    assert (calls.of["slow-flies"], calls.of["slow-waits"], calls.of["later"], calls.of["slow-later"]) == (1, 0, 0, 0)
    assert (outcomes["parked"]["lane"], outcomes["parked"]["attempts"]) == (None, 1)
    assert letters.records == []
