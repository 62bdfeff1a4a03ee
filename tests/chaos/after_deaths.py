"""How fast outcomes come again after leaders have died with thousands of requests in memory."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from headrace.broker.simulator.upstream import Scripted
from tests.chaos.arena import DISPATCHER, Arena, arena
from tests.chaos.failover import TWO
from tests.chaos.figures import Figure
from tests.chaos.traffic import Traffic
from tests.integration.fleet import producing, request, send

Say = Callable[[str], None]
TAKEN = 6_000
BACKLOG = 40_000
MEASURED_S = 5.0
BACK_WITHIN_S = 2.0
RATE_SHARE, RATE_PER_S = 0.9, 500.0
SETTINGS = {
    "HEADRACE_DISPATCHER__INFLIGHT_MAX": "100",
    "HEADRACE_LIMITS": '{"gpt-4o-mini": {}}',
    "HEADRACE_LANES__BULK__BUFFER_MAX": "7500",
    "HEADRACE_LANES__BULK__BUFFER_BYTES_MAX": str(64 << 20),  # a small request weighs 5.5 KB once it is decoded
}


async def after_deaths(directory: Path, say: Say, *, deaths: int) -> list[Figure]:
    """SIGKILL with 6,000 requests taken, so often in a row: the rate of outcomes beside the rate before."""

    def idle(traffic: Traffic) -> None:
        traffic.hold = True

    async with arena(
        directory, 21, verbs=TWO, nodes=1, latency_s=(0.05, 0.15), settings=SETTINGS, prepare=idle, inflight=0
    ) as scene:
        scene.upstream.script(_without_end)
        async with producing(scene.fleet) as producer:
            await send(producer, scene.fleet, "bulk", [request("plain-first")])  # its answer tells of the limit
            await scene.outcomes.until(1, 60)
            await _write(scene, producer)
        await scene.leader(DISPATCHER)
        await scene.outcomes.until(2_000, 60)
        before = await _rate(scene, MEASURED_S)
        taken = await _taken(scene, TAKEN, 60)
        for number in range(1, deaths + 1):
            leader = await scene.leader(DISPATCHER)
            killed_s = time.monotonic()
            await scene.kill(leader)
            first_s = await _first_of_the_next(scene)
            say(f"death {number}: first outcome after {first_s - killed_s:.2f} s")
            if number < deaths:
                await scene.start(leader)
        await asyncio.sleep(max(0.0, first_s + BACK_WITHIN_S - time.monotonic()))
        after = await _rate(scene, MEASURED_S)
        say(f"{taken} taken; {before:.0f} outcomes/s before, {after:.0f} after; by the second since the last death:")
        say(" ".join(f"{rate}" for rate in by_the_second(scene.outcomes.arrivals, killed_s, time.monotonic())))
        doubled = [each for each, count in scene.outcomes.counts.items() if count != 1]
        wrong = [each for each, said in scene.outcomes.said.items() if said["status"] != "completed"]
        return [
            Figure("requests taken before the deaths", taken, TAKEN, "requests", at_least=True),
            Figure(
                f"outcomes/s from 2 s after the first, {deaths} death(s) in a row, of {before:.0f} before",
                after,
                min(RATE_PER_S if deaths > 1 else before, RATE_SHARE * before),
                "/s",
                at_least=True,
            ),
            Figure("outcomes doubled", len(doubled), 0, ""),
            Figure("requests failed", len(wrong), 0, ""),
            Figure("processes ended by themselves", len(scene.ended_by_themselves()), 0, ""),
        ]


def _without_end(_: int, body: Mapping[str, Any]) -> Scripted | None:
    """Calls of `long` requests never end, however often they are made."""
    return Scripted(delay_s=3_600) if "lead long-" in str(body["messages"][0]["content"]) else None


def by_the_second(arrivals: Sequence[float], begin_s: float, end_s: float) -> list[int]:
    """How many outcomes came in each second of a stretch."""
    marks = [bisect_left(arrivals, begin_s + second) for second in range(int(end_s - begin_s) + 1)]
    return [after - before for before, after in pairwise(marks)]


async def _write(scene: Arena, producer: AIOKafkaProducer) -> None:
    """A call without end at the head of each partition, so that no stored base moves; behind it the backlog."""
    for partition in sorted(await producer.partitions_for(f"{scene.fleet.prefix}.requests.bulk")):
        await send(producer, scene.fleet, "bulk", [request(f"long-{partition}")], partition=partition)
    for first in range(0, BACKLOG, 500):
        ids = [f"plain-{number}" for number in range(first, first + 500)]
        await send(producer, scene.fleet, "bulk", [request(each, words=5) for each in ids])


async def _rate(scene: Arena, seconds: float) -> float:
    before, begun_s = len(scene.outcomes.arrivals), time.monotonic()
    await asyncio.sleep(seconds)
    return (len(scene.outcomes.arrivals) - before) / (time.monotonic() - begun_s)


async def _taken(scene: Arena, wanted: int, within_s: float) -> int:
    """Requests in the leader's memory, once there are so many."""
    leader, taken = await scene.leader(DISPATCHER), 0
    async with asyncio.timeout(within_s):
        while taken < wanted:
            await asyncio.sleep(0.1)
            lanes = (await scene.status(leader)).get("lanes") or {}
            taken = sum(int(lane["waiting"]) for lane in lanes.values())
    return taken


async def _first_of_the_next(scene: Arena) -> float:
    """When the first outcome of a later term came."""
    term = max(scene.outcomes.terms)
    async with asyncio.timeout(60):
        while scene.outcomes.terms[-1] <= term:
            await asyncio.sleep(0.01)
    place = next(number for number, each in enumerate(scene.outcomes.terms) if each > term)
    return scene.outcomes.arrivals[place]
