"""Waits of urgent requests as users would notice them: real dispatchers, Kafka, Valkey, and OpenAI over HTTP.

A wait is what the outcome states: from the Kafka timestamp of the request to the start of its first call.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Final

from benchmarks.lanes.findings import Check, Finding, quantile
from benchmarks.lanes.pair import create_topics, local_services, pair
from benchmarks.lanes.played import ONE_LANE, REQUESTS_PER_MINUTE, play, settings_of
from benchmarks.lanes.traffic import BULK, URGENT, Mix, Request
from benchmarks.lanes.waits import P95_MS, P99_MS, SHARE, fifo_words
from headrace.broker.client import GenerationClient, Submission, submission
from headrace.broker.simulator.accounting import Stats
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.upstream import Upstream
from headrace.consumers.results import ResultReader
from headrace.schemas.outcome import Completed, Outcome

PREFIX: Final = "bench-lanes"
_LAST_S: Final = 30.0  # for the outcomes of the last urgent requests
_TOGETHER: Final = 100


@dataclass(slots=True)
class Seen:
    """Timings read from the outcomes."""

    waits_ms: list[float] = field(default_factory=list)
    taken_ms: list[float] = field(default_factory=list)
    terms: set[int] = field(default_factory=set)
    failed: int = 0


def measure(seconds: int) -> Finding:
    """Measure the row with `seconds` of traffic."""
    mix = replace(Mix(), span_ms=1_000 * seconds)
    load_before = os.getloadavg()[0]
    seen, books = asyncio.run(_served(mix))
    wanted = sum(request.lane == URGENT for request in mix.requests())
    waits = seen.waits_ms + [1_000.0 * (seconds + _LAST_S)] * (wanted - len(seen.waits_ms))
    checks = [
        Check("p95", quantile(waits, 0.95), "ms", most=P95_MS),
        Check("p99", quantile(waits, 0.99), "ms", most=P99_MS),
        Check("used", books.share or 0.0, "%", least=SHARE),
        Check("median", quantile(waits, 0.5), "ms"),
        Check("longest", max(waits), "ms"),
        Check("until taken, p99", quantile(seen.taken_ms or [0.0], 0.99), "ms"),
        Check("429s", books.throttled),
        Check("load of the machine", (load_before + os.getloadavg()[0]) / 2),
    ]
    title = f"two dispatchers, Kafka, Valkey, HTTP; a bucket of a minute, 10 % urgent, bulk the rest; {seconds} s"
    rival = play(mix.requests(), settings_of(mix.tokens_per_minute, lanes=ONE_LANE), mix.span_ms)
    notes = {
        "urgent": wanted,
        "unanswered": wanted - len(seen.waits_ms),
        "failed": seen.failed,
        "terms": sorted(seen.terms),
        "calls": books.calls,
        "waits_ms": [round(wait) for wait in sorted(waits)],
    }
    return Finding("urgent-real", title, "real", checks, f"one queue, virtual: {fifo_words([rival])}", notes)


async def _served(mix: Mix) -> tuple[Seen, Stats]:
    requests = mix.requests()
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(local_services())
        await create_topics(services, PREFIX)
        played = UpstreamSettings(
            tokens_per_minute=mix.tokens_per_minute, requests_per_minute=REQUESTS_PER_MINUTE, seed=mix.seed
        )
        upstream = await stack.enter_async_context(Upstream(played))
        await stack.enter_async_context(pair(services, PREFIX, upstream.base_url, mix.tokens_per_minute))
        servers = services.endpoints.bootstrap_servers
        client = await stack.enter_async_context(GenerationClient(servers, topic_prefix=PREFIX))
        results = await stack.enter_async_context(ResultReader(servers, group="bench", topic_prefix=PREFIX))
        seen, wanted = Seen(), sum(request.lane == URGENT for request in requests)
        reading = asyncio.create_task(_read(results, wanted, seen), name="read outcomes")
        stack.callback(reading.cancel)
        await _submit(client, requests, mix.span_ms / 1_000)
        books = upstream.books()  # bulk still waits
        await asyncio.wait({reading}, timeout=_LAST_S)
        if reading.done():
            reading.result()
        return seen, books


async def _submit(client: GenerationClient, requests: Sequence[Request], span_s: float) -> None:
    """Submit bulk as fast as possible and urgent requests at their instants; return when the time is over."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()

    async def urgent() -> None:
        for number, request in enumerate(requests):
            if request.lane == URGENT:
                await asyncio.sleep(begun_s + request.at_ms / 1_000 - loop.time())
                tasks.create_task(_submit_one(client, request, number), name=f"submit {number}")

    async def bulk() -> None:
        async for _ in client.submit_many(_bulk(requests), in_flight_max=_TOGETHER):
            pass

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(urgent(), name="submit urgent")
        tasks.create_task(bulk(), name="submit bulk")
    await asyncio.sleep(begun_s + span_s - loop.time())


def _bulk(requests: Sequence[Request]) -> list[Submission]:
    return [
        submission({"id": _id(number), "body": request.body()}, lane=BULK)
        for number, request in enumerate(requests)
        if request.lane == BULK
    ]


async def _submit_one(client: GenerationClient, request: Request, number: int) -> None:
    await client.submit(request.body(), lane=request.lane, id=_id(number))


async def _read(results: ResultReader, wanted: int, seen: Seen) -> None:
    """Read until every urgent request has its outcome."""
    outcomes = 0
    async for outcome in results:
        seen.terms.add(outcome.term)
        seen.failed += not isinstance(outcome, Completed)
        if outcome.lane == URGENT:
            outcomes += 1
            note(outcome, seen)
        if outcomes == wanted:
            return


def note(outcome: Outcome, seen: Seen) -> None:
    """Record the wait before the first call that one outcome states."""
    timings = outcome.timings
    if timings.submitted_at is None or timings.called_at is None or timings.taken_at is None:
        return
    seen.waits_ms.append((timings.called_at - timings.submitted_at).total_seconds() * 1_000)
    seen.taken_ms.append((timings.taken_at - timings.submitted_at).total_seconds() * 1_000)


def _id(number: int) -> str:
    return f"lanes-{number}"
