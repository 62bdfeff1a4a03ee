"""Loop time and wall time, and the way between them."""

import asyncio
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from headrace.broker.clock import BoottimeEventLoop, WallClock, boottime_s, run

_NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


class _Hand:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.loop_s = 100.0
        self.wall = _NOON

    def clock(self) -> WallClock:
        return WallClock(lambda: self.loop_s, lambda: self.wall)


def test_the_loop_runs_on_the_time_that_goes_on_in_suspend() -> None:
    async def _times() -> tuple[float, float, bool]:
        loop = asyncio.get_running_loop()
        return boottime_s(), loop.time(), isinstance(loop, BoottimeEventLoop)

    before, now, is_ours = run(_times())
    assert is_ours
    assert before <= now <= before + 1


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no CLOCK_BOOTTIME")
def test_where_there_is_a_boottime_it_is_what_we_read() -> None:
    assert abs(boottime_s() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1


def test_timers_of_the_loop_fire() -> None:
    assert run(asyncio.sleep(0.001, "awake")) == "awake"


def test_the_service_clock_agrees_with_its_loop() -> None:
    async def _both() -> tuple[int, float]:
        return WallClock().now_ms(), asyncio.get_running_loop().time()

    clock_ms, loop_s = run(_both())
    assert abs(clock_ms - loop_s * 1_000) < 1_000


def test_wall_time_is_the_anchor_and_what_has_passed_since() -> None:
    hand = _Hand()
    clock = hand.clock()
    hand.loop_s += 90
    assert clock.utc_now() == _NOON + timedelta(seconds=90)
    assert clock.now_ms() == 190_000


def test_a_step_of_the_wall_clock_is_not_followed() -> None:
    hand = _Hand()
    clock = hand.clock()
    hand.wall -= timedelta(hours=1)
    hand.loop_s += 1
    assert clock.utc_now() == _NOON + timedelta(seconds=1)


@pytest.mark.parametrize("loop_ms", [0, 1, 100_000, 123_456_789, 10**12])
def test_the_way_to_the_wall_and_back_ends_where_it_began(loop_ms: int) -> None:
    clock = _Hand().clock()
    assert clock.to_loop_ms(clock.to_utc(loop_ms)) == loop_ms


def test_other_time_zones_name_the_same_instant() -> None:
    clock = _Hand().clock()
    assert clock.to_loop_ms(_NOON.astimezone(timezone(timedelta(hours=5)))) == 100_000


def test_fractions_of_a_millisecond_are_dropped() -> None:
    clock = _Hand().clock()
    assert clock.to_loop_ms(_NOON + timedelta(microseconds=1_999)) == 100_001
    assert clock.to_loop_ms(_NOON - timedelta(microseconds=1)) == 99_999


def test_instants_beyond_the_calendar_become_its_ends() -> None:
    clock = _Hand().clock()
    assert clock.to_utc(10**18).year == 9999
    assert clock.to_utc(-(10**18)).year == 1


def test_a_wall_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        _Hand().clock().to_loop_ms(datetime(2026, 11, 25, 12))  # noqa: DTZ001 - that is the point


def test_a_clock_that_is_corrected_is_that_much_later_for_whatever_comes() -> None:
    clock = WallClock(lambda: 10.0, lambda: datetime(2026, 1, 1, tzinfo=UTC))
    before, instant = clock.utc_ms(), clock.to_loop_ms(datetime(2026, 1, 2, tzinfo=UTC))
    clock.correct(-90_000)
    assert clock.utc_ms() == before - 90_000
    assert clock.to_loop_ms(datetime(2026, 1, 2, tzinfo=UTC)) == instant + 90_000
