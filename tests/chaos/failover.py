"""How fast a leader is replaced: killed, stopped, or told to leave."""

import asyncio
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos.arena import DISPATCHER, Arena, arena, logged, logged_s
from tests.chaos.figures import Figure, median, settled, spread
from tests.chaos.places import Place
from tests.chaos.traffic import Traffic

Say = Callable[[str], None]
TWO = (DISPATCHER, DISPATCHER)
PLAIN = {"plain": 1}
_ON_THE_WAY_S = 0.05
"""A call that its leader sent just before it died comes a moment later."""


def only_plain(traffic: Traffic) -> None:
    traffic.kinds = dict(PLAIN)


async def leader_kills(directory: Path, say: Say, *, nodes: int, times: int) -> list[Figure]:
    """SIGKILL of the leader to the successor's first call, with default settings."""
    dice, waits = random.Random(nodes), list[float]()
    async with arena(directory, 3, verbs=TWO, nodes=nodes, settings={}) as scene:
        for number in range(1, times + 1):
            await scene.whole()
            await asyncio.sleep(dice.uniform(0, 1.5))
            leader = await scene.leader(DISPATCHER)
            killed_s = time.monotonic()
            await scene.kill(leader)
            waits.append(await scene.answers.first_after(killed_s + _ON_THE_WAY_S, 30) + _ON_THE_WAY_S)
            say(f"kill {number}: first call after {waits[-1]:.2f} s")
            await scene.start(leader)
        say(f"first calls after {spread(sorted(waits))}")
        first = f"SIGKILL of the leader to the successor's first call, {nodes} node(s), {times} kills"
        bounds = (3.0, 5.0 if nodes == 1 else 6.5)
        return [
            Figure(f"{first}, median", median(waits), bounds[0] if nodes == 1 else bounds[1]),
            Figure(f"{first}, worst", max(waits), bounds[1]),
            *await settled(scene),
        ]


async def hand_overs(directory: Path, say: Say, *, times: int) -> list[Figure]:
    """SIGTERM while calls take up to 10 s: nothing is called again, and the next leader begins at once."""
    gaps, admitted, repeated = list[float](), list[int](), list[int]()
    settings = {"HEADRACE_DISPATCHER__INFLIGHT_MAX": "64"}
    async with arena(directory, 4, verbs=TWO, latency_s=(0.5, 9.5), settings=settings, prepare=only_plain) as scene:
        for number in range(1, times + 1):
            await scene.whole()
            await asyncio.sleep(12)  # until it knows how long calls take
            leader = await scene.leader(DISPATCHER)
            process, before = scene.members[leader.name], len(scene.answers.repeated)
            told_s = time.monotonic()
            assert await scene.terminate(leader) == 0
            left_s = logged_s(process, "left")[-1]
            gaps.append(await scene.answers.first_after(left_s, 10))
            admitted.append(len(scene.answers.between(told_s + 1, left_s)))
            await asyncio.sleep(1)
            repeated.append(len(scene.answers.repeated) - before)
            say(
                f"hand-over {number}: {left_s - told_s:.1f} s of drain, {admitted[-1]} calls admitted in it, first call"
                f" {gaps[-1]:.2f} s after the last commit, {repeated[-1]} called again"
            )
            await scene.start(leader)
        return [
            Figure(
                f"the old leader's last commit to the successor's first call, {times} hand-overs, worst", max(gaps), 1
            ),
            Figure("calls repeated by a hand-over, calls up to 10 s", max(repeated), 0, "calls"),
            Figure("calls admitted during a drain, fewest", min(admitted), 1, "calls", at_least=True),
            *await settled(scene),
        ]


