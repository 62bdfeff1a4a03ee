"""Does the planner tell the truth? The same workload, planned in virtual time and served by real dispatchers.

A real Kafka, a real Valkey, two dispatcher processes and the simulated OpenAI over HTTP, for two minutes. Prints the
mean wait of each lane from both, from the record's time-stamp to the start of its first call. A lane with a mean above
a second must agree within 5 percent. Needs the extra `headrace[local]`.

Two things are not left to chance, since a run of 130 requests would show little else. Every answer takes two seconds:
the first call goes alone, so all others wait for its latency. And the mailing has one size: which of its requests come
first depends on the partitions that the producer draws.

    python -m benchmarks.planner_agreement [--seed 7]
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.cli.demo.dispatchers import Dispatchers
from headrace.broker.cli.demo.inside import Lookout
from headrace.broker.client import GenerationClient, Submission, submission
from headrace.broker.local.services import LocalServices
from headrace.broker.planner.arrivals import Arrival
from headrace.broker.planner.plan import Outlook, Plan, quotas_for
from headrace.broker.planner.stage import Times
from headrace.broker.planner.workload import RequestBatch, Span, Stream, Workload
from headrace.broker.settings.lanes import LANE_DEFAULTS
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.upstream import Upstream
from headrace.consumers.results import ResultReader
from headrace.schemas.outcome import Completed
from headrace.schemas.topics import topics

MODEL = "gpt-4o-mini"
TOKENS_PER_MINUTE = 30_000
REQUESTS_PER_MINUTE = 5_000
SPAN_MS = 90_000
GIVE_UP_S = 200.0
LATENCY_S = (2.0, 2.0)
COMPARED_ABOVE_MS = 1_000.0
AGREED_WITHIN = 0.05
STREAMS = (
    Stream("mailing", "bulk", batch=RequestBatch(30), input_tokens=Span(800, 800)),
    Stream("enrichment", "standard", per_hour=3_600, input_tokens=Span(300, 900)),
    Stream("new leads", "urgent", per_hour=720, input_tokens=Span(200, 700)),
)


@dataclass(frozen=True, slots=True)
class Means:
    """The mean wait of each lane, in milliseconds, and what the simulated OpenAI counted."""

    wait_ms: Mapping[str, float]
    requests: Mapping[str, int]
    throttled: int
    share: float | None


def planned(plan: Plan) -> Means:
    """Return the planner's means."""
    outlook: Outlook = plan.play()
    lanes = {name: lane.wait_ms for name, lane in outlook.record.lanes.items() if lane.wait_ms.count}
    waits = {name: wait.total / wait.count for name, wait in lanes.items()}
    return Means(waits, {name: wait.count for name, wait in lanes.items()}, outlook.throttled, outlook.limits[0].used)


async def served(plan: Plan, arrivals: list[Arrival]) -> Means:
    """Return the means of a real run."""
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(LocalServices())
        servers = services.endpoints.bootstrap_servers
        await create_missing(KafkaConnection(servers), topics("generation", LANE_DEFAULTS, nodes=1))
        played = replace(plan.upstream, tokens_per_minute=TOKENS_PER_MINUTE, requests_per_minute=REQUESTS_PER_MINUTE)
        upstream = await stack.enter_async_context(Upstream(played))
        dispatchers = await stack.enter_async_context(
            Dispatchers(services.data_dir, services.endpoints, upstream.base_url)
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        await Lookout(dispatchers, http).until_ready(within_s=60.0)
        generations = await stack.enter_async_context(GenerationClient(servers))
        results = await stack.enter_async_context(ResultReader(servers, group="agreement"))
        async with asyncio.timeout(GIVE_UP_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(submit(generations, arrivals))
            waits = await read(results, len(arrivals))
        books = upstream.books()
    means = {lane: sum(each) / len(each) for lane, each in waits.items()}
    return Means(means, {lane: len(each) for lane, each in waits.items()}, books.throttled, books.share)


async def submit(generations: GenerationClient, arrivals: list[Arrival]) -> None:
    """Submit each request at its time."""
    async for _ in generations.submit_many(timed(arrivals), in_flight_max=100):
        pass


async def timed(arrivals: list[Arrival]) -> AsyncIterator[Submission]:
    """Yield each submission at its time."""
    begun_s = asyncio.get_running_loop().time()
    for number, arrival in enumerate(arrivals):
        await asyncio.sleep(begun_s + arrival.at_ms / 1_000 - asyncio.get_running_loop().time())
        fields = {"id": f"agreement-{number}", "body": body(arrival)}
        yield submission(fields, lane=arrival.lane, source="headrace.benchmark")


def body(arrival: Arrival) -> dict[str, Any]:
    """Return a chat of that size."""
    first = arrival.size.content_bytes // 2
    texts = ("a" * first, "b" * (arrival.size.content_bytes - first))
    messages = [{"role": role, "content": text} for role, text in zip(("system", "user"), texts, strict=True)]
    return {"model": MODEL, "messages": messages}


async def read(results: ResultReader, count: int) -> dict[str, list[float]]:
    """Read the waits of all requests, by lane."""
    waits: dict[str, list[float]] = {}
    async for outcome in results:
        assert isinstance(outcome, Completed), outcome
        timings = outcome.timings
        assert outcome.lane is not None
        assert timings.called_at is not None
        assert timings.submitted_at is not None
        waits.setdefault(outcome.lane, []).append((timings.called_at - timings.submitted_at).total_seconds() * 1_000)
        if sum(map(len, waits.values())) == count:
            break
    return waits


def compared(plan: Means, reality: Means) -> Iterator[tuple[str, bool]]:
    """Yield a line for each lane, and whether it agrees."""
    for lane, planned_ms in plan.wait_ms.items():
        real_ms = reality.wait_ms[lane]
        apart = abs(planned_ms - real_ms) / real_ms if real_ms else 0.0
        agrees = max(planned_ms, real_ms) <= COMPARED_ABOVE_MS or apart <= AGREED_WITHIN
        yield f"{lane:10} {plan.requests[lane]:8} {planned_ms:12,.0f} {real_ms:12,.0f} {apart:8.1%}", agrees


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seed", type=int, default=7)
    workload = Workload(STREAMS, SPAN_MS, seed=parser.parse_args().seed)
    settings = Settings()
    quotas = quotas_for(
        settings, workload, tokens_per_minute=TOKENS_PER_MINUTE, requests_per_minute=REQUESTS_PER_MINUTE
    )
    manners = UpstreamSettings(latency_s=LATENCY_S, seed=workload.seed)
    plan = Plan(settings, workload, quotas, manners, Times(seed=workload.seed))
    expected = planned(plan)
    found = asyncio.run(served(plan, list(plan.arrivals())))
    print(f"{'lane':10} {'requests':>8} {'planned ms':>12} {'real ms':>12} {'apart':>8}")
    rows = list(compared(expected, found))
    for line, agrees in rows:
        print(line if agrees else f"{line}  DISAGREES")
    print(f"429s: {expected.throttled} planned, {found.throttled} real")
    return 0 if all(agrees for _, agrees in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
