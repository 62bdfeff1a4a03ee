"""A row over real HTTP: real Kafka and Valkey, a real dispatcher and a real `headrace upstream`, each its own process.

Every call of the row is submitted at once; then the upstream's `/stats` is read ten times a second, and its clock and
counts are the record: what was admitted between two looks is noted at the instant of the last of it.
"""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.limits.calls import Asked
from benchmarks.limits.dispatching import settings_of
from benchmarks.limits.rows import Row
from benchmarks.limits.world import Record
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.client import GenerationClient
from headrace.broker.local.guard import Guard
from headrace.broker.local.services import LocalServices
from headrace.broker.settings.lanes import LANE_DEFAULTS
from headrace.schemas.topics import topics

LOOK_S: Final = 0.1
READY_WITHIN_S: Final = 60.0
LONGEST_S: Final = 120.0
STOP_S: Final = 3.0
TOGETHER: Final = 250  # submissions under way at once
_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "all_proxy"})

Told = Callable[[int], None]
"""Gets the number of calls admitted so far."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The services that all rows share."""

    services: LocalServices
    http: aiohttp.ClientSession
    guard: Guard

    @property
    def directory(self) -> Path:
        """The directory of logs and settings; thrown away with the rest."""
        return self.services.data_dir


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Start a Kafka and a Valkey for all rows, and what they share besides."""
    for name in [name for name in os.environ if name.lower() in _PROXIES]:
        del os.environ[name]  # everything is on this machine
    async with LocalServices() as services, staged(services) as on:
        yield on


@asynccontextmanager
async def staged(services: LocalServices) -> AsyncIterator[Stage]:
    """Set up the same on services that run already."""
    guard = await asyncio.to_thread(Guard)  # ends the processes if this one is killed
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
            yield Stage(services, http, guard)
    finally:
        await asyncio.to_thread(guard.release)


async def dispatch_over_http(on: Stage, row: Row, asked: Sequence[Asked], told: Told) -> Record:
    """Make the calls; return the simulated OpenAI's record of them."""
    async with AsyncExitStack() as stack:
        upstream = await _started(on, row, "upstream", _upstream_flags(row), PIPE)
        stack.push_async_callback(_stop, upstream)
        assert upstream.stdout is not None
        urls = json.loads(await upstream.stdout.readline())
        prefix = f"bench-{row.name}"
        connection = KafkaConnection(on.services.endpoints.bootstrap_servers)
        await create_missing(connection, topics(prefix, LANE_DEFAULTS, nodes=1))
        config = on.directory / f"{row.name}.toml"
        config.write_text(_settings(on, row, prefix, urls["base_url"]), encoding="utf-8")
        dispatcher = await _started(on, row, "dispatcher", ["--config", str(config)], None)
        stack.push_async_callback(_stop, dispatcher)
        await _until_it_leads(on, on.directory / f"{row.name}-dispatcher.log", dispatcher)
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


async def _started(on: Stage, row: Row, verb: str, flags: Sequence[str], output: int | None) -> Process:
    log = (on.directory / f"{row.name}-{verb}.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headrace.broker.cli.main", verb, *flags),
        stdin=DEVNULL,
        stdout=output or log,
        stderr=log,
        env={name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "OPENAI_"))},
        start_new_session=True,
    )
    log.close()
    on.guard.watch(process.pid, "headrace.broker.cli.main")
    return process


async def _stop(process: Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_S)


async def _until_it_leads(on: Stage, log: Path, process: Process) -> None:
    async with asyncio.timeout(READY_WITHIN_S):
        port: int | None = None
        while True:
            await asyncio.sleep(LOOK_S)
            if process.returncode is not None:
                raise OSError(f"the dispatcher has ended: {_text(log)[-2_000:]}")
            port = port or _port(log)
            if port is None:
                continue
            with suppress(aiohttp.ClientError, TimeoutError):
                async with on.http.get(f"http://127.0.0.1:{port}/status") as answer:
                    if (await answer.json())["role"] == "leader":
                        return


def _port(log: Path) -> int | None:
    for line in _text(log).splitlines():
        with suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict) and said.get("event") == "listening":
                return int(said["port"])
    return None


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


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


def _settings(on: Stage, row: Row, prefix: str, base_url: str) -> str:
    """Return the whole settings file: the limits as an operator knows them."""
    endpoints = on.services.endpoints
    ((name, limit),) = settings_of(row).limits.items()
    return f"""\
[kafka]
bootstrap_servers = "{endpoints.bootstrap_servers}"
topic_prefix = "{prefix}"

[redis]
url = "{endpoints.redis_url}"

[openai]
api_key = "benchmark"
base_url = "{base_url}"

[dispatcher]
name = "benchmark"
http_host = "127.0.0.1"
http_port = 0
inflight_max = {row.inflight_max}

[limits."{name}"]
models = {json.dumps(limit.models)}
tokens_per_minute = {limit.tokens_per_minute}
requests_per_minute = {limit.requests_per_minute}
"""
