"""Six broken set-ups with a stop-watch: which alert fires, how soon, and whether its page's first command says why.

    python -m tests.rules.broken_setups [--more] [--only NAME] [--json FILE]

Each is a budget of its own, with real processes on a real Kafka and Valkey and a simulated OpenAI of its own; one
Prometheus scrapes all of them every 5 s, with the shipped rules and their real `for`. All are healthy at first; then
each meets its trouble. Redis and Kafka, which they share, go last. Takes five minutes; `--more`, six others, fifteen.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.script import Scripted
from tests.rules.budget import ORDINARY, Budget, budget
from tests.rules.prometheus import Prometheus, scraping
from tests.rules.runbooks import first_command

HEALTHY_S = 45
WITHIN_S = 120
"""The promise: the alert that names the cause, no later than this after the cause."""

REVOKED = {
    "error": {
        "message": "Incorrect API key provided.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
}


@dataclass(frozen=True)
class Setup:
    """One trouble.

    Attributes:
        alert: The alert that names the cause.
        shows: Words that its page's first command must print.
        upstream: Arguments of `headrace upstream` while all is well.
    """

    name: str
    alert: str
    shows: str
    breaks: Callable[[Budget], Awaitable[None]]
    upstream: tuple[str, ...] = ORDINARY
    dispatchers: int = 1
    within_s: float = WITHIN_S


@dataclass
class Seen:
    """What was seen of one set-up."""

    name: str
    alert: str
    after_s: float | None
    severity: str
    summary: str
    others: list[str]
    command: str
    exit_code: int
    shows: str
    said: str
    is_found: bool
    within_s: float

    @property
    def is_good(self) -> bool:
        return self.after_s is not None and self.after_s <= self.within_s and self.is_found


async def _redis_gone(stage: Budget) -> None:
    os.kill(stage.fleet.services.valkey_pid, signal.SIGKILL)
    await asyncio.sleep(0)


async def _key_revoked(stage: Budget) -> None:
    await stage.openai.answer_all(Scripted(401, REVOKED))


async def _quota_exhausted(stage: Budget) -> None:
    await stage.openai.serve(*ORDINARY, "--behaviour", "quota-gone:from_s=0,to_s=86400")


async def _model_shut(stage: Budget) -> None:
    await stage.openai.serve(*ORDINARY, "--requests-per-day", "20")


async def _lane_poisoned(stage: Budget) -> None:
    """A producer's new release: half of its records are no JSON, of the others no part is a list."""
    assert stage.load is not None
    stage.load.cancel()

    async def poison() -> None:
        while True:
            await stage.send("urgent", 1, body={"messages": "none"})
            await stage.send_garbage("urgent", 1)
            await asyncio.sleep(0.5)

    stage.load = asyncio.create_task(poison(), name="poison")


async def _wrong_server(stage: Budget) -> None:
    """Another web server, which has none of OpenAI's paths."""
    page = "<html><body><h1>404 Not Found</h1></body></html>"
    await stage.openai.answer_all(Scripted(404, page, {"content-type": "text/html"}))


async def _openai_down(stage: Budget) -> None:
    await stage.openai.serve(*ORDINARY, "--behaviour", "error-storm:from_s=0,to_s=86400,rate=1")


async def _dispatchers_die(stage: Budget) -> None:
    for process in stage.fleet.processes:
        if process.verb == "dispatcher":
            await stage.fleet.kill(process)


async def _retrier_dies(stage: Budget) -> None:
    await stage.openai.serve(*ORDINARY, "--long-429-rate", "0.5", "--long-429-s", "900")
    for process in stage.fleet.processes:
        if process.verb == "retrier":
            await stage.fleet.kill(process)


async def _lane_fails(stage: Budget) -> None:
    """All of its requests are refused, and nothing else is on it."""
    assert stage.load is not None
    stage.load.cancel()

    async def refused() -> None:
        while True:
            await stage.send("urgent", 1, body={"messages": "none"})
            await asyncio.sleep(1)

    stage.load = asyncio.create_task(refused(), name="refused requests")


async def _kafka_gone(stage: Budget) -> None:
    """As a network that drops all packets: Kafka listens and does not answer."""
    os.kill(stage.fleet.services.kafka_pid, signal.SIGSTOP)
    await asyncio.sleep(0)


async def _tenant_floods(stage: Budget) -> None:
    await stage.send("urgent", 1_500, tenant="flooding-tenant", words=300)


SETUPS = (
    Setup("a key revoked", "HeadraceKeyRefused", r"open: auth|\bkey\b", _key_revoked),
    Setup("a quota exhausted", "HeadraceQuotaExhausted", r"quota|credit", _quota_exhausted),
    Setup("a model shut for the day", "HeadraceLimitShut", r"0 of 20|requests a day", _model_shut),
    Setup("a poisoned lane", "HeadraceDeadLettersRising", r"(undecodable|invalid_request)  ", _lane_poisoned),
    Setup(
        "a tenant flooding",
        "HeadraceBacklogAboveObjective",
        r"flooding-tenant",
        _tenant_floods,
        upstream=("--tokens-per-minute", "60000", "--requests-per-minute", "600", "--latency", "0.2-0.6"),
    ),
    Setup("Redis gone", "HeadraceRedisAway", r"✗ Redis is away", _redis_gone, dispatchers=2),
)