async def long_hand_over(directory: Path, say: Say) -> list[Figure]:
    """SIGTERM while half of the calls take 60 s: those that the drain cannot wait for are made again, and counted."""
    settings = {"HEADRACE_DISPATCHER__INFLIGHT_MAX": "100"}
    async with arena(directory, 5, verbs=TWO, settings=settings, prepare=only_plain) as scene:
        scene.traffic.kinds = {"plain": 1, "long": 1}
        await _until_long(scene, 40)
        scene.traffic.kinds = dict(PLAIN)
        leader, standby = await scene.leader(DISPATCHER), await scene.standby(DISPATCHER)
        process, before = scene.members[leader.name], len(scene.answers.repeated)
        told_s = time.monotonic()
        scene.answers.long_s = 0.5
        assert await scene.terminate(leader) == 0
        left_s = logged_s(process, "left")[-1]
        cancelled = int(str(logged(process, "drained")[-1]["cancelled"]))
        gap_s = await scene.answers.first_after(left_s, 10)
        await scene.outcomes.until(len(scene.traffic.acknowledged) - scene.traffic.unanswered, 60)
        await asyncio.sleep(5)
        repeated, counted = len(scene.answers.repeated) - before, await repeated_calls(scene, standby)
        admitted = len(scene.answers.between(told_s + 1, told_s + 19))
        say(
            f"{left_s - told_s:.1f} s of drain, {cancelled} calls cancelled at its end, {repeated} called again,"
            f" {counted} counted; {admitted} calls admitted in it; first call {gap_s:.2f} s after the last commit"
        )
        await scene.start(leader)
        return [
            Figure("the old leader's last commit to the successor's first call", gap_s, 1),
            Figure("calls of 60 s cancelled by the drain", cancelled, 1, "calls", at_least=True),
            Figure("calls repeated that were not cancelled by the drain", abs(repeated - cancelled), 0, "calls"),
            Figure("repeated calls that the metric does not count", abs(counted - repeated), 0, "calls"),
            Figure("calls admitted during the drain", admitted, 1, "calls", at_least=True),
            *await settled(scene),
        ]


async def stopped_leaders(directory: Path, say: Say, *, times: int) -> list[Figure]:
    """SIGSTOP of the leader: it is replaced as fast as a dead one, and publishes nothing when it wakes."""
    waits, late = list[float](), list[int]()
    async with arena(directory, 6, verbs=TWO, settings={}) as scene:
        for number in range(1, times + 1):
            await scene.whole()
            leader, standby = await scene.leader(DISPATCHER), await scene.standby(DISPATCHER)
            stopped_s = time.monotonic()
            scene.signal(leader, signal.SIGSTOP)
            waits.append(await scene.answers.first_after(stopped_s + _ON_THE_WAY_S, 30) + _ON_THE_WAY_S)
            term = (await scene.fleet.until(scene.members[standby.name], "leader"))["term"]
            await asyncio.sleep(4)
            woken = len(scene.outcomes.terms)
            scene.signal(leader, signal.SIGCONT)
            await scene.fleet.until(scene.members[leader.name], "standby")
            await asyncio.sleep(2)
            late.append(sum(each < term for each in scene.outcomes.terms[woken:]))
            say(f"stop {number}: first call after {waits[-1]:.2f} s, {late[-1]} outcomes of the old term after it woke")
        say(f"first calls after {spread(sorted(waits))}")
        return [
            Figure(f"SIGSTOP of the leader to the successor's first call, {times} stops, worst", max(waits), 6.5),
            Figure("outcomes that a leader published after it had been replaced", sum(late), 0, "outcomes"),
            *await settled(scene),
        ]


async def repeated_calls(scene: Arena, place: Place) -> int:
    _, text = await scene.fleet.get(scene.members[place.name], "/metrics")
    found = re.search(r"^headrace_repeated_calls_total (\S+)$", text, re.MULTILINE)
    return 0 if found is None else round(float(found[1]))


async def _until_long(scene: Arena, count: int) -> None:
    async with asyncio.timeout(60):
        while sum(each.startswith("long") for each in scene.answers.calls) < count:
            await asyncio.sleep(0.1)
