"""The scene: three Kafka nodes, a Valkey, a simulated OpenAI, the processes in their places, and who watches them."""

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from headrace.broker.adapters.kafka.probe import nodes_in_sync
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from tests.chaos.answers import Answers
from tests.chaos.outcomes import Letters, Outcomes
from tests.chaos.places import Place, Places, placed
from tests.chaos.traffic import Traffic
from tests.hostile.sowing import Mix, Sowing
from tests.integration.fleet import AS_SHIPPED, Fleet, Process

DISPATCHER, RETRIER = "dispatcher", "retrier"
NODES = (1, 2, 3)
INFLIGHT = 50
RESULTS_PARTITIONS, LETTERS_PARTITIONS = 12, 3
HOSTILE = Mix(bombs=0.004, raw_every=40)
"""Of hostile records; at a tenth of the traffic less than one record in 1,000 is a bomb."""
SETTINGS: Mapping[str, str] = {
    "HEADRACE_DISPATCHER__INFLIGHT_MAX": "64",
    "HEADRACE_LIMITS": '{"gpt-4o-mini": {}}',
    "HEADRACE_RETRY__IN_PLACE_MAX_S": "2",
}
BAD_WORDS = ("Traceback", "never retrieved", "was never awaited", "Unclosed", "Unhandled")
"""None of these may stand in the log of a process, whatever is done to the world around it."""


class NotWholeError(AssertionError):
    """The fleet did not come back by itself: something is stuck."""


