"""Debian's redis-server, older than the Valkey that the other tests run on."""

import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from threading import Event

import pytest

from headrace.broker.local.free_ports import free_ports
from headrace.broker.local.guard import Guard
from headrace.broker.local.processes import stop
from headrace.broker.local.services import LocalServices
from headrace.broker.local.valkey import Valkey
from tests.compatibility.asking import ask_once, dispatching
from tests.compatibility.machine import program
from tests.contract.lease_contract import LeaseContract
from tests.integration.test_redis_lease import RedisWorld
from tests.unit.pages.test_tested_versions import row, version_of


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    binary = Path(program("redis-server"))
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"v=(\d+)\.(\d+)", said)
    assert version is not None, said
    assert int(version[1]) >= 7, said
    server, guard = Valkey(binary, free_ports(1)[0], tmp_path_factory.mktemp("redis")), Guard()
    process = server.spawn()
    guard.watch(process.pid, process.mark)
    server.await_ready(Event())
    yield f"redis://127.0.0.1:{server.port}/0"
    stop([process])
    assert server.child is not None
    server.child.wait()
    guard.release()


class TestLeaseOnRedisServer(LeaseContract):
    @pytest.fixture
    async def world(self, redis_url: str) -> AsyncIterator[RedisWorld]:
        world = RedisWorld(redis_url)
        yield world
        await world.close()


async def test_a_dispatcher_answers_a_request(redis_url: str, services: LocalServices, tmp_path: Path) -> None:
    async with dispatching(services, "redis-server", tmp_path, HEADRACE_REDIS__URL=redis_url) as fleet:
        await fleet.start()
        await ask_once(fleet)


def test_the_page_names_this_redis_server() -> None:
    assert row("redis-server") == version_of(program("redis-server"))
