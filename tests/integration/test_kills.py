"""The leader dies, hangs, or is cut off: every request still ends in exactly one outcome."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Scripted, Upstream, UpstreamSettings
from tests.hostile.upstream_clock import waited_s
from tests.integration.fleet import AS_SHIPPED, LANES, Fleet, producing, read_all, request, send
from tests.integration.standstill import standing_still

KILLS = 10
REQUESTS = 900  # more than are answered between ten kills, also on a slow machine
INFLIGHT = 50
FIRST_CALL_WITHIN_S = 5.0
"""Without the time in which the next leader's loop, or ours that plays OpenAI, waited for a processor."""


class Arrivals:
    """When each call reached the simulated OpenAI; once nobody is killed any more, calls need not take long."""

    def __init__(self) -> None:
        self.at_s: list[float] = []
        self.are_quick = False

    def __call__(self, number: int, body: object) -> Scripted | None:
        self.at_s.append(time.monotonic())
        return Scripted(delay_s=0.5) if self.are_quick else None

    async def first_after(self, instant_s: float, within_s: float) -> float:
        """Seconds from that instant to the next arrival."""
        async with asyncio.timeout(within_s):
            while not self.at_s or self.at_s[-1] <= instant_s:
                await asyncio.sleep(0.01)
        return next(at_s for at_s in self.at_s if at_s > instant_s) - instant_s


def waits_s(fleet: Fleet) -> dict[int, float]:
    """How long each process that lives has waited for a processor, by its pid; 0 is ourselves."""
    alive = [process.pid for process in fleet.processes if process.child.returncode is None]
    return {0: waited_s()} | {pid: waited_s(pid) for pid in alive}


def plentiful(latency_s: tuple[float, float]) -> UpstreamSettings:
    return UpstreamSettings(
        tokens_per_minute=6_000_000, requests_per_minute=600_000, law="chat-2025", latency_s=latency_s, seed=7, port=0
    )


@pytest.mark.timeout(240)
async def test_ten_killed_leaders_lose_nothing_and_answer_nothing_twice(
    services: LocalServices, tmp_path: Path
) -> None:
    dice, arrivals = random.Random(20261125), Arrivals()
    async with Upstream(plentiful((5.0, 8.0))) as upstream:
        upstream.script(arrivals)
        settings = {"HEADRACE_DISPATCHER__INFLIGHT_MAX": "60", "HEADRACE_LIMITS": '{"gpt-4o-mini": {}}'}
        async with (
            Fleet(services, "kills", upstream.base_url, tmp_path, settings, shapes=AS_SHIPPED) as fleet,
            producing(fleet) as producer,
        ):
            for lane, share in zip(LANES, (0.1, 0.3, 0.6), strict=True):
                await send(producer, fleet, lane, [request(f"{lane}-{n}") for n in range(int(REQUESTS * share))])
            for _ in range(3):
                await fleet.start()
            waits = []
            for _ in range(KILLS):
                leader = await fleet.leader()
                await fleet.inflight(leader, INFLIGHT)
                await fleet.standby()
                await asyncio.sleep(dice.uniform(0, 1.5))  # the kill comes at a random instant
                killed_s, before_s = time.monotonic(), waits_s(fleet)
                await fleet.kill(leader)
                first_s, after_s = await arrivals.first_after(killed_s + 0.05, 30), waits_s(fleet)
                successor = await fleet.leader()
                waits.append(first_s - sum(after_s[pid] - before_s[pid] for pid in (0, successor.pid)))
                await fleet.start()
            arrivals.are_quick = True
            ledger = await read_all(fleet, "results", until=REQUESTS, within_s=90)
            answered_twice = {key: count for key, count in ledger.counts().items() if count != 1}
            assert not answered_twice
            assert len(ledger.counts()) == REQUESTS
            assert all(value["status"] == "completed" for value in ledger.values)
            print("first calls after", [round(wait, 2) for wait in waits], "calls", upstream.books().calls)
            assert max(waits) <= FIRST_CALL_WITHIN_S, waits


@pytest.mark.timeout(120)
async def test_a_stopped_leader_that_wakes_publishes_nothing_and_steps_down(
    services: LocalServices, tmp_path: Path
) -> None:
    released = asyncio.Event()
    async with Upstream(plentiful((3.0, 5.0))) as upstream:
        upstream.script(lambda number, _: None if number == 1 else Scripted(held=released))  # one tells the limits
        settings = {"HEADRACE_DISPATCHER__INFLIGHT_MAX": "60", "HEADRACE_LIMITS": '{"gpt-4o-mini": {}}'}
        async with Fleet(services, "stopped", upstream.base_url, tmp_path, settings) as fleet:
            async with producing(fleet) as producer:
                await send(producer, fleet, "bulk", [request(f"r{n}") for n in range(150)])
            old = await fleet.start()
            await fleet.until(old, "leader")
            new = await fleet.start()
            await fleet.inflight(old, INFLIGHT)
            await fleet.until(new, "standby")
            async with standing_still(old.pid):
                await fleet.until(new, "leader")
                term = (await fleet.status(new))["term"]
                released.set()
                await asyncio.sleep(2)  # its calls are answered meanwhile, and it has all of that to publish
            await fleet.until(old, "standby")
            ledger = await read_all(fleet, "results", until=150)
            assert set(ledger.counts().values()) == {1}
            assert len(ledger.counts()) == 150
            assert (await fleet.status(new))["term"] == term
            terms = {value["term"] for value in ledger.values if value["timings"]["finished_at"]}
            assert max(terms) == term


@pytest.mark.timeout(180)
async def test_a_producer_fenced_by_our_own_time_out_loses_no_paid_answer(tmp_path: Path) -> None:
    """Kafka stands still between a send and its commit, longer than the transaction may last."""
    released = asyncio.Event()
    async with LocalServices() as services, Upstream(plentiful((2.0, 6.0))) as upstream:
        upstream.script(lambda number, _: None if number == 1 else Scripted(held=released))  # one tells the limits
        settings = {
            "HEADRACE_DISPATCHER__INFLIGHT_MAX": "80",
            "HEADRACE_DISPATCHER__TRANSACTION_TIMEOUT_S": "5",
            "HEADRACE_LIMITS": '{"gpt-4o-mini": {}}',
        }
        async with Fleet(services, "fenced", upstream.base_url, tmp_path, settings) as fleet:
            leader = await fleet.start()
            await fleet.until(leader, "leader")
            standby = await fleet.start()
            async with producing(fleet) as producer:
                await send(producer, fleet, "urgent", [request(f"r{n}") for n in range(200)])
            await fleet.inflight(leader, INFLIGHT)
            await fleet.until(standby, "standby")
            async with standing_still(services.kafka_pid):
                released.set()
                async with asyncio.timeout(30):
                    while (await fleet.get(leader, "/readyz"))[0] != 503:
                        await asyncio.sleep(0.1)
                assert (await fleet.get(leader, "/healthz"))[0] == 200
                await asyncio.sleep(30 - 12)  # half a minute of standstill in all, as it is not ready after 12 s
            ledger = await read_all(fleet, "results", until=200, within_s=60)
            assert set(ledger.counts().values()) == {1}
            assert len(ledger.counts()) == 200
            assert upstream.books().calls == 200, "an answer that was paid for was asked for again"
            assert "transaction_unknown" in leader.said()
            assert '"leading"' not in standby.said()
            assert (await fleet.status(leader))["role"] == "leader"
