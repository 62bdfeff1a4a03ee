import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.broker.local.guard import Guard
from headrace.broker.local.processes import Process, is_running, spawn, stop

SLEEPER = "import time; time.sleep(60)"
OWNER = """
import os, sys, time
from pathlib import Path
from headrace.broker.local.guard import Guard
from headrace.broker.local.processes import spawn
home = Path(sys.argv[1])
guard = Guard()
guard.remove(home)
sleep = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)", str(home)]
child = spawn(sleep, log=home / "log", directory=home)
guard.watch(child.pid, str(home))
print(child.pid, flush=True)
os._exit(1)
"""


def test_what_an_owner_leaves_behind_is_stopped_and_removed(tmp_path: Path) -> None:
    home = tmp_path / "data"
    home.mkdir()
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", OWNER, str(home)]
    owner = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    left = Process(int(owner.stdout), str(home))
    deadline = time.monotonic() + 1.5
    while (is_running(left) or home.exists()) and time.monotonic() < deadline:
        os.sched_yield()
    assert not is_running(left)
    assert not home.exists()


@pytest.mark.slow
def test_after_the_release_everything_goes_on(tmp_path: Path) -> None:
    guard = Guard()
    child = spawn([sys.executable, "-I", "-S", "-c", SLEEPER, str(tmp_path)], log=tmp_path / "log", directory=tmp_path)
    guard.watch(child.pid, str(tmp_path))
    guard.remove(tmp_path)
    guard.release()
    process = Process(child.pid, str(tmp_path))
    assert is_running(process)
    assert tmp_path.exists()
    stop([process])
    child.wait()


def test_a_guard_that_somebody_killed_hinders_nobody() -> None:
    guard = Guard()
    os.kill(guard.pid, 9)
    deadline = time.monotonic() + 1
    while is_running(Process(guard.pid, "keep_watch")) and time.monotonic() < deadline:
        os.sched_yield()
    guard.watch(1, "nothing")
    guard.release()
