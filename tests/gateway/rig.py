"""Real gateways, dispatchers, a simulated OpenAI, Kafka and Valkey, all on loopback, for one proof."""

import asyncio
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import aiohttp

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.local.free_ports import free_ports
from headrace.broker.local.services import LocalServices
from headrace.schemas.topics import TopicShape, gateway_topics, topics
from tests.gateway.marker_books import MarkerBooks

MODULE = "headrace.broker.cli.main"
LANES = ("urgent", "standard", "bulk")
READY_WITHIN_S = 60.0
_ASKED = {"upstream": "/stats", "dispatcher": "/readyz", "gateway": "/v1/models"}


def client_key(name: str) -> str:
    """A key of the form that `headrace gateway key new` makes, though not a random one."""
    return f"{name}-{hashlib.sha256(name.encode()).hexdigest()}"


def key_file(keys: Mapping[str, Mapping[str, Any]]) -> str:
    """The TOML of a file of keys; each has the clear text `client_key(name)`."""
    lines = []
    for name, options in keys.items():
        digest = hashlib.sha256(client_key(name).encode()).hexdigest()
        told = {"hashes": [f"sha256:{digest}"], **options}
        lines += [f"[keys.{name}]", *(f"{option} = {json.dumps(value)}" for option, value in told.items()), ""]
    return "\n".join(lines)


@dataclass
class Running:
    """One process, its log and its address."""

    name: str
    child: asyncio.subprocess.Process
    log: Path
    port: int
    probes_port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def probes_url(self) -> str:
        """Where a gateway has its probes, metrics and status."""
        return f"http://127.0.0.1:{self.probes_port}"

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.child.send_signal(number)

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass
class Rig:
    """Everything of one proof; used with `async with`. Options of the simulated OpenAI are those of its verb."""

    keys: Mapping[str, Mapping[str, Any]]
    upstream: tuple[str, ...] = ("--latency", "0.05-0.2")
    tokens_per_minute: int = 100_000_000
    requests_per_minute: int = 1_000_000
    gateways: int = 1
    dispatchers: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    prefix: str = "generation"
    services: LocalServices | None = None
    marks: bool = False
    books_by_marker: MarkerBooks | None = None
    processes: list[Running] = field(default_factory=list)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _directory: Path = field(default_factory=Path)
    _born: int = 0

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _begin(self) -> None:
        self._directory = Path(self._stack.enter_context(TemporaryDirectory(prefix="gateway-")))
        if self.services is None:
            self.services = LocalServices()
            await asyncio.to_thread(self.services.start)
            self._stack.callback(self.services.stop)
        self.keys_path.write_text(key_file(self.keys))
        self.keys_path.chmod(0o600)
        shapes = {"requests": TopicShape(partitions=4)}
        specs = [*topics(self.prefix, LANES, shapes, nodes=1), *gateway_topics(self.prefix, nodes=1)]
        await create_missing(KafkaConnection(self.bootstrap_servers), specs)
        limits = (
            "--tokens-per-minute",
            str(self.tokens_per_minute),
            "--requests-per-minute",
            str(self.requests_per_minute),
        )
        await self.start("upstream", "upstream", *limits, *self.upstream, port_option=True)
        if self.marks:
            upstream = f"{self.of('upstream')[0].url}/v1"
            self.books_by_marker = await self._stack.enter_async_context(MarkerBooks(upstream))
        for _ in range(self.dispatchers):
            await self.start("dispatcher", "dispatcher")
        for _ in range(self.gateways):
            await self.start("gateway", "gateway")
        await self.ready()

    async def __aexit__(self, *_: object) -> None:
        for process in self.processes:
            if process.child.returncode is None:
                process.send(signal.SIGKILL)
                await process.child.wait()
        await self._stack.aclose()

    @property
    def bootstrap_servers(self) -> str:
        assert self.services is not None
        return self.services.endpoints.bootstrap_servers

    @property
    def connection(self) -> KafkaConnection:
        return KafkaConnection(self.bootstrap_servers)

    def of(self, name: str) -> list[Running]:
        """The processes of a kind that run."""
        return [each for each in self.processes if each.name == name and each.child.returncode is None]

    @property
    def base_url(self) -> str:
        """What an SDK of the first gateway is given."""
        return f"{self.of('gateway')[0].url}/v1"

    @property
    def keys_path(self) -> Path:
        return self._directory / "keys.toml"

    def environment(self, name: str, port: int, probes_port: int = 0) -> dict[str, str]:
        assert self.services is not None
        upstream = [f"{each.url}/v1" for each in self.of("upstream")]
        if self.books_by_marker is not None:
            upstream = [self.books_by_marker.base_url]
        limit = {"tokens_per_minute": self.tokens_per_minute, "requests_per_minute": self.requests_per_minute}
        return {
            **os.environ,
            "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "HEADRACE_KAFKA__TOPIC_PREFIX": self.prefix,
            "HEADRACE_REDIS__URL": self.services.endpoints.redis_url,
            "HEADRACE_DISPATCHER__HTTP_PORT": str(port),
            "HEADRACE_DISPATCHER__INFLIGHT_MAX": "500",
            "HEADRACE_LIMITS": json.dumps({"gpt-4o-mini": {**limit, "models": ["*"]}}),
            "HEADRACE_GATEWAY__ENABLED": "true",
            "HEADRACE_GATEWAY__HTTP_PORT": str(port),
            "HEADRACE_GATEWAY__METRICS_PORT": str(probes_port),
            "HEADRACE_GATEWAY__KEYS_FILE": str(self.keys_path),
            "OPENAI_API_KEY": "sk-of-the-account-and-of-no-client",
            **({"OPENAI_BASE_URL": upstream[0]} if upstream else {}),
            **self.settings,
        }

    async def start(self, name: str, *verb: str, port_option: bool = False, port: int = 0) -> Running:
        """Start one process; it need not be ready when this returns."""
        self._born += 1
        free_port, probes_port = free_ports(2)
        port = port or free_port
        log = self._directory / f"{name}-{self._born}.log"
        arguments = [*verb, *(("--port", str(port)) if port_option else ())]
        with log.open("wb") as output:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                MODULE,
                *arguments,
                env=self.environment(name, port, probes_port),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
            )
        process = Running(name, child, log, port, probes_port)
        self.processes.append(process)
        return process

    async def ready(self) -> None:
        """Wait until OpenAI, a leader and all gateways answer."""
        async with aiohttp.ClientSession() as session:
            for each in self.processes:
                await self._until(session, each, _ASKED[each.name])

    async def _until(self, session: aiohttp.ClientSession, process: Running, path: str) -> None:
        until_s = time.monotonic() + READY_WITHIN_S
        headers = {"Authorization": f"Bearer {client_key(next(iter(self.keys)))}"}
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(f"{process.url}{path}", headers=headers) as answer:
                    if answer.status < 300:
                        return
            if process.child.returncode is not None or time.monotonic() > until_s:
                raise RuntimeError(f"{process.name} is not ready:\n{process.said()[-3_000:]}")
            await asyncio.sleep(0.1)

    async def books(self) -> dict[str, Any]:
        """What the simulated OpenAI counted."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.of('upstream')[0].url}/stats?ids=1") as answer,
        ):
            told: dict[str, Any] = await answer.json()
            return told
