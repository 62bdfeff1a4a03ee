"""Clocks of a run: the wall's, and one that the machine's other work cannot move.

The second stands while the loop's thread is ready to run and other work has the processor. What the product does wrong
still takes its time there: a thread that computes, collects garbage, sleeps or waits for another's answer is not one
that waits for a processor. The load is paced by the same clock, so a busy machine makes a run longer and not denser.
"""

import time
from collections.abc import Callable
from pathlib import Path

Clock = Callable[[], float]
BUSY_GRAIN_S = 0.2
"""So much may be computed at once before a share of the time tells anything."""


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


class Pace:
    """Lets through at most `per_s` a second of that clock, and fewer once this process computes for more than `busy_max`.

    A machine that computes half as fast otherwise queues the good requests behind the odd ones' work, for as long as the
    load is denser than what it can do: that tells of the machine. What an odd request costs is judged as itself.
    """

    def __init__(self, clock: Clock, per_s: float, busy_max: float) -> None:
        self._clock, self._per_s, self._busy_max = clock, per_s, busy_max
        self._since_s, self._computed_s = clock(), time.process_time()

    def allows(self, number: int) -> bool:
        """Whether the one of that number, from 0, may go now."""
        passed_s = self._clock() - self._since_s
        return number <= passed_s * self._per_s and self.computed_s() <= max(BUSY_GRAIN_S, passed_s * self._busy_max)

    def computed_s(self) -> float:
        """How long the process has computed since."""
        return time.process_time() - self._computed_s
