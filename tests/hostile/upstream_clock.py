"""Clocks of a run: the wall's, and one that the machine's other work cannot move.

The second stands while the loop's thread is ready to run and other work has the processor. What the product does wrong
still takes its time there: a thread that computes, collects garbage, sleeps or waits for another's answer is not one
that waits for a processor. The load is paced by the same clock, so a busy machine makes a run longer and not denser.
"""

import time
from collections.abc import Callable
from pathlib import Path

Clock = Callable[[], float]


def waited_s(process: int | str = "self") -> float:
    """How long a process's first thread, which runs the loop, has been ready while other work had the processors."""
    return int(Path(f"/proc/{process}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9


def wall_s() -> float:
    """What time it is on the wall."""
    return time.monotonic()


def undisturbed_s() -> float:
    """The same without the time in which the loop's thread waited for a processor."""
    return time.monotonic() - waited_s()


def resident_mib() -> float:
    """How much memory the process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4_096 / 1024 / 1024
