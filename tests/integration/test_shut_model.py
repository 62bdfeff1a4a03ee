"""One model is used up for a while, and its requests stand first in every lane: the other one is served meanwhile."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.script import Script, Scripted
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from tests.hostile.upstream_clock import undisturbed_s, waited_s
from tests.integration.fleet import LANES, Fleet, producing, read_all, request, send

SHUT, OPEN = "gpt-4.1", "gpt-4o-mini"
BUFFER, FIRST, OTHERS = 40, 400, 30
SHUT_S = 8.0
"""Until then the other model's requests are served, without the time in which our loop or the dispatcher's waited for a
processor. If that takes longer by the clock, the model stays shut as long.
"""
FLOOR_PER_S = 200  # what a lane takes back is not what is judged here: at the usual 10 a second it alone takes 38 s


def used_up(is_held: Callable[[], bool]) -> Script:
    """All calls of the shut model are told to wait for one instant, 8 s after the first; while it is held, for more."""
    ends_s: list[float] = []

    def script(_: int, body: Mapping[str, Any]) -> Scripted | None:
        if body["model"] != SHUT:
            return None
        now_s = time.monotonic()
        if not ends_s or (is_held() and ends_s[-1] <= now_s):
            ends_s.append(now_s + SHUT_S)
        left_s = ends_s[-1] - now_s
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
            others_served = asyncio.Event()
            upstream.script(used_up(lambda: not others_served.is_set()))
            dispatcher = await fleet.start("dispatcher")
            await fleet.start("retrier")
            begun_s, waited_before_s = undisturbed_s(), waited_s(dispatcher.pid)
            served = await read_all(fleet, "results", until=len(LANES) * OTHERS)
            took_s = undisturbed_s() - begun_s - (waited_s(dispatcher.pid) - waited_before_s)
            print(f"the other model's {len(served.records)} answers after {took_s:.1f} s")
            status = await fleet.status(dispatcher)
            async with asyncio.timeout(
                3 * SHUT_S
            ):  # once nothing else is to be read, they are parked as they are refused
                while status["limits"][SHUT]["waiting"] > len(LANES) * BUFFER // 2:
                    await asyncio.sleep(0.1)
                    status = await fleet.status(dispatcher)
            print(f"its buffers are left after {undisturbed_s() - begun_s:.1f} s")
            others_served.set()
            assert took_s <= SHUT_S
            assert {value["id"].split("-")[1] for value in served.values} == {"open"}
            assert status["parked"] >= len(LANES) * (FIRST - BUFFER)
            ledger = await read_all(fleet, "results", until=len(LANES) * (FIRST + OTHERS), within_s=30)
            assert set(ledger.counts().values()) == {1}
            assert {value["status"] for value in ledger.values} == {"completed"}
            print(f"all {len(ledger.records)} answers after {undisturbed_s() - begun_s:.1f} s")
            parked = await read_all(fleet, "failures", until=1)
            assert {value["kind"] for value in parked.values} == {"rate_limited"}
            assert len(parked.records) <= 2 * len(LANES) * FIRST
