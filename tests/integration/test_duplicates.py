"""Two hundred ids, each submitted twice, across partitions, lanes and a failover: one call and one outcome each."""

import asyncio
import time
from pathlib import Path

import pytest

from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from tests.integration.fleet import AS_SHIPPED, Fleet, producing, read_all, request, send

IDS = 200


def repeated_calls(metrics: str) -> int:
    return sum(
        int(float(line.split()[-1]))
        for line in metrics.splitlines()
        if line.startswith("headrace_repeated_calls_total")
    )


def duplicates(metrics: str) -> int:
    return sum(
        int(float(line.split()[-1])) for line in metrics.splitlines() if line.startswith("headrace_duplicates_total{")
    )


@pytest.mark.timeout(180)
async def test_duplicates_across_a_failover_cost_one_call_and_have_one_outcome(
    services: LocalServices, tmp_path: Path
) -> None:
    arrivals: list[float] = []
    settings = UpstreamSettings(
        tokens_per_minute=6_000_000, requests_per_minute=600_000, law="chat-2025", latency_s=(1.0, 3.0), seed=7, port=0
    )
    options = {"HEADRACE_DISPATCHER__INFLIGHT_MAX": "60", "HEADRACE_LIMITS": '{"gpt-4o-mini": {}}'}
    async with Upstream(settings) as upstream:
        upstream.script(lambda number, body: arrivals.append(time.monotonic()))
        async with (
            Fleet(services, "twice", upstream.base_url, tmp_path, options, shapes=AS_SHIPPED) as fleet,
            producing(fleet) as producer,
        ):
            leader = await fleet.start()
            await fleet.until(leader, "leader")
            standby = await fleet.start()
            await fleet.until(standby, "standby")
            both = [request(f"r{n}") for n in range(IDS)]
            await send(producer, fleet, "bulk", both[:150], partition=0)
            await send(producer, fleet, "bulk", both[:75], partition=3)
            await fleet.inflight(leader, 50)
            await asyncio.sleep(2)
            killed_s = time.monotonic()
            await fleet.kill(leader)
            await send(producer, fleet, "bulk", both[150:], partition=1)
            await send(producer, fleet, "urgent", both[75:], partition=2)
            ledger = await read_all(fleet, "results", until=IDS, within_s=90)
            await fleet.until(standby, "leader")
            metrics = (await fleet.get(standby, "/metrics"))[1]
            assert set(ledger.counts().values()) == {1}
            assert len(ledger.counts()) == IDS
            calls, repeated = upstream.books().calls, repeated_calls(metrics)
            last_second = sum(killed_s - 1.0 <= at_s <= killed_s + 0.05 for at_s in arrivals)
            print({"calls": calls, "repeated": repeated, "started in the last second": last_second})
            assert IDS + repeated <= calls <= IDS + repeated + last_second
            assert duplicates(metrics) > 0
