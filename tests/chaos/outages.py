"""What happens while Redis is away or emptied, while one Kafka node is away, and while all of them are."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psutil

from headrace.broker.simulator.admission import Metric
from headrace.broker.simulator.upstream import UpstreamSettings
from tests.chaos.arena import DISPATCHER, NODES, RETRIER, Arena, arena
from tests.chaos.failover import TWO, only_plain
from tests.chaos.faults import fill_disk_of, redis_emptied
from tests.chaos.figures import Figure, median, settled, spread

Say = Callable[[str], None]
CALLS_PER_S = 20
TOKENS_PER_CALL = 134
MODEL = "gpt-4o-mini"
SCARCE = UpstreamSettings(
    tokens_per_minute=CALLS_PER_S * TOKENS_PER_CALL * 60,
    requests_per_minute=600_000,
    law="chat-2025",
    latency_s=(0.5, 1.5),
    seed=9,
)
"""A limit that everybody waits for: about 20 calls a second."""


async def exhausted(scene: Arena, within_s: float = 180) -> None:
    """Wait until what the bucket held at the start is used up, so that calls come as fast as it refills."""
    async with asyncio.timeout(within_s):
        while True:
            await asyncio.sleep(1)
            now_s = time.monotonic()
            lately = len(scene.answers.between(now_s - 10, now_s)) / 10
            if len(scene.answers.at) > 0.8 * CALLS_PER_S * 60 and lately < 1.2 * CALLS_PER_S:
                return


async def redis_away(directory: Path, say: Say, *, seconds: float = 60) -> list[Figure]:
    """Redis killed for a minute while tokens are scarce: dispatch goes on as if nothing were."""
    settings = {"HEADRACE_DISPATCHER__INFLIGHT_MAX": "200"}
    async with arena(
        directory, 7, verbs=TWO, settings=settings, upstream=SCARCE, backlog=500, prepare=only_plain
    ) as scene:
        await exhausted(scene)
        leader = await scene.leader(DISPATCHER)
        term = (await scene.status(leader))["term"]
        before, begun_s = scene.upstream.books().accounts[MODEL][Metric.TOKENS], time.monotonic()
        os.kill(scene.services.valkey_pid, signal.SIGKILL)
        await asyncio.sleep(seconds)
        after, ended_s = scene.upstream.books().accounts[MODEL][Metric.TOKENS], time.monotonic()
        await scene.services.restart_valkey()
        await asyncio.sleep(5)
        calls = [begun_s, *scene.answers.between(begun_s, ended_s + 5)]
        pause_s = max(later - earlier for earlier, later in pairwise(calls))
        share = after.since(before).share or 0.0
        status = await scene.status(leader)
        say(f"{len(calls)} calls, longest pause {pause_s:.2f} s, {share:.1%} of the tokens used")
        return [
            Figure(f"longest pause in dispatch, Redis killed for {seconds:.0f} s", pause_s, 1.5),
            Figure("tokens used of those there were", share * 100, 97, "%", at_least=True),
            Figure(
                "changes of leader or term", float((status["role"], status["term"]) != ("leader", term)), 0, "changes"
            ),
            Figure("429s", scene.upstream.books().throttled, 2, ""),
            *await settled(scene),
        ]


async def redis_emptied_often(directory: Path, say: Say, *, times: int) -> list[Figure]:
    """FLUSHALL at random instants: one leader all the time."""
    dice = random.Random(8)
    async with arena(directory, 8) as scene:
        leader = await scene.leader(DISPATCHER)
        for _ in range(times):
            await asyncio.sleep(dice.uniform(0.2, 3))
            await redis_emptied(scene, dice)
        await asyncio.sleep(4)
        terms = {
            verb: sum(each.said().count('"leading"') for each in scene.fleet.processes if each.verb == verb)
            for verb in (DISPATCHER, RETRIER)
        }
        say(f"emptied {times} times; {leader.name} leads; terms: {terms}")
        return [
            *(Figure(f"terms of a {verb}, Redis emptied {times} times", count, 1, "") for verb, count in terms.items()),
            *await settled(scene),
        ]


async def nodes_away(directory: Path, say: Say, *, times: int) -> list[Figure]:
    """One of three Kafka nodes killed, then stopped, then without a disk: how long until outcomes flow again."""
    flows: dict[str, list[float]] = {"killed": [], "stopped": [], "without a disk": []}
    async with arena(directory, 9, verbs=TWO, prepare=only_plain) as scene:
        for number in range(times):
            for how, found in flows.items():
                await scene.whole()
                await scene.nodes_caught_up()
                node = NODES[number % len(NODES)]
                begun_s = time.monotonic()
                await _take_away(scene, node, how)
                await asyncio.sleep(16)
                pause_s, after_s = scene.outcomes.longest_pause(begun_s, time.monotonic())
                found.append(after_s if pause_s >= 1 else 0.0)
                say(f"node {node}, {how}: no outcome for {pause_s:.1f} s, again after {after_s:.1f} s")
                if how == "stopped":
                    os.kill(scene.services.kafka_pids[node], signal.SIGCONT)
                else:
                    await scene.services.restart_kafka(node)
        say("; ".join(f"{how}: {spread(found)}" for how, found in flows.items()))
        return [
            Figure(f"a Kafka node {how}, until outcomes flow, {times} times, worst", max(flows[how]), bound_s)
            for how, bound_s in (("killed", 8), ("stopped", 12), ("without a disk", 8))
        ] + await settled(scene)


async def _take_away(scene: Arena, node: int, how: str) -> None:
    if how == "without a disk":
        await fill_disk_of(scene, node)
    else:
        os.kill(scene.services.kafka_pids[node], signal.SIGKILL if how == "killed" else signal.SIGSTOP)


async def cluster_away(directory: Path, say: Say, *, seconds: float = 120) -> list[Figure]:
    """All three nodes killed for two minutes: answers that came meanwhile are kept, and published afterwards."""
    async with arena(directory, 10, verbs=TWO, prepare=only_plain) as scene:
        await asyncio.sleep(10)
        memory = {process.pid: [_memory_mb(process.pid)] for process in scene.fleet.processes}
        before, begun_s = len(scene.answers.repeated), time.monotonic()
        for pid in scene.services.kafka_pids.values():
            os.kill(pid, signal.SIGKILL)
        while time.monotonic() - begun_s < seconds:
            await asyncio.sleep(2)
            for pid, found in memory.items():
                found.append(_memory_mb(pid))
        await scene.services.restart_kafka()
        ready_s = time.monotonic()
        await scene.outcomes.until(len(scene.outcomes.said) + 1, 60)
        flows_s = time.monotonic() - ready_s
        await scene.whole()
        grown = max(max(found) - found[0] for found in memory.values())
        told = Counter([*scene.traffic.troubles, *scene.outcomes.troubles])
        say(f"what plain clients were told: {dict(told)}")
        say(f"memory in MB: {[[round(found[0]), round(max(found))] for found in memory.values()]}")
        return [
            Figure(f"all nodes back after {seconds:.0f} s, until outcomes flow", flows_s, 5),
            Figure("memory of a dispatcher grown meanwhile", grown, 64, "MB"),
            Figure(
                "paid answers dropped, so that calls were made again", len(scene.answers.repeated) - before, 0, "calls"
            ),
            *await settled(scene, users_may_see=True),
        ]


async def failover_429s(directory: Path, say: Say, *, times: int) -> list[Figure]:
    """The leader killed at 95 % load: how often the successor asks for more than there is."""
    refused, shares = list[int](), list[float]()
    settings = {"HEADRACE_DISPATCHER__INFLIGHT_MAX": "200"}
    async with arena(
        directory, 11, verbs=TWO, settings=settings, upstream=SCARCE, backlog=500, prepare=only_plain
    ) as scene:
        await exhausted(scene)
        scene.traffic.rate_per_s, scene.inflight_wanted = 0.95 * CALLS_PER_S, 10
        for number in range(1, times + 1):
            await scene.whole()
            await asyncio.sleep(20)
            leader = await scene.leader(DISPATCHER)
            before = scene.upstream.books()
            await scene.kill(leader)
            await asyncio.sleep(40)
            after = scene.upstream.books()
            tokens = after.accounts[MODEL][Metric.TOKENS].since(before.accounts[MODEL][Metric.TOKENS])
            refused.append(after.throttled - before.throttled)
            shares.append(tokens.share or 0.0)
            say(f"kill {number}: {refused[-1]} refused within 40 s, {shares[-1]:.1%} of the tokens used")
            await scene.start(leader)
        return [
            Figure(f"429s after a failover at 95 % load, {times} kills, worst", max(refused), 2, ""),
            Figure("tokens used in the 40 s after a kill, median", median(shares) * 100, 80, "%", at_least=True),
            *await settled(scene),
        ]


def _memory_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 1_048_576
