import os
import signal
import sys
from pathlib import Path

import pytest

from headrace.broker.local.processes import Process, command_line, disown, is_running, spawn, stop

STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "open(sys.argv[1] + '/ready', 'w').close(); time.sleep(60)"
)
SLEEPER = "import sys, time; open(sys.argv[1] + '/ready', 'w').close(); time.sleep(60)"


def test_a_process_with_our_mark_is_stopped(tmp_path: Path) -> None:
    child = spawn([sys.executable, "-I", "-S", "-c", SLEEPER, str(tmp_path)], log=tmp_path / "log", directory=tmp_path)
    process = Process(child.pid, str(tmp_path))
    assert is_running(process)
    stop([process])
    assert not is_running(process)
    assert child.wait() == -signal.SIGTERM


def test_one_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    child = spawn([sys.executable, "-I", "-S", "-c", STUBBORN, str(tmp_path)], log=tmp_path / "log", directory=tmp_path)
    while not (tmp_path / "ready").exists():
        assert child.poll() is None
    stop([Process(child.pid, str(tmp_path))], grace_s=0.1)
    assert child.wait() == -signal.SIGKILL


def test_a_frozen_one_hears_sigterm(tmp_path: Path) -> None:
    child = spawn([sys.executable, "-I", "-S", "-c", SLEEPER, str(tmp_path)], log=tmp_path / "log", directory=tmp_path)
    os.kill(child.pid, signal.SIGSTOP)
    stop([Process(child.pid, str(tmp_path))])
    assert child.wait() == -signal.SIGTERM


def test_a_pid_that_belongs_to_a_stranger_by_now_is_left_alone(tmp_path: Path) -> None:
    ourselves = Process(os.getpid(), str(tmp_path / "kafka-1"))
    assert not is_running(ourselves)
    stop([ourselves])


def test_a_child_has_a_session_of_its_own_so_that_ctrl_c_reaches_us_first(tmp_path: Path) -> None:
    child = spawn([sys.executable, "-I", "-S", "-c", SLEEPER, str(tmp_path)], log=tmp_path / "log", directory=tmp_path)
    try:
        assert os.getsid(child.pid) == child.pid != os.getsid(0)
    finally:
        stop([Process(child.pid, str(tmp_path))])
        child.wait()


def test_a_child_does_not_see_variables_that_would_change_a_java(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1m")
    program = "import os; print(sorted(os.environ))"
    child = spawn([sys.executable, "-I", "-S", "-c", program], log=tmp_path / "log", directory=tmp_path)
    child.wait()
    assert "JAVA_TOOL_OPTIONS" not in (tmp_path / "log").read_text()
    assert "PATH" in (tmp_path / "log").read_text()


def test_a_disowned_child_lives_on_without_a_warning(tmp_path: Path) -> None:
    child = spawn([sys.executable, "-I", "-S", "-c", SLEEPER, str(tmp_path)], log=tmp_path / "log", directory=tmp_path)
    process = Process(child.pid, str(tmp_path))
    disown(child)
    del child
    assert is_running(process)
    stop([process])
    os.waitpid(process.pid, 0)


def test_a_dead_pid_has_no_command_line() -> None:
    assert command_line(2**22 + 1) == ""
