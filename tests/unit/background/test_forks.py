"""A sync client over a fork: the child has a loop and connections of its own, and the parent's go on."""

import asyncio
import ctypes
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headrace.broker.background.thread import background
from headrace.broker.sync_client import SyncGenerationClient
from tests.unit.background.echo import BODY, EchoDoors
from tests.unit.background.forks import in_a_child

pytestmark = pytest.mark.slow


def answered(client: SyncGenerationClient) -> int:
    """The process that answered."""
    return int(client.generate(BODY, timeout_s=10).text)


def test_a_client_that_was_used_before_the_fork_works_in_the_child_and_on_in_the_parent() -> None:
    with SyncGenerationClient(connection=EchoDoors()) as client:
        assert answered(client) == os.getpid()
        child = in_a_child(lambda: [os.getpid(), answered(client), answered(client)])
        assert child == [child[0]] * 3 != [os.getpid()] * 3
        assert answered(client) == os.getpid()


def test_a_client_that_was_only_made_before_the_fork_works_in_the_child_alone() -> None:
    client = SyncGenerationClient(connection=EchoDoors())
    child, by = in_a_child(lambda: [os.getpid(), answered(client)])
    assert child == by


def test_a_wait_of_another_thread_of_the_parent_outlives_the_fork() -> None:
    doors = EchoDoors(silent=frozenset({"slow"}))
    with SyncGenerationClient(connection=doors) as client, ThreadPoolExecutor() as threads:
        waiting = threads.submit(client.generate, BODY, id="slow", timeout_s=60)
        until(doors, "slow")
        assert in_a_child(lambda: answered(client) == os.getpid())
        assert not waiting.done()
        assert doors.waits == {"slow"}
        client.close()
        assert "closed by another thread" in str(waiting.exception(10))


def test_a_child_of_a_child_has_a_loop_of_its_own_too() -> None:
    client = SyncGenerationClient(connection=EchoDoors())
    answered(client)

    def grandchild() -> bool:
        return answered(client) == os.getpid() and in_a_child(lambda: answered(client) == os.getpid())

    assert in_a_child(grandchild)


def test_many_threads_fork_at_once_while_others_ask() -> None:
    client = SyncGenerationClient(connection=EchoDoors())
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(answered, client) for _ in range(100)]
        forked = [threads.submit(in_a_child, lambda: answered(client) == os.getpid()) for _ in range(8)]
        asked += [threads.submit(answered, client) for _ in range(100)]
        assert {each.result() for each in asked} == {os.getpid()}
        assert all(each.result() for each in forked)


def test_many_threads_of_a_child_share_one_new_loop() -> None:
    client = SyncGenerationClient(connection=EchoDoors())
    answered(client)

    def child() -> bool:
        with ThreadPoolExecutor(16) as threads:
            return {each.result() for each in [threads.submit(answered, client) for _ in range(100)]} == {os.getpid()}

    assert in_a_child(child)
    assert [thread.name for thread in threading.enumerate()].count("headrace") == 1


def test_what_the_child_drops_is_not_closed_for_the_parent() -> None:
    doors = EchoDoors()
    held = [SyncGenerationClient(connection=doors)]
    answered(held[0])

    def child() -> int:
        held.clear()
        gc.collect()
        background().result(_nothing)
        return doors.closes

    assert in_a_child(child) == 0


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="Python itself aborts in the child of such a fork, as seen on 3.13"
)
def test_a_fork_by_a_program_that_tells_python_afterwards_is_one_as_well() -> None:
    """As uWSGI's: the hooks before the fork were not called."""
    client = SyncGenerationClient(connection=EchoDoors())
    answered(client)

    def fork() -> int:
        pid = int(ctypes.PyDLL(None).fork())
        if pid == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
        return pid

    assert in_a_child(lambda: answered(client) == os.getpid(), fork)
    assert answered(client) == os.getpid()


def test_a_fork_inside_the_loop_itself_does_not_wait_for_itself() -> None:
    async def forked() -> int:
        return int(in_a_child(lambda: 7))

    assert background().result(forked) == 7


def test_a_loop_that_is_held_up_delays_a_fork_by_a_second_and_goes_on() -> None:
    client, held_up = SyncGenerationClient(connection=EchoDoors()), threading.Event()
    answered(client)
    background().post(held_up.wait)
    assert in_a_child(lambda: answered(client) == os.getpid())
    held_up.set()
    assert answered(client) == os.getpid()


def test_a_childs_copy_of_a_connection_reaches_the_parents_no_more() -> None:
    """An epoll is shared: closing the copy would take the parent's socket out of it; it would hear nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        async def connected() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection(*server.getsockname())

        reader, writer = background().result(connected)
        other_end, _ = server.accept()

        def child() -> str:
            writer.write(b"from the child")
            writer.close()
            return "closed"

        with other_end:
            assert in_a_child(child) == "closed"
            other_end.sendall(b"to the parent\n")
            assert background().result(reader.readline) == b"to the parent\n"
            background().post(lambda: writer.write(b"from the parent"))
            assert other_end.recv(100) == b"from the parent"
            background().post(writer.close)
            assert other_end.recv(100) == b""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_each_way_of_multiprocessing_has_clients_that_work(method: str, tmp_path: Path) -> None:
    program = tmp_path / "pool.py"
    program.write_text(
        "import multiprocessing, os\n"
        "from headrace import SyncGenerationClient\n"
        "from tests.unit.background.echo import BODY, EchoDoors\n"
        "client = SyncGenerationClient(connection=EchoDoors())\n"
        "def ask(number):\n"
        "    return int(client.generate(BODY, timeout_s=10).text) == os.getpid()\n"
        "if __name__ == '__main__':\n"
        "    assert ask(0)\n"
        f"    with multiprocessing.get_context({method!r}).Pool(2) as pool:\n"
        "        assert all(pool.map(ask, range(20)))\n"
        "    assert ask(0)\n"
        "    print('done')\n",
        encoding="utf-8",
    )
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, str(program)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


async def _nothing() -> None:
    pass


def until(doors: EchoDoors, request_id: str) -> None:
    """Wait until a request is waited for in the loop."""
    ends = time.monotonic() + 10
    while request_id not in doors.waits:
        assert time.monotonic() < ends
        background().result(_nothing)
