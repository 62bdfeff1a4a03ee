"""Two dispatchers and a retrier on real services, a simulated OpenAI that can be taken away, and a steady load."""

import asyncio
import itertools
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from headrace.broker.local.free_ports import free_ports
from headrace.broker.local.services import LocalServices
from tests.integration.fleet import Fleet, Process, producing, request, send

VERB = "headrace.broker.cli.main"
TOKENS_PER_MINUTE = 60_000
LANES = json.dumps(
    {
        "urgent": {"order": 1, "reserve": 0.05},
        "standard": {"order": 2, "floor": 0.1},
        "bulk": {"order": 3, "floor": 0.1},
    }
)


@dataclass
class StandIn:
    """`headrace upstream` as a process of its own, always at the same port."""

    log: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])
    child: asyncio.subprocess.Process | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self, *options: str) -> None:
        usual = (
            *("--tokens-per-minute", str(TOKENS_PER_MINUTE), "--requests-per-minute", "2000"),
            *("--latency", "1-3", "--behaviour", "foreign:share=0.1,burst=0.03"),
        )
        with self.log.open("ab") as sink:
            self.child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", VERB, "upstream", "--port", str(self.port), *usual, *options),
                stdout=sink,
                stderr=sink,
            )
        async with asyncio.timeout(30):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        if self.child is not None and self.child.returncode is None:
            self.child.send_signal(signal.SIGKILL)
            await self.child.wait()


@dataclass
class Load:
    """Requests on all lanes at a steady rate, above what the quota pays for."""

    fleet: Fleet
    per_s: float
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    last_bulk: str = ""

    async def burst(self, lane: str, count: int) -> None:
        async with producing(self.fleet) as producer:
            await send(producer, self.fleet, lane, [self._request(lane) for _ in range(count)])

    async def run(self) -> None:
        async with producing(self.fleet) as producer:
            for number in itertools.count():
                lane = ("urgent", "standard", "bulk", "bulk")[number % 4]
                await send(producer, self.fleet, lane, [self._request(lane)])
                await asyncio.sleep(1 / self.per_s)

    def _request(self, lane: str) -> dict[str, object]:
        number = next(self._numbers)
        name = f"{lane}-{number}"
        if lane == "bulk":
            self.last_bulk = name
        made = request(name, words=40, tenant=("acme", "globex", "initech")[number % 3])
        if number % 11 == 5:
            made["body"] = {**dict(made["body"]), "model": "gpt-4.1"}  # type: ignore[call-overload]  # a dict, as made
        return made


@dataclass
class Rig:
    """The processes of one run."""

    fleet: Fleet
    openai: StandIn
    load: Load

    async def leader(self) -> Process:
        return await self.fleet.leader()

    async def standby(self) -> Process:
        return await self.fleet.standby()


@asynccontextmanager
async def rig(services: LocalServices, prefix: str, folder: Path, **settings: str) -> AsyncIterator[Rig]:
    """Start everything but the load."""
    openai = StandIn(folder / f"{prefix}-openai.log")
    await openai.start()
    known = {"HEADRACE_LIMITS": '{"gpt-4o-mini": {}, "gpt-4.1": {}}', "HEADRACE_LANES": LANES, **settings}
    try:
        async with Fleet(services, prefix, openai.base_url, folder, known) as fleet:
            await fleet.start()
            await fleet.leader()
            await fleet.start()
            await fleet.start("retrier")
            await fleet.standby()
            yield Rig(fleet, openai, Load(fleet, per_s=5.0))
    finally:
        await openai.stop()


@asynccontextmanager
async def running(load: Load) -> AsyncIterator[None]:
    task = asyncio.create_task(load.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
