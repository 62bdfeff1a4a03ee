"""One budget of real processes: dispatchers, a retrier, a simulated OpenAI of its own, and a producer that loads it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaProducer

from headrace.broker.local.free_ports import free_ports
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.script import Scripted
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.upstream import Upstream
from tests.integration.fleet import Fleet, producing

MODEL = "gpt-4o-mini"
ORDINARY = ("--tokens-per-minute", "600000", "--requests-per-minute", "6000", "--latency", "0.2-0.6")


@dataclass
class SimulatedOpenAI:
    """`headrace upstream` at one address, which may be ended and started anew as another server."""

    port: int
    log: Path
    _child: asyncio.subprocess.Process | None = None
    _scripted: Upstream | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, *arguments: str) -> None:
        """Serve as `headrace upstream` with these arguments does, in place of what served before."""
        await self.stop()
        command = (sys.executable, "-m", "headrace.broker.cli.main", "upstream", "--port", str(self.port), *arguments)
        with self.log.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            while True:
                assert self._child.returncode is None, self.log.read_text()
                with suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{self.port}/stats") as answer:
                        await answer.read()
                        return
                await asyncio.sleep(0.1)

    async def answer_all(self, scripted: Scripted) -> None:
        """Serve the same answer to every call, which no option of `headrace upstream` plays."""
        await self.stop()
        self._scripted = Upstream(UpstreamSettings(port=self.port))
        await self._scripted.__aenter__()
        self._scripted.script(lambda number, body: scripted)

    async def stop(self) -> None:
        if self._child is not None:
            self._child.terminate()
            await self._child.wait()
            self._child = None
        if self._scripted is not None:
            await self._scripted.__aexit__(None, None, None)
            self._scripted = None


@dataclass
class Budget:
    """Processes of one prefix, as one job of Prometheus."""

    name: str
    fleet: Fleet
    openai: SimulatedOpenAI
    producer: AIOKafkaProducer
    load: asyncio.Task[None] | None = None
    _numbers: "count[int]" = field(default_factory=count)

    @property
    def job(self) -> str:
        return f"{self.name}/headrace"

    @property
    def targets(self) -> list[str]:
        return [f"127.0.0.1:{process.port}" for process in self.fleet.processes if process.port]

    async def send(self, lane: str, requests: int, *, tenant: str = "acme", words: int = 60, **fields: Any) -> None:
        """Put that many requests on a lane."""
        for number in (next(self._numbers) for _ in range(requests)):
            body = {
                "model": MODEL,
                "messages": [{"role": "user", "content": f"Write to lead {number}. " + "word " * words}],
            }
            body |= fields.get("body", {})
            request = {"id": f"{self.name}-{number}", "tenant": tenant, **fields, "body": body}
            await self.producer.send(
                f"{self.fleet.prefix}.requests.{lane}", json.dumps(request).encode(), key=tenant.encode()
            )
        await self.producer.flush()

    async def send_garbage(self, lane: str, records: int) -> None:
        """Put records on a lane that are not requests."""
        for number in (next(self._numbers) for _ in range(records)):
            await self.producer.send(f"{self.fleet.prefix}.requests.{lane}", f"not a request {number}".encode())
        await self.producer.flush()

    def begin_load(self, lanes: Sequence[str] = ("urgent", "standard"), every_s: float = 0.5) -> None:
        """Send one request to each of these lanes, again and again, until the budget ends."""
        self.load = asyncio.create_task(self._load(lanes, every_s), name=f"load of {self.name}")

    async def _load(self, lanes: Sequence[str], every_s: float) -> None:
        while True:
            for lane in lanes:
                await self.send(lane, 1)
            await asyncio.sleep(every_s)

    async def page(self) -> list[str]:
        """Return what the live page of a dispatcher says above all figures: its first sentence, and its findings."""
        [process, *_] = (
            each for each in self.fleet.processes if each.verb == "dispatcher" and each.child.returncode is None
        )
        address = f"http://127.0.0.1:{process.port}/events"
        async with asyncio.timeout(10), aiohttp.ClientSession() as session, session.get(address) as events:
            async for line in events.content:
                if line.startswith(b"data: ") and "page" in (told := json.loads(line[6:])):
                    page = told["page"]
                    return [page["sentence"], *(each["sentence"] for each in page["findings"])]
        raise AssertionError("the page's events ended")

    async def run(self, command: str, folder: Path) -> tuple[int, str]:
        """Run a command of a runbook as it is written there, as an operator of this budget would."""
        environment = self.fleet.environment() | {
            "PATH": f"{Path(sys.executable).parent}:{self.fleet.environment()['PATH']}",
            "HEADRACE_DISPATCHER__HTTP_PORT": str(self.fleet.processes[0].port),
            "COLUMNS": "120",
        }
        child = await asyncio.create_subprocess_exec(
            "bash", "-c", command, env=environment, cwd=folder, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(child.communicate(), 60)
        return child.returncode or 0, said.decode(errors="replace")


@asynccontextmanager
async def budget(
    services: LocalServices, name: str, folder: Path, *, dispatchers: int = 1, upstream: Sequence[str] = ORDINARY,
    **settings: str,
) -> AsyncIterator[Budget]:  # fmt: skip
    """Start the processes of one budget, and end them."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    [port] = free_ports(1)
    openai = SimulatedOpenAI(port, folder / "openai.log")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(openai.stop)
        await openai.serve(*upstream)
        fleet = await stack.enter_async_context(Fleet(services, name, openai.base_url, folder, dict(settings)))
        producer = await stack.enter_async_context(producing(fleet))
        for verb in ("dispatcher",) * dispatchers + ("retrier",):
            await fleet.start(verb)
        made = Budget(name, fleet, openai, producer)
        await fleet.leader("dispatcher", within_s=60)
        try:
            yield made
        finally:
            if made.load is not None:
                made.load.cancel()
                with suppress(asyncio.CancelledError):
                    await made.load
