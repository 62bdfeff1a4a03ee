"""Two real dispatchers beside a real Kafka and a real Valkey: one leads, one stands by. They end with this process."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.lanes.traffic import MODEL
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.local.guard import Guard
from headrace.broker.local.services import LocalServices
from headrace.broker.settings.lanes import LANE_DEFAULTS
from headrace.schemas.topics import topics

_LOOK_S: Final = 0.2
_READY_WITHIN_S: Final = 90.0
_GRACE_S: Final = 5.0
_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "all_proxy"})


@dataclass(frozen=True, slots=True)
class Leader:
    """The leading process, and the URL of its status."""

    pid: int
    status_url: str

    @property
    def resident_bytes(self) -> int:
        """Its memory in use at this moment, as Linux counts it."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def local_services() -> AsyncIterator[LocalServices]:
    """Start a Kafka and a Valkey, without any proxy, since everything is on this machine."""
    for name in [name for name in os.environ if name.lower() in _PROXIES]:
        del os.environ[name]
    async with LocalServices() as services:
        yield services


async def create_topics(services: LocalServices, prefix: str) -> None:
    """Create the topics of the usual lanes."""
    connection = KafkaConnection(services.endpoints.bootstrap_servers)
    await create_missing(connection, topics(prefix, LANE_DEFAULTS, nodes=1))


@asynccontextmanager
async def pair(services: LocalServices, prefix: str, base_url: str, tokens_per_minute: int) -> AsyncIterator[Leader]:
    """Run two dispatchers with the usual settings and the limit as an operator knows it; yields once one leads."""
    with _guarded() as guard:
        names = (f"{prefix}-1", f"{prefix}-2")
        configs = {name: services.data_dir / f"{name}.toml" for name in names}
        running: dict[str, Process] = {}
        try:
            for name, config in configs.items():
                config.write_text(_settings(services, name, prefix, base_url, tokens_per_minute), encoding="utf-8")
                running[name] = await _started(config, guard)
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
                leader = await _leader(running, services.data_dir, http)
            yield leader
        finally:
            await _stop(running)


@contextmanager
def _guarded() -> Iterator[Guard]:
    guard = Guard()
    try:
        yield guard
    finally:
        guard.release()


async def _started(config: Path, guard: Guard) -> Process:
    with config.with_suffix(".log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "headrace.broker.cli.main", "dispatcher", "--config", str(config)),
            stdin=DEVNULL,
            stdout=log,
            stderr=log,
            env={key: value for key, value in os.environ.items() if not key.startswith(("HEADRACE_", "OPENAI_"))},
            start_new_session=True,
        )
    guard.watch(process.pid, str(config))
    return process


async def _leader(running: Mapping[str, Process], directory: Path, http: aiohttp.ClientSession) -> Leader:
    """Return the leader, once the other dispatcher stands by."""
    async with asyncio.timeout(_READY_WITHIN_S):
        while True:
            await asyncio.sleep(_LOOK_S)
            roles: dict[str, Leader] = {}
            for name, process in running.items():
                log = _text(directory / f"{name}.log")
                if process.returncode is not None:
                    raise OSError(f"a dispatcher has ended: {log[-2_000:]}")
                url = status_url(log)
                if url is not None:
                    roles[await _role(url, http)] = Leader(process.pid, url)
            if {"leader", "standby"} <= roles.keys():
                return roles["leader"]


async def _role(url: str, http: aiohttp.ClientSession) -> str:
    with suppress(aiohttp.ClientError, TimeoutError):
        async with http.get(url) as answer:
            told: Mapping[str, Any] = await answer.json()
            return str(told["role"])
    return "silent"


def status_url(log: str) -> str | None:
    """Return the URL of a dispatcher's status, once its log states the port."""
    for line in log.splitlines():
        with suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict) and said.get("event") == "listening":
                return f"http://127.0.0.1:{said['port']}/status"
    return None


async def _stop(running: Mapping[str, Process]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = [process for process in running.values() if process.returncode is None]
        for process in left:
            with suppress(ProcessLookupError):
                process.send_signal(number)
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await asyncio.gather(*(process.wait() for process in left))


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")


def _settings(services: LocalServices, name: str, prefix: str, base_url: str, tokens_per_minute: int) -> str:
    endpoints = services.endpoints
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
name = "{name}"
http_host = "127.0.0.1"
http_port = 0

[limits."{MODEL}"]
tokens_per_minute = {tokens_per_minute}
requests_per_minute = 30000
"""
