"""The console script: no traceback at Ctrl-C while it loads, and no socket in the place of a standard stream.

Where the extra `server` is not installed, one sentence says so. This module imports nothing slow. The slow imports
behind it take a quarter of a second, in which Ctrl-C would otherwise print Python's own traceback. (Python's own start,
which comes before, is out of reach.)
"""

import os
import signal
import sys
from types import FrameType
from typing import Final, TextIO

from headrace.broker.cli.termination import INTERRUPTED
from headrace.broker.extras import missing_sentence

_UNUSABLE: Final = 2
_CLOSED: Final = (
    "headrace: standard output is closed, so nothing could be told: leave it open, or send it to /dev/null."
)


def main() -> int:
    """Run `headrace` and return the exit code."""
    is_closed = sys.stdout is None
    _fill_closed_places()
    if (sentence := missing_sentence("server", "the verbs")) is not None:
        sys.stderr.write(f"headrace: {sentence}\n")  # `say` needs typer
        return _UNUSABLE
    if is_closed:
        from headrace.broker.cli.terminal import say  # noqa: PLC0415 — see the module

        say(_CLOSED, err=True)
        return _UNUSABLE
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    from headrace.broker.cli.main import main as run  # noqa: PLC0415 — see the module

    signal.signal(signal.SIGINT, before)
    return run()


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Exit at once: nothing has begun, so there is nothing to close and nothing to report."""
    os._exit(INTERRUPTED)


def _fill_closed_places() -> None:
    """Open /dev/null in the place of each closed standard stream.

    Otherwise the next file or socket that is opened gets the number 0, 1 or 2, and printed text would go to Kafka.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
    sys.stdin = sys.stdin or _stream(0, "r")
    sys.stdout = sys.stdout or _stream(1, "w")
    sys.stderr = sys.stderr or _stream(2, "w")


def _stream(number: int, mode: str) -> TextIO:
    return os.fdopen(number, mode, encoding="utf-8", closefd=False)  # type: ignore[return-value]  # a text mode
