"""A gateway in front of a Headrace in memory, with a real socket for its clients."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
from multidict import CIMultiDict

from headrace.broker.client_ports import GatewayDoors
from headrace.broker.clock import WallClock
from headrace.broker.errors import Unreachable
from headrace.broker.gateway.calls import CallRules
from headrace.broker.gateway.http.bodies import BodyLimits
from headrace.broker.gateway.http.requests import AskLeader
from headrace.broker.gateway.keys.caps import Caps
from headrace.broker.gateway.keys.ring import KeyRing
from headrace.broker.gateway.observing import GatewayMeter, NoMeter
from headrace.broker.gateway.server import Gateway, ServerRules
from headrace.broker.testing.memory_broker import Answer, MemoryBroker
from headrace.broker.testing.upstream import Asked
from tests.gateway.rig import client_key, key_file

KEYS: Mapping[str, Mapping[str, Any]] = {
    "ingest": {"tenant": "acme", "lane": "urgent", "lanes": ["bulk"]},
    "other": {"tenant": "globex", "lane": "urgent"},
    "small": {"tenant": "small", "lane": "urgent", "inflight_max": 1, "models": ["gpt-4o*"]},
    "hasty": {"tenant": "hasty", "lane": "urgent", "wait_s": 1, "on_disconnect": "cancel"},
}
BODY: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Grüße an 世界"}]}

HELLO = "Dear Ada, hello."


def hello(_: Asked) -> str:
    """An OpenAI that says one thing."""
    return HELLO


@dataclass
class Served:
    """The gateway, the Headrace behind it, and a client's session."""

    gateway: Gateway
    broker: MemoryBroker
    session: aiohttp.ClientSession

    async def ask(
        self,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        path: str = "/v1/chat/completions",
        key: str | None = "ingest",
        method: str = "POST",
        **headers: str,
    ) -> "Reply":
        """Send a request; underscores in names of headers become hyphens."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            told["Authorization"] = f"Bearer {client_key(key)}"
        data = body if isinstance(body, bytes) else (None if body is None else json.dumps(body).encode())
        if data is not None:
            told.setdefault("Content-Type", "application/json")
        url = f"http://127.0.0.1:{self.gateway.port}{path}"
        async with self.session.request(method, url, data=data, headers=told) as answer:
            return Reply(answer.status, CIMultiDict(answer.headers), await answer.read())

    async def cut_off(self, body: Mapping[str, Any] = BODY, *, count: int = 1, **headers: str) -> None:
        """Ask so often, and leave without an answer when OpenAI has been called for each of them."""
        called = len(self.broker.calls) + count
        asks = [asyncio.create_task(self.ask(body, **headers)) for _ in range(count)]
        await self.until_called(called)
        for ask in asks:
            ask.cancel()
        await asyncio.wait(asks)
        assert all(ask.cancelled() for ask in asks)

    async def until_called(self, times: int) -> None:
        """Wait until OpenAI has been called so often since the beginning."""
        async with asyncio.timeout(30):
            while len(self.broker.calls) < times:  # noqa: ASYNC110 — a list
                await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Reply:
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return str(self.json["choices"][0]["message"]["content"])

    @property
    def error(self) -> Any:
        return self.json["error"]


@asynccontextmanager
async def served(
    answer: Callable[[Asked], Answer] | None = None,
    *,
    latency_s: float = 0.0,
    drain_s: float = 0.0,
    broker: MemoryBroker | None = None,
    reports: Iterable[Mapping[str, Any]] = (),
    leader: AskLeader | None = None,
    meter: GatewayMeter | None = None,
) -> AsyncIterator[Served]:
    """Run a gateway; with a `broker`, in front of that one.

    `reports` are its leader's on a request, in turn; or `leader` makes them. Without either there is none to ask.
    """
    asked = leader or _in_turn(iter(reports))
    with TemporaryDirectory() as directory:
        path = Path(directory) / "keys.toml"
        path.write_text(key_file(KEYS))
        path.chmod(0o600)
        if broker is None:
            async with _broker(answer, latency_s) as own, _gateway(own, path, drain_s, asked, meter) as running:
                yield running
        else:
            async with _gateway(broker, path, drain_s, asked, meter) as running:
                yield running


def _broker(answer: Callable[[Asked], Answer] | None, latency_s: float) -> MemoryBroker:
    return MemoryBroker(answer, latency_s=latency_s, topics=("generation.calls", "generation.batches"))


def _in_turn(reports: Iterator[Mapping[str, Any]]) -> AskLeader:
    async def leader(_request_id: str, _within_s: float) -> Mapping[str, Any]:
        if (report := next(reports, None)) is None:
            raise Unreachable("There is no leader to ask.")
        return report

    return leader


@asynccontextmanager
async def _gateway(
    broker: MemoryBroker, keys: Path, drain_s: float, leader: AskLeader, meter: GatewayMeter | None
) -> AsyncIterator[Served]:
    assert isinstance(broker.connection, GatewayDoors)
    clock = WallClock()
    ring = KeyRing(keys, utc_now=clock.utc_now)
    ring.open()

    async def models() -> list[str]:
        return ["gpt-4o", "o3"]

    gateway = Gateway(
        doors=broker.connection,
        calls_rules=CallRules("generation", dedupe_window_s=3_600, join_window_s=600, kafka_within_s=0.5),
        rules=ServerRules("127.0.0.1", 0, 100, 50, 10, 75, drain_s),
        body_limits=BodyLimits(100_000, 2.0),
        ring=ring,
        caps=Caps(),
        meter=meter or NoMeter(),
        leader=leader,
        models=models,
        clock=clock,
    )
    serving = asyncio.create_task(gateway.serve(), name="gateway")
    async with asyncio.timeout(10):
        while not gateway.is_ready:  # noqa: ASYNC110 — it is asked for, as a probe does
            await asyncio.sleep(0.01)
    async with aiohttp.ClientSession() as session:
        yield Served(gateway, broker, session)
    gateway.leave()
    gateway.leave()
    with suppress(asyncio.CancelledError):
        await asyncio.wait_for(serving, 10)
