"""The end of a process that uses a sync client: nothing hangs, and nothing is written that has no cause."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = str(Path(__file__).parents[3])
BEGIN = (
    "import atexit, os, sys, threading\n"
    "{before}\n"
    "from headrace import SyncGenerationClient\n"
    "from tests.unit.background.echo import BODY, EchoDoors\n"
    "doors = EchoDoors(silent=frozenset({{'slow'}}))\n"
    "client = SyncGenerationClient(connection=doors)\n"
)
ASK = "client.generate(BODY)\n"


def ended(program: str, *, before: str = "", interrupt: bool = False) -> tuple[str, str, int]:
    """What a program says until it ends, and how it ends."""
    command = [sys.executable, "-W", "error", "-c", BEGIN.format(before=before) + program]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ROOT}
    )
    try:
        if interrupt:
            assert child.stdout is not None
            assert child.stdout.readline() == "waiting\n"
            child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=40)
    finally:
        child.kill()
    return out, err, child.returncode


def test_a_client_that_is_never_closed_is_closed_at_the_end() -> None:
    runs_behind_ours = "atexit.register(lambda: print('closed', doors.closes))"
    assert ended(ASK, before=runs_behind_ours) == ("closed 1\n", "", 0)


@pytest.mark.parametrize("before", [True, False])
def test_a_client_may_be_used_by_the_services_own_handlers_of_the_end(before: bool) -> None:  # noqa: FBT001  # a case
    handler = "atexit.register(lambda: print(client.generate(BODY).text == str(os.getpid())))\n"
    assert ended(ASK + ("" if before else handler), before=handler if before else "") == ("True\n", "", 0)


def test_a_client_that_is_first_used_at_the_very_end_works_or_says_why_not() -> None:
    out, err, code = ended("atexit.register(lambda: print(client.submit(BODY).lane))\n")
    assert (out, err, code) == ("standard\n", "", 0) or "starts no thread" in err


def test_a_use_when_the_threads_have_stopped_is_an_error_and_no_wait() -> None:
    program = (
        "class Late:\n"
        "    def __init__(self):\n"
        "        self.client, self.body, self.os = client, BODY, os\n"
        "    def __del__(self):\n"
        "        self.client.close()\n"
        "        try:\n"
        "            self.client.generate(self.body)\n"
        "        except Exception as error:\n"
        "            self.os.write(1, str(error).encode())\n"
        "late = Late()\n"
    )
    out, err, code = ended(ASK + program)
    assert out == "The interpreter is ending, and its threads have stopped: nothing can be sent any more."
    assert (err, code) == ("", 0)


def test_a_wait_in_a_daemon_thread_does_not_hold_up_the_end() -> None:
    program = (
        "threading.Thread(target=lambda: client.generate(BODY, id='slow'), daemon=True).start()\n"
        "while 'slow' not in doors.waits: client.submit(BODY)\n"
        "print('end')\n"
    )
    out, _, code = ended(program)
    assert (out, code) == ("end\n", 0)


def test_ctrl_c_ends_a_wait_at_once() -> None:
    program = (
        "def told():\n"
        "    while 'slow' not in doors.waits: pass\n"
        "    print('waiting', flush=True)\n"
        "threading.Thread(target=told, daemon=True).start()\n"
        "client.generate(BODY, id='slow')\n"
    )
    _, err, code = ended(program, interrupt=True)
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert code == -signal.SIGINT
