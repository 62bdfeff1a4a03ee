"""Targets side by side: `tests.stages` with a stand-in for make."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stages import NICE_BESIDE

MAKE = """#!/bin/sh
# make --no-print-directory TARGET
. {folder}/$2
"""
Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Starts `python -m tests.stages LANE…`, in which each target does what its shell lines say."""
    (tmp_path / "bin").mkdir()
    make = tmp_path / "bin" / "make"
    make.write_text(MAKE.format(folder=tmp_path), encoding="utf-8")
    make.chmod(0o755)
    environment = os.environ | {"PATH": f"{make.parent}:{os.environ['PATH']}"}

    def start(*lanes: str, **targets: str) -> subprocess.Popen[str]:
        for name, lines in targets.items():
            (tmp_path / name).write_text(f"cd {tmp_path}\n{lines}\n", encoding="utf-8")
        return subprocess.Popen(
            [sys.executable, "-m", "tests.stages", *lanes], env=environment, stdout=subprocess.PIPE, text=True
        )

    return start


def said(process: subprocess.Popen[str]) -> list[str]:
    """All lines, without the seconds that a stage took."""
    output, _ = process.communicate(timeout=25)
    return [re.sub(r": \d+ s$", "", line) for line in output.splitlines()]


def test_lanes_run_at_once_and_are_shown_one_after_the_other(run: Run) -> None:
    # each waits for the other: one after the other they would wait for ever
    process = run(
        "first,next",
        "other",
        first="mkfifo to_first to_other; echo > to_other & read it < to_first; echo first",
        next="echo next",
        other="until [ -p to_other ]; do sleep 0.01; done; echo > to_first & read it < to_other; echo other",
    )
    assert said(process) == ["first", "stage first", "next", "stage next", "other", "stage other"]
    assert process.returncode == 0


def test_what_fails_ends_its_lane_alone_and_is_shown_again_at_the_end(run: Run) -> None:
    process = run("bad,never", "good", bad="echo why; exit 3", never="echo never", good="echo good")
    lines = said(process)
    assert lines[:4] == ["why", "stage bad", "good", "stage good"]
    assert lines[4:] == ["", "bad failed with exit code 3; its last lines:", "why"]
    assert process.returncode == 1


def test_only_the_last_lane_is_not_nice(run: Run) -> None:
    process = run("beside", "ahead", beside="nice", ahead="nice")
    own = os.nice(0)
    assert said(process) == [str(min(own + NICE_BESIDE, 19)), "stage beside", str(own), "stage ahead"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_all_that_was_started(run: Run, tmp_path: Path, number: signal.Signals) -> None:
    waits = "trap 'echo ended >> ended; exit 1' INT; echo $$ > {0}.pid; echo up; while :; do sleep 0.05; done"
    process = run("one,later", "two", one=waits.format("one"), later="echo later >> ended", two=waits.format("two"))
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    while not (tmp_path / "two.pid").exists() or not (tmp_path / "two.pid").read_text():
        assert process.poll() is None
    process.send_signal(number)
    said(process)
    assert process.returncode == 130
    assert (tmp_path / "ended").read_text() == "ended\nended\n"
    for name in ("one", "two"):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / f"{name}.pid").read_text()), 0)
