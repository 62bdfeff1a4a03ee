"""The console script before anything is imported: interrupted, or with standard streams that are closed."""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

_INTERRUPTED_WHILE_IMPORTING = """
import os, signal, sys
from headrace.broker.cli import console

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "headrace.broker.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.exit(console.main())
"""
_RUN = "import sys; from headrace.broker.cli.console import main; sys.exit(main())"
_NUMBERS = """
import os, sys
from headrace.broker.cli import console
console._fill_closed_places()
opened = os.open(os.devnull, os.O_RDONLY)
print("lost", file=sys.stderr)
sys.exit(0 if opened > 2 else 1)
"""


def run(code: str, args: Sequence[str] = (), closed: Sequence[int] = ()) -> subprocess.CompletedProcess[bytes]:
    def close() -> None:
        for number in closed:
            os.close(number)

    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, preexec_fn=close, check=False, timeout=20
    )


def test_an_interrupt_during_the_imports_is_quiet() -> None:
    ended = run(_INTERRUPTED_WHILE_IMPORTING)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")


def test_where_standard_output_is_closed_one_sentence_says_so() -> None:
    ended = run(_RUN, ["--version"], closed=[1])
    assert ended.returncode == 2
    assert ended.stderr == (
        b"headrace: standard output is closed, so nothing could be told: leave it open, or send it to /dev/null.\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("closed", [[0], [2], [0, 2]])
def test_other_streams_may_be_closed(closed: list[int]) -> None:
    ended = run(_RUN, ["--version"], closed=closed)
    assert (ended.returncode, ended.stdout[:9], ended.stderr) == (0, b"headrace ", b"")


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1, 2]])
def test_no_file_that_is_opened_later_takes_the_place_of_a_stream(closed: list[int]) -> None:
    assert run(_NUMBERS, closed=closed).returncode == 0
