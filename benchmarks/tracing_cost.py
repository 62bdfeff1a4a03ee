"""Processor time of a dispatcher for one call, without tracing and with all of its traces exported.

    python -m benchmarks.tracing_cost --calls 3000 --rounds 3

A real Kafka and Valkey, two dispatchers, a simulated OpenAI that answers in 50 ms, and a collector that accepts
everything; all on this machine. Rounds with and without tracing alternate, each with processes of its own. What the
leader needs while it is idle is subtracted. The ratio of the medians is the figure; the times themselves depend on the
machine and on what else it does.
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from benchmarks.lanes.pair import Leader, create_topics, local_services, pair
from benchmarks.lanes.traffic import MODEL
from headrace.broker.client import GenerationClient, submission
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.upstream import Upstream
from headrace.consumers.results import ResultReader

_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_SHARE: Final = "OTEL_TRACES_SAMPLER_ARG"
_SAMPLER: Final = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}
_TOKENS_PER_MINUTE: Final = 60_000_000
_LATENCY_S: Final = 0.05
_IDLE_S: Final = 5.0
_WARM_UP: Final = 200
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time of one round's calls, and the memory of the leader at its end."""

    traced: bool
    cpu_ms_a_call: float
    resident_mb: float


@asynccontextmanager
async def collector() -> AsyncIterator[str]:
    """Accept every export; yields the address."""

    async def accept(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    app = web.Application(client_max_size=2**26)
    app.add_routes([web.post("/v1/traces", accept)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def cpu_s(pid: int) -> float:
    """Return the processor time of a process so far, all of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


async def answered(services: LocalServices, prefix: str, name: str, count: int) -> None:
    """Send so many requests, and return once all have their outcome."""
    body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Write to Acme. " * 20}]}
    bootstrap = services.endpoints.bootstrap_servers
    many = [submission({"id": f"{name}-{n}", "body": body}, lane="standard") for n in range(count)]
    async with (
        GenerationClient(bootstrap, topic_prefix=prefix) as client,
        ResultReader(bootstrap, group=None, topic_prefix=prefix, start="latest") as results,
    ):
        async for _ in client.submit_many(many):
            pass
        left = count
        async for outcome in results:
            left -= outcome.id.startswith(f"{name}-")
            if not left:
                return


async def cost(services: LocalServices, leader: Leader, prefix: str, *, calls: int, traced: bool) -> Cost:
    """Measure one round."""
    await answered(services, prefix, "warm", _WARM_UP)
    before_s = cpu_s(leader.pid)
    await asyncio.sleep(_IDLE_S)
    idle_a_second, before_s, began = (cpu_s(leader.pid) - before_s) / _IDLE_S, cpu_s(leader.pid), time.monotonic()
    await answered(services, prefix, "call", calls)
    spent_s = cpu_s(leader.pid) - before_s - idle_a_second * (time.monotonic() - began)
    return Cost(traced, spent_s * 1_000 / calls, leader.resident_bytes / 2**20)


async def measured(calls: int, rounds: int, sample: float) -> list[Cost]:
    """Measure all rounds; every other one is traced, and that share of its requests is exported."""
    played = UpstreamSettings(
        tokens_per_minute=_TOKENS_PER_MINUTE,
        requests_per_minute=1_000_000,
        latency_s=(_LATENCY_S, _LATENCY_S),
        port=0,
    )
    found: list[Cost] = []
    os.environ.pop(_ENDPOINT, None)
    async with local_services() as services, Upstream(played) as upstream, collector() as endpoint:
        for number in range(2 * rounds):
            prefix, traced = f"cost-{number}", number % 2 == 1
            await create_topics(services, prefix)
            os.environ.update({_ENDPOINT: endpoint, **_SAMPLER, _SHARE: str(sample)} if traced else {})
            async with pair(services, prefix, upstream.base_url, _TOKENS_PER_MINUTE) as leader:
                found.append(await cost(services, leader, prefix, calls=calls, traced=traced))
            os.environ.pop(_ENDPOINT, None)
            print(found[-1], flush=True)
    return found


def main() -> None:
    """Measure and print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=3_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--sample", type=float, default=1.0, metavar="SHARE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    found = asyncio.run(measured(asked.calls, asked.rounds, asked.sample))
    off, on = (
        statistics.median(each.cpu_ms_a_call for each in found if each.traced is traced) for traced in (False, True)
    )
    memory = [
        statistics.median(each.resident_mb for each in found if each.traced is traced) for traced in (False, True)
    ]
    told = {"off_ms": round(off, 3), "on_ms": round(on, 3), "ratio": round(on / off, 3), "resident_mb": memory}
    print(json.dumps(told))
    if asked.json is not None:
        asked.json.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
