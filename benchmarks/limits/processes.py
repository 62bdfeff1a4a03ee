"""Services and processes of a play over real HTTP: Kafka and Valkey once, and what each play starts for itself."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from headrace.broker.local.guard import Guard
from headrace.broker.local.services import LocalServices
from headrace.broker.settings.whole import Settings

CLI: Final = "headrace.broker.cli.main"
READY_WITHIN_S: Final = 60.0
STOP_S: Final = 3.0
_LOOK_S: Final = 0.1
_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "all_proxy"})


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

    def log_of(self, name: str) -> Path:
        """Return the log of a process."""
        return self.directory / f"{name}.log"


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


async def started(
    on: Stage, name: str, flags: Sequence[str], *, module: str = CLI, output: int | None = None
) -> Process:
    """Start `python -m module` in a session of its own; its log is `name` in the stage's directory."""
    log = on.log_of(name).open("wb")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *flags),
        stdin=DEVNULL,
        stdout=output or log,
        stderr=log,
        env={name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "OPENAI_"))},
        start_new_session=True,
    )
    log.close()
    on.guard.watch(process.pid, module)
    return process


async def stop(process: Process) -> None:
    """End a process: asked to, then forced."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_S)


async def until_it_leads(on: Stage, name: str, process: Process) -> None:
    """Wait until the dispatcher of that name leads.

    Raises:
        OSError: It has ended.
        TimeoutError: It does not lead in time.
    """
    log = on.log_of(name)
    async with asyncio.timeout(READY_WITHIN_S):
        port: int | None = None
        while True:
            await asyncio.sleep(_LOOK_S)
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


def settings_text(settings: Settings, prefix: str, base_url: str, bootstrap_servers: str, redis_url: str) -> str:
    """Return the whole settings file of a dispatcher: the one limit as an operator knows it, and where all is."""
    ((name, limit),) = settings.limits.items()
    known = {
        "models": json.dumps(limit.models),
        "tokens_per_minute": limit.tokens_per_minute,
        "requests_per_minute": limit.requests_per_minute,
        "cap_tokens_per_minute": limit.cap_tokens_per_minute,
    }
    lines = "\n".join(f"{key} = {value}" for key, value in known.items() if value is not None)
    return f"""\
[kafka]
bootstrap_servers = "{bootstrap_servers}"
topic_prefix = "{prefix}"

[redis]
url = "{redis_url}"

[openai]
api_key = "benchmark"
base_url = "{base_url}"

[dispatcher]
name = "benchmark"
http_host = "127.0.0.1"
http_port = 0
inflight_max = {settings.dispatcher.inflight_max}

[limits."{name}"]
{lines}
"""
