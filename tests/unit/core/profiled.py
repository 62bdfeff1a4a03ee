"""How many function calls something takes: a cost that does not depend on the machine."""

from collections.abc import Callable
from sys import setprofile
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")


def function_calls(action: Callable[[], Result]) -> tuple[Result, int]:
    """Return what an action returns, and how many Python functions it calls."""
    calls = 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    setprofile(count)
    try:
        result = action()
    finally:
        setprofile(None)
    return result, calls
