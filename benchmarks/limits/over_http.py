"""A row over real HTTP: real Kafka and Valkey, a real dispatcher and a real `headrace upstream`, each its own process.

Every call of the row is submitted at once; then the upstream's `/stats` is read ten times a second, and its clock and
counts are the record: what was admitted between two looks is noted at the instant of the last of it.
"""

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from benchmarks.limits.calls import Asked
from benchmarks.limits.dispatching import settings_of
from benchmarks.limits.processes import Stage, settings_text, started, stop, until_it_leads
from benchmarks.limits.rows import Row
from benchmarks.limits.world import Record
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.client import GenerationClient
from headrace.broker.settings.lanes import LANE_DEFAULTS
from headrace.schemas.topics import topics

LOOK_S: Final = 0.1
LONGEST_S: Final = 120.0
TOGETHER: Final = 250  # submissions under way at once

Told = Callable[[int], None]
"""Gets the number of calls admitted so far."""


async def dispatch_over_http(on: Stage, row: Row, asked: Sequence[Asked], told: Told) -> Record:
    """Make the calls; return the simulated OpenAI's record of them."""
    async with AsyncExitStack() as stack:
        upstream = await started(on, f"{row.name}-upstream", ["upstream", *_upstream_flags(row)], output=PIPE)
        stack.push_async_callback(stop, upstream)
        assert upstream.stdout is not None
        urls = json.loads(await upstream.stdout.readline())
        prefix = f"bench-{row.name}"
        connection = KafkaConnection(on.services.endpoints.bootstrap_servers)
        await create_missing(connection, topics(prefix, LANE_DEFAULTS, nodes=1))
        config = on.directory / f"{row.name}.toml"
        endpoints = on.services.endpoints
        text = settings_text(
            settings_of(row), prefix, urls["base_url"], endpoints.bootstrap_servers, endpoints.redis_url
        )
        config.write_text(text, encoding="utf-8")
        name = f"{row.name}-dispatcher"
        dispatcher = await started(on, name, ["dispatcher", "--config", str(config)])
        stack.push_async_callback(stop, dispatcher)
        await until_it_leads(on, name, dispatcher)
        async with GenerationClient(connection.bootstrap_servers, topic_prefix=prefix) as client:
            async with on.http.post(urls["stats_url"].replace("/stats", "/reset")) as answer:
                answer.raise_for_status()
            submitting = asyncio.create_task(_submit(client, asked), name=f"submit {row.name}")
            stack.callback(submitting.cancel)
            record = await _watch(on, urls["stats_url"], len(asked), told)
            await submitting
        return record


async def _submit(client: GenerationClient, asked: Sequence[Asked]) -> None:
    for place in range(0, len(asked), TOGETHER):
        some = asked[place : place + TOGETHER]
        await asyncio.gather(*(client.submit(call.body(), lane="urgent", id=call.id) for call in some))


async def _watch(on: Stage, stats_url: str, calls: int, told: Told) -> Record:
    """Sample the upstream until all calls are admitted, or refusals become a storm, or the time is over."""
    record, loop = Record(), asyncio.get_running_loop()
    opened_s, charged = loop.time(), 0
    while record.calls < calls and not record.storms and loop.time() - opened_s < LONGEST_S:
        await asyncio.sleep(LOOK_S)
        now_us = round((loop.time() - opened_s) * 1_000_000)
        async with on.http.get(stats_url) as answer:
            stats: Mapping[str, Any] = await answer.json()
        if stats["first_admitted_ms"] is None:
            continue
        record.first_us = round(stats["first_admitted_ms"] * 1_000)
        if stats["charged_tokens"] > charged:
            some = stats["charged_tokens"] - charged, stats["admitted"] - record.calls
            record.admitted.append((round(stats["last_admitted_ms"] * 1_000), *some))
        charged, record.calls = stats["charged_tokens"], stats["admitted"]
        record.refused += [now_us] * (stats["throttled"] - len(record.refused))
        told(record.calls)
    record.lost = calls - record.calls
    return record


def _upstream_flags(row: Row) -> list[str]:
    shortest, longest = row.latency_s
    flags = {
        "port": 0,
        "tokens-per-minute": row.tokens_per_minute,
        "requests-per-minute": row.requests_per_minute,
        "latency": f"{shortest:g}-{longest:g}",
        "seed": row.upstream().seed,
    }
    plays = [word for name in row.plays for word in ("--behaviour", name)]
    return [word for name, value in flags.items() for word in (f"--{name}", str(value))] + plays + ["--json"]
