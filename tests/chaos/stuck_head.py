"""Ten thousand requests answered behind one that is not, and then the leader dies: what is done stays done."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from aiokafka import AIOKafkaProducer

from tests.chaos.arena import DISPATCHER, Arena, arena
from tests.chaos.failover import TWO
from tests.chaos.figures import Figure
from tests.chaos.traffic import Traffic
from tests.integration.fleet import producing, request, send

Say = Callable[[str], None]
HEAD = "long-0"


async def stuck_head(directory: Path, say: Say, *, others: int = 10_000) -> list[Figure]:
    """All of them in one partition of one lane, the first one without an answer until the leader is dead."""

    def idle(traffic: Traffic) -> None:
        traffic.hold = True

    settings = {"HEADRACE_DISPATCHER__INFLIGHT_MAX": "200"}
    async with arena(
        directory, 12, verbs=TWO, nodes=1, latency_s=(0.02, 0.4), settings=settings, prepare=idle, inflight=0
    ) as scene:
        scene.answers.long_s = 3_600
        async with producing(scene.fleet) as producer:
            await send(producer, scene.fleet, "bulk", [request("plain-0")])  # its answer tells of the limit
            await scene.outcomes.until(1, 60)
            await _write(scene, producer, others)
        begun_s = time.monotonic()
        await scene.outcomes.until(1 + others, 540)
        say(f"{others} answered out of order behind one in {time.monotonic() - begun_s:.0f} s")
        leader = await scene.leader(DISPATCHER)
        scene.answers.long_s = 0.1
        await scene.kill(leader)
        await scene.outcomes.until(2 + others, 60)
        await asyncio.sleep(3)
        again = [each for each, calls in scene.answers.calls.items() if calls > 1 and each != HEAD]
        doubled = [each for each, count in scene.outcomes.counts.items() if count != 1]
        say(f"the head was called {scene.answers.calls[HEAD]} times")
        return [
            Figure(f"completed requests called again, {others} behind a stuck head", len(again), 0, "calls"),
            Figure("outcomes doubled", len(doubled), 0, ""),
            Figure("processes ended by themselves", len(scene.ended_by_themselves()), 0, ""),
        ]


async def _write(scene: Arena, producer: AIOKafkaProducer, others: int) -> None:
    ids = [HEAD, *(f"plain-{number}" for number in range(1, others + 1))]
    for first in range(0, len(ids), 500):
        await send(
            producer, scene.fleet, "bulk", [request(each, words=5) for each in ids[first : first + 500]], partition=0
        )
