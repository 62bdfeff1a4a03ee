"""Each wrong usage ends with one helpful sentence and its exit code, and with nothing else."""

import os
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from headrace.broker.cli.main import main
from headrace.broker.cli.verbs import VERBS
from tests.unit.cli.usage.row import LIBRARY_WORDS, Row
from tests.unit.cli.usage.rows import ROWS

ROWS_MIN = 150
ROWS_A_VERB_MIN = 4
WITHIN_S = 2.0
SECRET = "sk-Zq9-hush"  # planted, to be looked for
CLEAN = {
    "PATH": os.environ.get("PATH", ""),
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "COLUMNS": "200",
    "OPENAI_API_KEY": SECRET,
}
_SCRIPT = "import sys; from headrace.broker.cli.console import main; sys.exit(main())"


class Ended(NamedTuple):
    """How the script ended."""

    code: int
    out: str
    err: str
    took_s: float
    """Less the time without a processor; 0 for a process of its own, most of whose time is its start."""


@pytest.fixture
def ended(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Ended:
    """How the script ended for the row of this test."""
    row: Row = request.param
    for name, content in row.files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(tmp_path)
    arguments = [word.replace("{dir}", str(tmp_path)) for word in shlex.split(row.typed)]
    return _as_process(row, arguments) if row.by_process else _here(row, arguments, monkeypatch, capfd)


def _as_process(row: Row, arguments: list[str]) -> Ended:
    environ = {**CLEAN, **row.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _SCRIPT, *arguments],
        input=row.stdin, env=environ, capture_output=True, check=False, timeout=30,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode(), 0.0)


def _here(row: Row, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Ended:
    for name in list(os.environ):
        if name not in CLEAN and not name.startswith("PYTEST"):
            monkeypatch.delenv(name)
    for name, value in {**CLEAN, **row.environ}.items():
        monkeypatch.setenv(name, value)
    reading, writing = os.pipe()
    os.write(writing, row.stdin)
    os.close(writing)
    kept = os.dup(0)
    os.dup2(reading, 0)
    with open(0, encoding="utf-8", closefd=False) as stdin:  # a descriptor has no path
        monkeypatch.setattr(sys, "stdin", stdin)
        begun_s = time.monotonic() - starved_s()
        try:
            code = main(arguments)
        finally:
            took_s = time.monotonic() - starved_s() - begun_s
            os.dup2(kept, 0)
            os.close(kept)
            os.close(reading)
    said = capfd.readouterr()
    return Ended(code, said.out, said.err, took_s)


def sentences(said: str) -> list[str]:
    """What was said, line by line, each without the name of the script before it."""
    return [line.removeprefix("headrace: ") for line in said.splitlines()]


def starved_s() -> float:
    """How long this thread could have run and did not get a processor, as far as the system tells."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


_NAMES = [f"{number} {row}" for number, row in enumerate(ROWS)]


@pytest.mark.slow
@pytest.mark.parametrize(("row", "ended"), [(row, row) for row in ROWS], indirect=["ended"], ids=_NAMES)
def test_a_wrong_usage_ends_with_one_sentence_and_its_code(row: Row, ended: Ended) -> None:
    told = sentences(ended.out + ended.err)
    assert re.fullmatch(row.said, "\n".join(told)), ended
    assert (ended.code, len(told)) == (row.code, row.sentences), ended
    assert all(re.search(r"[.?!)]$", sentence) for sentence in told), ended
    everything = ended.out + ended.err
    assert not LIBRARY_WORDS.search(everything), ended
    assert SECRET not in everything, ended
    assert ended.took_s < WITHIN_S, ended


def test_every_verb_has_rows() -> None:
    counted = Counter(row.verb for row in ROWS)
    assert {verb.name: counted[verb.name] for verb in VERBS if counted[verb.name] < ROWS_A_VERB_MIN} == {}
    assert len(ROWS) >= ROWS_MIN


def test_no_row_stands_twice() -> None:
    counted = Counter((row.typed, str(row.files), str(row.environ), row.stdin) for row in ROWS)
    assert [typed for typed, count in counted.items() if count > 1] == []
