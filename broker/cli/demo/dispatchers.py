"""Two dispatcher processes, started as an operator would start them: one leads, the other stands by.

Their JSON logs are files in the throw-away directory, beside their settings. A guard process ends them if the demo is
killed; in every other case `stop` does.
"""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from headrace.broker.errors import HeadraceError
from headrace.broker.local.guard import Guard
from headrace.broker.local.record import Endpoints

NAMES: Final = ("dispatcher-1", "dispatcher-2")
STOP_GRACE_S: Final = 10.0
STOP_HASTY_S: Final = 2.0
_LAST_LINES: Final = 6


class DispatcherEnded(HeadraceError):  # noqa: N818 - named by what has happened
    """A dispatcher that should serve has ended; `last_lines` are the last ones of its log."""

    def __init__(self, name: str, code: int | None, last_lines: tuple[str, ...]) -> None:
        super().__init__(f"The demo's {name} ended unexpectedly (exit code {code}); its last log lines are above.")
        self.last_lines = last_lines


@dataclass(frozen=True, slots=True)
class Running:
    """One of the two processes."""

    name: str
    log: Path
    process: Process

    def port(self) -> int | None:
        """Return the port of `/status`, once the log states it; None before."""
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                told = json.loads(line)
                if isinstance(told, dict) and told.get("event") == "listening":
                    return int(told["port"])
        return None

    def ended(self) -> DispatcherEnded:
        """Return the error for a dispatcher that has ended by itself."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return DispatcherEnded(self.name, self.process.returncode, tuple(lines[-_LAST_LINES:]))


class Dispatchers:
    """The two dispatchers, as a context manager: after an error or cancellation they end fast, else they drain."""

    def __init__(self, directory: Path, endpoints: Endpoints, base_url: str) -> None:
        """Prepare two dispatchers without starting them; `base_url` is the simulated OpenAI's."""
        self._directory = directory
        self._endpoints = endpoints
        self._base_url = base_url
        self._guard: Guard | None = None
        self.running: list[Running] = []

    async def __aenter__(self) -> Self:
        self._guard = await asyncio.to_thread(Guard)
        try:
            for name in NAMES:
                self.running.append(await self._start(name, self._guard))
        except BaseException:
            await self._stop(STOP_HASTY_S)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop(STOP_GRACE_S if error is None else STOP_HASTY_S)

    async def watch(self) -> None:
        """Wait until no dispatcher is left, and raise DispatcherEnded. One that is killed is replaced by the other."""
        await asyncio.gather(*(one.process.wait() for one in self.running))
        raise self.running[-1].ended()

    def ended(self) -> list[DispatcherEnded]:
        """Return an error for each dispatcher that has ended without being stopped."""
        return [one.ended() for one in self.running if one.process.returncode is not None]

    async def _start(self, name: str, guard: Guard) -> Running:
        config, log = self._directory / f"{name}.toml", self._directory / f"{name}.log"
        config.write_text(_settings(name, self._endpoints, self._base_url), encoding="utf-8")
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "headrace.broker.cli.main", "dispatcher", "--config", str(config)),
                stdin=DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._directory,
                env=_environment(os.environ),
                start_new_session=True,  # Ctrl-C in the terminal must reach the demo first
            )
        guard.watch(process.pid, str(config))  # the mark by which the guard recognises it
        return Running(name, log, process)

    async def _stop(self, grace_s: float) -> None:
        processes = [one.process for one in self.running]
        for number, within_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, STOP_HASTY_S)):
            for process in processes:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        process.send_signal(number)
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await asyncio.gather(*(process.wait() for process in processes))
        if self._guard is not None:
            await asyncio.to_thread(self._guard.release)
            self._guard = None


def _settings(name: str, endpoints: Endpoints, base_url: str) -> str:
    """Return the whole settings file; it does not state the limit, which the first answer reports."""
    return f"""\
[kafka]
bootstrap_servers = "{endpoints.bootstrap_servers}"

[redis]
url = "{endpoints.redis_url}"

[openai]
api_key = "demo"
base_url = "{base_url}"

[dispatcher]
name = "{name}"
http_host = "127.0.0.1"
http_port = 0
"""


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without settings: the demo must not call the real OpenAI, whatever is exported."""
    return {name: value for name, value in environ.items() if not name.startswith(("HEADRACE_", "OPENAI_"))}
