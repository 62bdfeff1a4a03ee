"""Clocks of the processes: the only module that reads one.

Decisions are made by the event loop's time alone, and it goes on while the machine sleeps: a leader that wakes from
suspend must see that its lease has expired (PROTOCOL 2). Wall time is for the wire. It is read once and derived from
loop time after that, so that a clock set forward or back moves no deadline.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

_T = TypeVar("_T")
_MILLISECOND = timedelta(milliseconds=1)
_CALENDAR_START = datetime(1, 1, 1, tzinfo=UTC)
_CALENDAR_END = datetime(9999, 12, 31, tzinfo=UTC)


def _boottime() -> Callable[[], float]:
    """Return a reader of CLOCK_BOOTTIME where there is one (Linux), else of the monotonic clock."""
    clock_id: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    if clock_id is None:
        return time.monotonic
    return lambda: time.clock_gettime(clock_id)


boottime_s: Callable[[], float] = _boottime()
"""Seconds since some fixed moment, suspend included; never set back."""


class BoottimeEventLoop(asyncio.SelectorEventLoop):
    """Event loop whose `time()` goes on in suspend; timers that came due meanwhile fire on waking."""

    def time(self) -> float:
        """Return the seconds of `boottime_s`."""
        return boottime_s()


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run `main` as `asyncio.run` does, on a `BoottimeEventLoop`."""
    with asyncio.Runner(loop_factory=BoottimeEventLoop) as runner:
        return runner.run(main)


class WallClock:
    """Wall time as anchor + loop time: the conversion between instants of the wire and of the loop.

    A step of the system's wall clock is not followed; a caller that knows from other clocks that it is wrong may
    correct it.
    """

    def __init__(
        self, loop_s: Callable[[], float] = boottime_s, wall_now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Anchor the clock now.

        Args:
            loop_s: the loop's `time`; the default agrees with a `BoottimeEventLoop`.
            wall_now: the wall clock, read once.
        """
        self._loop_s = loop_s
        self._origin = wall_now() - timedelta(seconds=loop_s())

    def now_ms(self) -> int:
        """Return the loop's time in whole milliseconds."""
        return int(self._loop_s() * 1_000)

    def utc_now(self) -> datetime:
        """Return the wall time, aware and UTC."""
        return self._origin + timedelta(seconds=self._loop_s())

    def utc_ms(self) -> int:
        """Return the wall time in whole milliseconds since 1970."""
        return int(self.utc_now().timestamp() * 1_000)

    def correct(self, by_ms: int) -> None:
        """Move the wall time by `by_ms`, back if negative: other clocks agree with each other against this one."""
        self._origin += timedelta(milliseconds=by_ms)

    def to_utc(self, loop_ms: int) -> datetime:
        """Return the wall time of a loop instant; for one beyond the calendar, the calendar's end."""
        try:
            return self._origin + timedelta(milliseconds=loop_ms)
        except OverflowError:
            return _CALENDAR_END if loop_ms > 0 else _CALENDAR_START

    def to_loop_ms(self, wall: datetime) -> int:
        """Return the loop instant of an aware wall time, rounded down to the millisecond.

        Raises:
            ValueError: `wall` has no time zone.
        """
        if wall.tzinfo is None:
            raise ValueError("a wall time without a time zone names no instant")
        return (wall - self._origin) // _MILLISECOND
