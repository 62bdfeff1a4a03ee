"""SIGTERM reaches a verb that has not asked for it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from headrace.broker.cli.main import main
from headrace.broker.cli.termination import Termination
from headrace.broker.cli.verbs import Verb

_HERE = "tests.unit.cli.verbs_that_fail"
_TERMINATED = (
    Verb("terminated", f"{_HERE}:terminated", "Sent SIGTERM."),
    Verb("terminated-waiting", f"{_HERE}:terminated_waiting", "Sent SIGTERM while its event loop sleeps."),
    Verb("interrupted", f"{_HERE}:interrupted", "Sent Ctrl-C."),
)


@contextmanager
def handled(number: signal.Signals, handler: signal.Handlers) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(("verb", "code"), [("terminated", 143), ("terminated-waiting", 143), ("interrupted", 130)])
def test_a_verb_that_is_told_to_end_ends_and_its_code_says_by_what(
    verb: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb], _TERMINATED) == code
    assert capsys.readouterr().err == ""


def test_a_background_job_of_a_script_ends_though_ctrl_c_is_ignored_there() -> None:
    with handled(signal.SIGINT, signal.SIG_IGN):
        assert main(["terminated"], _TERMINATED) == 143


def test_afterwards_sigterm_is_what_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Termination():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_process_that_ignores_what_it_has_not_asked_for_ends_all_the_same() -> None:
    """As number 1 of a container does; SIG_IGN is inherited through exec."""
    program = (
        f"import sys; from headrace.broker.cli.main import main; from {_HERE} import *; "
        f"from headrace.broker.cli.verbs import Verb; "
    )
    program += f"sys.exit(main(['x'], [Verb('x', '{_HERE}:terminated_waiting', '')]))"
    with handled(signal.SIGTERM, signal.SIG_IGN):
        done = subprocess.run([sys.executable, "-c", program], check=False, timeout=8, env=os.environ)
    assert done.returncode == 143