MORE = (
    Setup("a wrong server", "HeadraceWrongServer", r"not_the_api", _wrong_server),
    Setup("OpenAI down", "HeadraceBreakerOpen", r"✗ .*the breaker is open", _openai_down, within_s=360),
    Setup("no dispatcher", "HeadraceNoLeader", r"✗ .*No dispatcher", _dispatchers_die, within_s=180),
    Setup("no retrier", "HeadraceRetrierAbsent", r"parked|retrier", _retrier_dies, within_s=480),
    Setup("a lane that fails", "HeadraceLaneFailing", r"✗ Every request of", _lane_fails, within_s=480),
    Setup("Kafka gone", "HeadraceKafkaAway", r"✗ .*Kafka", _kafka_gone, within_s=180),
)
"""Others, whose alerts hold back longer, or are not among the six that must be found within two minutes."""

LAST = (_redis_gone, _kafka_gone)
"""Troubles of what all set-ups share."""


async def watch(setup: Setup, stage: Budget, prometheus: Prometheus, folder: Path) -> Seen:
    """Break it, wait for its alert, and run the first command of the alert's page."""
    before = await prometheus.firing(stage.job)
    assert not before, f"{setup.name}: {', '.join(before)} before anything was wrong"
    began = time.monotonic()
    await setup.breaks(stage)
    after_s: float | None = None
    firing: dict[str, Any] = {}
    while time.monotonic() - began < setup.within_s + 30:
        firing = await prometheus.firing(stage.job)
        if setup.alert in firing:
            after_s = time.monotonic() - began
            break
        await asyncio.sleep(1)
    alert = firing.get(setup.alert, {"labels": {}, "annotations": {}})
    command = first_command(setup.alert)
    code, said = await stage.run(command, folder)
    return Seen(
        name=setup.name,
        alert=setup.alert,
        after_s=None if after_s is None else round(after_s, 1),
        severity=alert["labels"].get("severity", ""),
        summary=alert["annotations"].get("summary", ""),
        others=sorted(firing.keys() - {setup.alert}),
        command=command,
        exit_code=code,
        shows=setup.shows,
        said=said,
        is_found=re.search(setup.shows, said) is not None,
        within_s=setup.within_s,
    )


async def play(setups: Sequence[Setup], folder: Path) -> list[Seen]:
    """Play all at once, but for those of Redis and Kafka, which they share."""
    async with LocalServices() as services, AsyncExitStack() as stack:
        stages = {}
        for setup in setups:
            name = setup.name.replace(" ", "-").lower()
            stages[setup.name] = await stack.enter_async_context(
                budget(services, name, folder / name, dispatchers=setup.dispatchers, upstream=setup.upstream)
            )
            stages[setup.name].begin_load()
            _say(f"{setup.name}: a healthy budget runs")
        targets = {stage.job: stage.targets for stage in stages.values()}
        prometheus = await stack.enter_async_context(scraping(targets, folder))
        await asyncio.sleep(HEALTHY_S)
        last = [setup for setup in setups if setup.breaks in LAST]
        seen: list[Seen] = []
        for together in ([setup for setup in setups if setup not in last], last):
            watching = (watch(setup, stages[setup.name], prometheus, folder) for setup in together)
            for each in await asyncio.gather(*watching):
                _report(each)
                seen.append(each)
        return seen


def _report(seen: Seen) -> None:
    when = "never" if seen.after_s is None else f"after {seen.after_s:.0f} s"
    _say(f"\n{seen.name}: {seen.alert} ({seen.severity}) fired {when}: {seen.summary}")
    _say(f"  beside it: {', '.join(seen.others) or 'none'}")
    _say(f"  $ {seen.command}   -> exit {seen.exit_code}; {'says' if seen.is_found else 'DOES NOT SAY'} {seen.shows!r}")
    for line in seen.said.splitlines()[:30]:
        if re.search(seen.shows, line):
            _say(f"    {line.strip()}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Play the set-ups; 1 if one alert was late or one command did not find the cause."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=[setup.name for setup in (*SETUPS, *MORE)])
    parser.add_argument("--more", action="store_true", help="six others instead")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    offered = (*SETUPS, *MORE) if given.only else MORE if given.more else SETUPS
    chosen = [setup for setup in offered if not given.only or setup.name in given.only]
    with tempfile.TemporaryDirectory(prefix="headrace-rules-") as name:
        seen = asyncio.run(play(chosen, Path(name)))
    if given.json:
        given.json.write_text(json.dumps([asdict(each) for each in seen], indent=2) + "\n")
    bad = [each.name for each in seen if not each.is_good]
    _say(f"\n{len(seen) - len(bad)} of {len(seen)} found in time" + (f"; not: {', '.join(bad)}" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
