"""One model is used up for a while, and its requests stand first in every lane: the other one is served meanwhile."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.script import Script, Scripted
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from tests.integration.fleet import LANES, Fleet, producing, read_all, request, send

SHUT, OPEN = "gpt-4.1", "gpt-4o-mini"
BUFFER, FIRST, OTHERS = 40, 400, 30
SHUT_S = 8.0
FLOOR_PER_S = 200  # what a lane takes back is not what is judged here: at the usual 10 a second it alone takes 38 s


def used_up() -> Script:
    """From its first call on the shut model tells every call to wait for one and the same instant."""
    ends_s: list[float] = []

    def script(_: int, body: Mapping[str, Any]) -> Scripted | None:
        if body["model"] != SHUT:
            return None
        if not ends_s:
            ends_s.append(time.monotonic() + SHUT_S)
        left_s = ends_s[0] - time.monotonic()
        if left_s <= 0:
            return None
        error = {"error": {"message": "Rate limit reached.", "type": "requests", "code": "rate_limit_exceeded"}}
        return Scripted(429, error, {"retry-after-ms": str(round(left_s * 1_000))})

    return script


def asking(request_id: str, model: str) -> dict[str, object]:
    body = {"model": model, "messages": [{"role": "user", "content": f"Write to lead {request_id}."}]}
    return request(request_id, body=body)


@pytest.mark.timeout(90)
async def test_a_model_that_is_used_up_leaves_the_buffers_to_another_and_comes_back(
    services: LocalServices, tmp_path: Path
) -> None:
    plenty = {"tokens_per_minute": 60_000_000, "requests_per_minute": 600_000}
    played = UpstreamSettings(
        tokens_per_minute=60_000_000,
        requests_per_minute=600_000,
        law="chat-2025",
        latency_s=(0.05, 0.1),
        seed=5,
        port=0,
    )
    async with Upstream(played) as upstream:
        settings = {
            "HEADRACE_LIMITS": json.dumps({SHUT: plenty, OPEN: plenty}),
            "HEADRACE_RETRY__IN_PLACE_MAX_S": "2",
            "HEADRACE_RETRIER__FLOOR_PER_S": str(FLOOR_PER_S),
            **{f"HEADRACE_LANES__{lane.upper()}__BUFFER_MAX": str(BUFFER) for lane in LANES},
        }
        async with (
            Fleet(services, "shut-model", upstream.base_url, tmp_path, settings) as fleet,
            producing(fleet) as producer,
        ):
            for lane in LANES:
                first = [asking(f"{lane}-shut-{n}", SHUT) for n in range(FIRST)]
                await send(producer, fleet, lane, first + [asking(f"{lane}-open-{n}", OPEN) for n in range(OTHERS)])
            upstream.script(used_up())
            dispatcher = await fleet.start("dispatcher")
            await fleet.start("retrier")
            begun_s = time.monotonic()
            served = await read_all(fleet, "results", until=len(LANES) * OTHERS, within_s=SHUT_S)
            print(f"the other model's {len(served.records)} answers after {time.monotonic() - begun_s:.1f} s")
            status = await fleet.status(dispatcher)
            assert {value["id"].split("-")[1] for value in served.values} == {"open"}
            assert status["limits"][SHUT]["waiting"] <= len(LANES) * BUFFER // 2
            assert status["parked"] >= len(LANES) * (FIRST - BUFFER)
            ledger = await read_all(fleet, "results", until=len(LANES) * (FIRST + OTHERS), within_s=30)
            assert set(ledger.counts().values()) == {1}
            assert {value["status"] for value in ledger.values} == {"completed"}
            print(f"all {len(ledger.records)} answers after {time.monotonic() - begun_s:.1f} s")
            parked = await read_all(fleet, "failures", until=1)
            assert {value["kind"] for value in parked.values} == {"rate_limited"}
            assert len(parked.records) <= 2 * len(LANES) * FIRST
