"""The sync client in the workers of gunicorn and Celery, which fork, are recycled, and are killed meanwhile."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
import pytest

from headrace import SyncResultReader
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from tests.compatibility.machine import ROOT, workers
from tests.integration.fleet import Fleet, read_all

SIZES = pytest.mark.parametrize("size", [200, pytest.param(1_000, marks=pytest.mark.long)])
"""Requests of each kind: 400 in all in `make compatibility`, and 2,000 in `make workers`."""
AT_ONCE = 48
KILLS = 3
CONCURRENCY = 8
PLENTY = UpstreamSettings(
    tokens_per_minute=100_000_000,
    requests_per_minute=1_000_000,
    law="chat-2025",
    latency_s=(0.01, 0.03),
    seed=7,
    port=0,
)
MODULE = "tests.compatibility.served"


class Service:
    """Processes of the service, each with a log of its own."""

    def __init__(self, fleet: Fleet, home: Path) -> None:
        self.home = home
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(workers())]),
            "SERVED_KAFKA": fleet.services.endpoints.bootstrap_servers,
            "SERVED_PREFIX": fleet.prefix,
            "SERVED_HOME": str(home),
            "SERVED_REDIS": fleet.services.endpoints.redis_url,
        }

    def run(self, *arguments: object) -> None:
        """Run a module to its end."""
        subprocess.run(
            [sys.executable, "-m", *map(str, arguments)], cwd=ROOT, env=self.environment, check=True, timeout=120
        )

    @contextmanager
    def serving(self, *arguments: object) -> Iterator[psutil.Process]:
        """A module that forks workers, until the end of the block; then it is asked to end, and must do so."""
        log = self.home / f"{arguments[0]}.log"
        environment = self.environment | {"SERVED_USE": "before the fork"}
        with log.open("wb") as sink:
            child = subprocess.Popen(
                [sys.executable, "-m", *map(str, arguments)],
                cwd=ROOT,
                env=environment,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        try:
            yield psutil.Process(child.pid)
            child.terminate()
            assert child.wait(30) in {0, -signal.SIGTERM}, log.read_text(encoding="utf-8")[-4_000:]
        except BaseException:
            print(log.read_text(encoding="utf-8")[-8_000:])
            raise
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


@asynccontextmanager
async def answering(services: LocalServices, prefix: str, home: Path) -> AsyncIterator[tuple[Fleet, Upstream]]:
    """A dispatcher that leads, and OpenAI's stand-in with limits that bound nothing."""
    async with Upstream(PLENTY) as upstream:
        settings = {"HEADRACE_LIMITS": '{"gpt-4o-mini": {}}'}
        async with Fleet(services, prefix, upstream.base_url, home, settings) as fleet:
            await fleet.start()
            await fleet.leader()
            yield fleet, upstream


async def killing(parent: psutil.Process, size: int, done: Callable[[], int]) -> None:
    """Kill a worker each time that another quarter of the requests is done."""
    dice = random.Random(7)
    for share in range(1, KILLS + 1):
        while done() < share * size // (KILLS + 1):
            assert parent.status() != psutil.STATUS_ZOMBIE, "the service has ended"
            await asyncio.sleep(0.05)
        os.kill(dice.choice(parent.children()).pid, signal.SIGKILL)


async def each_once(fleet: Fleet, upstream: Upstream, size: int, kind: str) -> None:
    """Each request has one outcome, and was called once, by the server's own books."""
    ids = {f"{kind}-{number}" for number in range(size)}
    outcomes = await read_all(fleet, "results", until=size)
    counts = Counter({request_id: count for (request_id, _), count in outcomes.counts().items()})
    assert {request_id: counts[request_id] for request_id in ids} == dict.fromkeys(ids, 1)
    assert {value["status"] for value in outcomes.values} == {"completed"}
    books = upstream.books(ids=True).ids or {}
    assert {request_id: books[request_id].calls for request_id in ids} == dict.fromkeys(ids, 1)
    assert await asyncio.to_thread(read_by_sync_reader, fleet) == counts
    rest = {request_id for request_id in counts if request_id not in ids}
    assert rest  # of the process that used its client before it forked
    assert {request_id.partition("-")[0] for request_id in rest} == {"before"}


def read_by_sync_reader(fleet: Fleet) -> Counter[str]:
    """The outcomes again, as a service without an event loop reads them."""
    with SyncResultReader(
        fleet.services.endpoints.bootstrap_servers, group="again", topic_prefix=fleet.prefix, follow=False
    ) as results:
        return Counter(outcome.id for outcome in results if outcome.text)


@SIZES
async def test_gunicorns_workers_lose_and_double_nothing(size: int, services: LocalServices, tmp_path: Path) -> None:
    async with answering(services, f"gunicorn-{size}", tmp_path) as (fleet, upstream):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        flags = (
            "--workers",
            4,
            "--threads",
            12,
            "--preload",
            "--max-requests",
            size // 20 + 5,
            "--max-requests-jitter",
            size // 40,
        )
        serving = Service(fleet, tmp_path).serving("gunicorn", f"{MODULE}:web", "--bind", f"127.0.0.1:{port}", *flags)
        by: list[int] = []
        with serving as parent:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(asked_by_http(port, size, by))
                tasks.create_task(killing(parent, size, lambda: len(by)))
        print(f"{len(by)} requests, by {len(set(by))} processes; {KILLS} killed")
        assert len(by) == size
        assert parent.pid not in by
        assert "Autorestarting worker" in (tmp_path / "gunicorn.log").read_text(encoding="utf-8")  # recycled as well
        await each_once(fleet, upstream, size, "web")


@SIZES
async def test_celerys_prefork_pool_loses_and_doubles_nothing(
    size: int, services: LocalServices, tmp_path: Path
) -> None:
    async with answering(services, f"celery-{size}", tmp_path) as (fleet, upstream):
        service = Service(fleet, tmp_path)
        await asyncio.to_thread(service.run, MODULE, 0, size)
        flags = ("--pool", "prefork", "--concurrency", CONCURRENCY, "--max-tasks-per-child", size // 20)
        alone = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        notes = Notes(tmp_path / "done")
        with service.serving("celery", "-A", f"{MODULE}:tasks", "worker", *flags, *alone) as parent:
            async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
                tasks.create_task(killing(parent, size, notes.count))
                while notes.count() < size:
                    await asyncio.sleep(0.1)
        print(f"{notes.count()} tasks, by {len(set(notes.by.values()))} processes; {KILLS} killed")
        assert set(notes.by) == {f"task-{number}" for number in range(size)}
        assert str(parent.pid) not in notes.by.values()
        assert len(set(notes.by.values())) > CONCURRENCY + KILLS
        await each_once(fleet, upstream, size, "task")


async def asked_by_http(port: int, size: int, by: list[int]) -> None:
    """Ask for each lead until it is answered, as a client does that repeats what failed; note each one's process."""
    numbers = iter(range(size))

    async def ask(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            while True:
                with suppress(aiohttp.ClientError):  # its worker was killed, or none listens yet
                    async with session.get(f"http://127.0.0.1:{port}/leads/{number}") as answer:
                        if answer.status == 200:
                            said = await answer.json()
                            assert said["text"]
                            by.append(said["process"])
                            break
                await asyncio.sleep(0.1)

    async with asyncio.timeout(120), aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(ask(session))


@dataclass
class Notes:
    """What the tasks have noted: each that came to its end, and its process."""

    file: Path
    by: dict[str, str] = field(default_factory=dict)

    def count(self) -> int:
        """Read them again; how many tasks have come to their end."""
        lines = self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []
        self.by = dict(line.split() for line in lines)
        return len(self.by)
