"""One batch on real processes, with the gateway that runs it and the leader killed while it runs.

At the end each line has come back once, in the output or the error file, the same from each gateway; and each request
has one outcome in the results, whatever was submitted twice.
"""

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aiohttp
import openai
from openai.types import Batch

from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.local.free_ports import free_ports
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Scripted, Upstream, UpstreamSettings
from headrace.schemas.topics import TopicShape, gateway_topics
from tests.gateway.rig import MODULE, client_key, key_file
from tests.integration.fleet import AS_SHIPPED, Fleet, Process, read_all

_SETTINGS = {"HEADRACE_DISPATCHER__INFLIGHT_MAX": "200", "HEADRACE_LIMITS": '{"gpt-4o-mini": {}}'}
_REPLICAS = 2
KEY = "ada"


@dataclass
class Report:
    """What was seen."""

    lines: int
    seconds: float
    came_back: int
    twice: int
    failed: int
    outcomes: int
    outcomes_twice: int
    calls: int
    admitted: int
    throttled: int
    terms: int
    gateways_killed: int
    leaders_killed: int
    status: str
    has_equal_contents: bool

    @property
    def is_good(self) -> bool:
        """Whether each line came back once, as an answer."""
        once = self.came_back == self.outcomes == self.lines and not self.twice + self.outcomes_twice + self.failed
        return once and self.status == "completed" and self.has_equal_contents

    def __str__(self) -> str:
        return json.dumps(asdict(self))


@dataclass
class Gateways:
    """The gateways of a fleet, and clients that find one that lives."""

    fleet: Fleet
    http: aiohttp.ClientSession
    processes: list[Process] = field(default_factory=list)
    clients: dict[int, openai.AsyncOpenAI] = field(default_factory=dict)
    probes: dict[int, int] = field(default_factory=dict)
    """The port of a gateway's probes, by that of its API."""

    async def start(self) -> Process:
        number = len(self.processes)
        log, keys = self.fleet.directory / f"gateway-{number}.log", self.fleet.directory / "keys.toml"
        keys.write_text(key_file({KEY: {"tenant": "acme", "lanes": ["bulk"]}}))
        keys.chmod(0o600)
        port, probes = free_ports(2)
        own = {"ENABLED": "true", "HTTP_PORT": str(port), "METRICS_PORT": str(probes), "KEYS_FILE": str(keys)}
        settings = {f"HEADRACE_GATEWAY__{name}": value for name, value in own.items()}
        with log.open("wb") as sink:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", MODULE, "gateway"),
                env=self.fleet.environment() | settings,
                stdout=sink,
                stderr=sink,
            )
        process = Process("gateway", child, log, port)
        self.probes[port] = probes
        self.processes.append(process)
        async with asyncio.timeout(60):
            while not await self.is_ready(process):
                assert child.returncode is None, process.said()
                await asyncio.sleep(0.05)
        return process

    async def is_ready(self, process: Process) -> bool:
        with suppress(aiohttp.ClientError):
            async with self.http.get(f"http://127.0.0.1:{self.probes[process.port]}/readyz") as answer:
                return answer.status == 200
        return False

    async def end(self) -> None:
        for client in self.clients.values():
            await client.close()
        for process in self.alive:
            process.send(signal.SIGKILL)
            await process.child.wait()

    @property
    def alive(self) -> list[Process]:
        return [process for process in self.processes if process.child.returncode is None]

    def client(self, process: Process) -> openai.AsyncOpenAI:
        if process.port not in self.clients:
            base_url = f"http://127.0.0.1:{process.port}/v1"
            self.clients[process.port] = openai.AsyncOpenAI(base_url=base_url, api_key=client_key(KEY), max_retries=3)
        return self.clients[process.port]

    async def runner_of(self, batch_id: str) -> Process | None:
        """The gateway that runs a batch."""
        for process in self.alive:
            async with self.http.get(f"http://127.0.0.1:{self.probes[process.port]}/status") as answer:
                if batch_id in (await answer.json())["batches_running"]:
                    return process
        return None

    async def batch(self, batch_id: str) -> Batch:
        """The batch, as a gateway that lives shows it."""
        return await self.client(self.alive[-1]).batches.retrieve(batch_id)


