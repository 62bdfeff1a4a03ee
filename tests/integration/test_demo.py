"""The demo as a person runs it: a short one to its end, and one that is stopped in the middle."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.timeout(150)  # each starts a Kafka of its own and two dispatchers, on two busy cores

SHORT = ("--leads", "12", "--tokens-per-minute", "4000", "--latency-max-s", "0.4", "--urgent-every-s", "2")


@contextmanager
def started(temporary: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The demo; its throw-away directory lies in `temporary`. What is left of it is ended with the test."""
    exported = {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace.broker.cli.main", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **exported, "TMPDIR": str(temporary), "http_proxy": "http://127.0.0.1:1"},
    )
    with process:
        family: list[psutil.Process] = []
        try:
            yield process
        finally:
            if process.poll() is None:
                family = psutil.Process(process.pid).children(recursive=True)
                process.kill()
            for child in family:
                if child.is_running():
                    child.kill()


def command_line(child: psutil.Process) -> list[str]:
    """Of a child that runs; one that has just ended and waits to be reaped has none any more."""
    try:
        return list(child.cmdline())
    except psutil.NoSuchProcess:  # a ZombieProcess is one
        return []


def await_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the demo ended without saying {text!r}")


def test_every_lead_is_answered_within_the_quota_and_nothing_stays_behind(tmp_path: Path) -> None:
    with started(tmp_path, *SHORT, "--json") as process:
        out, err = process.communicate()
    told = json.loads(out)
    assert process.returncode == 0, err
    assert (told["leads"], told["kept"], told["failures"]) == (12, True, {})
    headrace, naive = told["headrace"], told["naive"]
    assert (headrace["answered"], headrace["failed"], headrace["urgent"]["answered"]) == (12, 0, 2)
    assert headrace["throttled"] <= 1
    assert headrace["calls"] == 12 + headrace["throttled"]
    assert 0.8 < headrace["share"] <= 1
    assert naive["answered"] + naive["failed"] == 12
    assert naive["throttled"] > headrace["throttled"]
    assert all(copy["text"].startswith("Subject: ") for copy in told["copies"])
    assert "dispatchers" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_however_it_is_stopped_no_process_and_no_file_is_left(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with started(tmp_path, "--leads", "60") as process:
        await_line(process, "0:00")
        family = psutil.Process(process.pid).children(recursive=True)
        commands = " ".join(word for child in family for word in command_line(child))
        process.send_signal(number)
        process.wait()
        _, alive = psutil.wait_procs(family, timeout=30)
    assert [name for name in ("kafka.Kafka", "valkey", "dispatcher-1", "dispatcher-2") if name not in commands] == []
    assert alive == []
    assert process.returncode == code
    assert list(tmp_path.iterdir()) == []


def test_stopped_while_kafka_starts_it_leaves_nothing_either(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        demo = psutil.Process(process.pid)
        while not (family := demo.children(recursive=True)):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate()
        _, alive = psutil.wait_procs(family, timeout=30)
    assert (process.returncode, alive) == (130, [])
    assert err == "Stopped: everything that the demo started has ended.\n"
    assert list(tmp_path.iterdir()) == []