@dataclass
class Arena:
    """What faults are played on."""

    services: LocalServices
    upstream: Upstream
    answers: Answers
    fleet: Fleet
    places: Places
    outcomes: Outcomes
    letters: Letters
    traffic: Traffic
    members: dict[str, Process] = field(default_factory=dict)
    ended_by_us: set[int] = field(default_factory=set)
    inflight_wanted: int = INFLIGHT

    # ------------------------------------------------------------------ processes

    def place(self, name: str) -> Place:
        return next(place for place in self.places.all if place.name == name)

    def at(self, verb: str) -> list[Place]:
        return [place for place in self.places.all if place.verb == verb]

    async def start(self, place: Place) -> Process:
        process = await self.fleet.start(place.verb, **place.environment())
        self.members[place.name] = process
        return process

    def signal(self, place: Place, number: signal.Signals) -> None:
        self.members[place.name].send(number)

    async def kill(self, place: Place) -> None:
        process = self.members[place.name]
        self.ended_by_us.add(process.pid)
        await self.fleet.kill(process)

    async def terminate(self, place: Place, within_s: float = 40) -> int:
        process = self.members[place.name]
        self.ended_by_us.add(process.pid)
        process.send(signal.SIGTERM)
        return await process.ended(within_s)

    async def status(self, place: Place) -> dict[str, Any]:
        process = self.members[place.name]
        if process.child.returncode is not None:
            return {"role": "ended"}
        return await self.fleet.status(process)

    async def statuses(self) -> dict[str, dict[str, Any]]:
        names = list(self.members)
        found = await asyncio.gather(*(self.status(self.place(name)) for name in names))
        return dict(zip(names, found, strict=True))

    def ended_by_themselves(self) -> list[str]:
        return [
            f"{process.log.name} ended with {process.child.returncode}: {process.said()[-300:]}"
            for process in self.fleet.processes
            if process.child.returncode is not None and process.pid not in self.ended_by_us
        ]

    def bad_lines(self) -> list[str]:
        return [
            f"{process.log.name}: {line[:400]}"
            for process in self.fleet.processes
            for line in process.said().splitlines()
            if any(word in line for word in BAD_WORDS)
        ]

    # ------------------------------------------------------------------ waiting

    async def leader(self, verb: str, within_s: float = 30) -> Place:
        """The place that leads, with another ready to take over."""
        async with asyncio.timeout(within_s):
            while True:
                leading, waiting = self._roles(await self.statuses(), verb)
                if len(leading) == 1 and waiting:
                    return leading[0]
                await asyncio.sleep(0.1)

    async def standby(self, verb: str, within_s: float = 30) -> Place:
        await self.leader(verb, within_s)
        _, waiting = self._roles(await self.statuses(), verb)
        return waiting[0]

    def _roles(self, statuses: Mapping[str, dict[str, Any]], verb: str) -> tuple[list[Place], list[Place]]:
        def are(role: str) -> list[Place]:
            return [place for place in self.at(verb) if statuses.get(place.name, {}).get("role") == role]

        ready = [place for place in are("standby") if all(statuses[place.name]["ready"].values())]
        return are("leader"), ready

    async def whole(self, within_s: float = 60) -> None:
        """Everybody does their part again, and so many calls are in flight.

        Raises:
            NotWholeError: It does not come to that.
        """
        statuses: dict[str, dict[str, Any]] = {}
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s:
            statuses = await self.statuses()
            if self._is_whole(statuses):
                return
            await asyncio.sleep(0.1)
        told = {
            name: {key: status.get(key) for key in ("role", "term", "ready", "trouble", "inflight", "lanes")}
            for name, status in statuses.items()
        }
        raise NotWholeError(f"after {within_s:.0f} s the fleet is not whole: {told}")

    def _is_whole(self, statuses: Mapping[str, dict[str, Any]]) -> bool:
        for verb in {place.verb for place in self.places.all}:
            leading, waiting = self._roles(statuses, verb)
            if len(leading) != 1 or 1 + len(waiting) != len(self.at(verb)):
                return False
            if verb == DISPATCHER and int(statuses[leading[0].name].get("inflight", 0)) < self.inflight_wanted:
                return False
        return True

    async def nodes_caught_up(self, within_s: float = 60) -> None:
        """Every Kafka node says that every node has whatever is acknowledged.

        A node that dies just as it comes back is another thing: what waits for it to follow waits on after its death
        until somebody writes to that partition. For the log of transactions that is up to a transaction's time-out.

        Raises:
            TimeoutError: It does not come to that.
        """
        ports = [int(server.rpartition(":")[2]) for server in self.services.endpoints.bootstrap_servers.split(",")]
        async with asyncio.timeout(within_s):
            while [await nodes_in_sync("127.0.0.1", port, timeout_s=5) for port in ports] != [frozenset(NODES)] * 3:
                await asyncio.sleep(0.1)

    async def inflight(self) -> int:
        return max((int(status.get("inflight", 0)) for status in (await self.statuses()).values()), default=0)

    # ------------------------------------------------------------------ the world around

    async def mend(self) -> None:
        """Undo whatever a fault left behind, so that one failure does not make the next."""
        for place in self.places.all:
            await place.mend()
            if (process := self.members.get(place.name)) and process.child.returncode is None:
                process.send(signal.SIGCONT)
        for pid in (*self.services.kafka_pids.values(), self.services.valkey_pid):
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def arena(
    directory: Path,
    seed: int,
    *,
    verbs: Sequence[str] = (DISPATCHER, DISPATCHER, RETRIER, RETRIER),
    nodes: int = 3,
    latency_s: tuple[float, float] = (0.1, 3.5),
    settings: Mapping[str, str] | None = None,
    upstream: UpstreamSettings | None = None,
    backlog: int = 160,
    inflight: int = INFLIGHT,
    hostile_share: float = 0.0,
    prepare: Callable[[Traffic], None] = lambda _: None,
) -> AsyncIterator[Arena]:
    """Everything started, and everybody's role taken; producers write, `hostile_share` of it hostile records."""
    answers, dice = Answers(), random.Random(seed)
    told = upstream or UpstreamSettings(
        tokens_per_minute=30_000_000, requests_per_minute=600_000, law="chat-2025", latency_s=latency_s, seed=seed
    )
    async with placed(verbs, nodes) as places, Upstream(told) as server:
        server.script(answers)
        async with LocalServices(nodes=nodes, node_settings=places.node_settings) as services:
            redis = int(services.endpoints.redis_url.split(":")[2].partition("/")[0])
            places.lead_to(redis=redis, openai=int(server.root_url.rpartition(":")[2]))
            prefix, where = "chaos", services.endpoints.bootstrap_servers
            given = dict(SETTINGS if settings is None else settings)
            fleet = Fleet(services, prefix, server.base_url, directory, given, shapes=AS_SHIPPED)
            async with fleet:
                outcomes = Outcomes(where, f"{prefix}.results", RESULTS_PARTITIONS)
                letters = Letters(where, f"{prefix}.dead-letters", LETTERS_PARTITIONS)
                traffic = Traffic(where, prefix, outcomes, dice, backlog, hostile_share=hostile_share)
                traffic.sowing = Sowing(seed, prefix, HOSTILE) if hostile_share else None
                prepare(traffic)
                scene = Arena(
                    services, server, answers, fleet, places, outcomes, letters, traffic, inflight_wanted=inflight
                )
                async with outcomes, letters, traffic:
                    await asyncio.gather(*(scene.start(place) for place in places.all))
                    await scene.whole(60)
                    yield scene


def logged(process: Process, event: str) -> list[Mapping[str, object]]:
    """The lines of that name in a process's log."""
    lines = [json.loads(line) for line in process.said().splitlines() if f'"event": "{event}"' in line]
    return [line for line in lines if line["event"] == event]


def logged_s(process: Process, event: str) -> list[float]:
    """When they were written, on our own monotonic clock: both are this machine's."""
    shift_s = time.monotonic() - time.time()
    return [datetime.fromisoformat(str(line["timestamp"])).timestamp() + shift_s for line in logged(process, event)]
