"""The one module that reads a clock.

The event loop's time is the only time decisions are made by, and it goes on while the machine sleeps: a leader that
wakes from suspend must see that its lease has run out (PROTOCOL 2). Wall time is for the wire. It is read once and
counted on from there, so that a clock set forward or back moves no deadline.
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
    """CLOCK_BOOTTIME where there is one (Linux), else the monotonic clock."""
    clock_id: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    if clock_id is None:
        return time.monotonic
    return lambda: time.clock_gettime(clock_id)


boottime_s: Callable[[], float] = _boottime()
"""Seconds since some fixed moment, suspend included; never set back."""


class BoottimeEventLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` goes on in suspend; timers that came due meanwhile fire on waking."""

    def time(self) -> float:
        """Seconds on `boottime_s`."""
        return boottime_s()


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """As `asyncio.run`, on a `BoottimeEventLoop`."""
    with asyncio.Runner(loop_factory=BoottimeEventLoop) as runner:
        return runner.run(main)


class WallClock:
    """Wall time as anchor + loop time: where the instants of the wire and those of the loop meet.

    A step of the system's wall clock is not followed; whoever has it from other clocks that it is wrong may correct it.
    """

    def __init__(
        self, loop_s: Callable[[], float] = boottime_s, wall_now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Anchored now.

        Args:
            loop_s: the loop's `time`; the default agrees with a `BoottimeEventLoop`.
            wall_now: the wall clock, read once.
        """
        self._loop_s = loop_s
        self._origin = wall_now() - timedelta(seconds=loop_s())

    def now_ms(self) -> int:
        """The loop's time in whole milliseconds."""
        return int(self._loop_s() * 1_000)

    def utc_now(self) -> datetime:
        """The wall time, aware and UTC."""
        return self._origin + timedelta(seconds=self._loop_s())

    def utc_ms(self) -> int:
        """The wall time in whole milliseconds since 1970."""
        return int(self.utc_now().timestamp() * 1_000)

    def correct(self, by_ms: int) -> None:
        """Anchor it so many milliseconds later, or earlier if that is negative: other clocks agree against this one."""
        self._origin += timedelta(milliseconds=by_ms)

    def to_utc(self, loop_ms: int) -> datetime:
        """The wall time of a loop instant; of one beyond the calendar, the calendar's end."""
        try:
            return self._origin + timedelta(milliseconds=loop_ms)
        except OverflowError:
            return _CALENDAR_END if loop_ms > 0 else _CALENDAR_START

    def to_loop_ms(self, wall: datetime) -> int:
        """The loop instant of an aware wall time, rounded down to the millisecond.

        Raises:
            ValueError: `wall` has no time zone.
        """
        if wall.tzinfo is None:
            raise ValueError("a wall time without a time zone names no instant")
        return (wall - self._origin) // _MILLISECOND