def body_of(lines: int) -> bytes:
    rows = (
        {
            "custom_id": f"lead-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"Write to lead {number}."}]},
        }
        for number in range(lines)
    )
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@asynccontextmanager
async def gateways(fleet: Fleet) -> AsyncIterator[Gateways]:
    async with aiohttp.ClientSession() as http:
        found = Gateways(fleet, http)
        try:
            yield found
        finally:
            await found.end()


async def killed_at(batches: Gateways, batch_id: str, share: float, *, leaders: bool) -> bool:
    """Kill the gateway that runs the batch, and the leader unless it is spared, once that share is answered."""
    while True:
        batch = await batches.batch(batch_id)
        counts = batch.request_counts
        if batch.status not in {"validating", "in_progress"}:
            return False
        if counts is not None and counts.total and counts.completed >= share * counts.total:
            running = await batches.runner_of(batch_id)
            if running is not None:
                break
        await asyncio.sleep(0.1)
    await batches.start()  # before: one is always there for the client
    running.send(signal.SIGKILL)
    await running.child.wait()
    if leaders:
        await batches.fleet.kill(await batches.fleet.leader())
        await batches.fleet.start()
    return leaders


async def prove(  # keywords, most with a default
    services: LocalServices,
    directory: Path,
    *,
    lines: int,
    kills: int,
    leaders: bool = True,
    holds: bool = False,
    shapes: dict[str, TopicShape] | None = None,
) -> Report:
    """Run the batch, and say what came of it. `leaders`: kill them too, not gateways alone.

    `holds`: every other call is answered only after the last kill, so that a small batch is not over before.
    """
    prefix, killed, began_s = f"batch-{time.time_ns() % 10**8}", 0, time.monotonic()
    plenty = UpstreamSettings(
        tokens_per_minute=60_000_000, requests_per_minute=600_000, law="chat-2025", latency_s=(0.5, 1.5), seed=7, port=0
    )
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Upstream(plenty))
        released = asyncio.Event()
        if holds:
            upstream.script(lambda number, _: Scripted(held=released) if number % 2 else None)
        fleet = await stack.enter_async_context(
            Fleet(services, prefix, upstream.base_url, directory, _SETTINGS, shapes=shapes or AS_SHIPPED)
        )
        await create_missing(fleet.connection, gateway_topics(prefix, shapes, nodes=1))
        batches = await stack.enter_async_context(gateways(fleet))
        for _ in range(_REPLICAS):
            await fleet.start()
            await batches.start()
        await fleet.leader()
        client = batches.client(batches.alive[0])
        file = await client.files.create(file=("leads.jsonl", body_of(lines)), purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        for number in range(kills):
            killed += await killed_at(batches, batch.id, (number + 0.5) / (kills + 1), leaders=leaders)
        released.set()
        while batch.status in {"validating", "in_progress", "finalizing"}:
            await asyncio.sleep(0.2)
            batch = await batches.batch(batch.id)
        took_s = time.monotonic() - began_s
        files = [each for each in (batch.output_file_id, batch.error_file_id) if each is not None]
        contents = [
            b"".join([(await batches.client(each).files.content(file_id)).content for file_id in files])
            for each in batches.alive
        ]
        ids = Counter(json.loads(row)["custom_id"] for row in contents[0].splitlines())
        ledger = await read_all(fleet, "results", until=lines, within_s=60)
        outcomes = ledger.counts()
        books = upstream.books()
        return Report(
            lines=lines,
            seconds=round(took_s, 1),
            came_back=len(ids),
            twice=sum(count > 1 for count in ids.values()),
            failed=0 if batch.request_counts is None else batch.request_counts.failed,
            outcomes=len(outcomes),
            outcomes_twice=sum(count > 1 for count in outcomes.values()),
            calls=books.calls,
            admitted=books.admitted,
            throttled=books.throttled,
            terms=len({value["term"] for value in ledger.values}),
            gateways_killed=sum(each.child.returncode == -signal.SIGKILL for each in batches.processes),
            leaders_killed=killed,
            status=batch.status,
            has_equal_contents=len(contents) > 1 and len(set(contents)) == 1,
        )
