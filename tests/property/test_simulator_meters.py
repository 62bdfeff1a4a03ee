"""What any meter owes its judge: exact waits, and an offer that nobody can exceed and that somebody can take."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.broker.simulator.admission import MINUTE_US, SECOND_US
from headrace.broker.simulator.meters.bucket import Bucket
from headrace.broker.simulator.meters.fixed_window import FixedWindow
from headrace.broker.simulator.meters.sliding_window import SlidingWindow
from headrace.broker.simulator.meters.two_windows import TwoWindows
from headrace.broker.simulator.rules import Meter

Making = Callable[[int, int], Meter]
Steps = list[tuple[int, int]]  # microseconds since the step before, charge

MADE: dict[str, Making] = {
    "a bucket": lambda limit, now_us: Bucket(limit, MINUTE_US, MINUTE_US, now_us),
    "a hidden bucket": lambda limit, now_us: Bucket(limit, MINUTE_US, SECOND_US, now_us),
    "fixed windows": lambda limit, now_us: FixedWindow(limit, MINUTE_US, MINUTE_US, now_us),
    "hidden windows": lambda limit, now_us: FixedWindow(limit, MINUTE_US, 6 * SECOND_US, now_us),
    "a sliding window": lambda limit, now_us: SlidingWindow(limit, MINUTE_US, now_us),
    "two windows": lambda limit, now_us: TwoWindows(limit, MINUTE_US, now_us),
}

every_meter = pytest.mark.parametrize("made", MADE.values(), ids=MADE)
limits = st.integers(60, 10**6)
starts = st.integers(0, 3 * MINUTE_US)
steps: Any = st.lists(st.tuples(st.integers(0, 2 * MINUTE_US), st.integers(1, 10**6)), max_size=30)


@every_meter
@settings(max_examples=25)
@given(limits, starts, steps)
def test_a_call_can_be_paid_exactly_when_the_wait_is_over(made: Making, limit: int, now_us: int, asked: Steps) -> None:
    meter = made(limit, now_us)
    for elapsed_us, charge in asked:
        cost = min(charge, limit)
        now_us += elapsed_us
        meter.refill(now_us)
        wait_us = meter.short_by_us(cost)
        if wait_us > 1:
            meter.refill(now_us + wait_us - 1)
            assert meter.short_by_us(cost) == 1
        now_us += wait_us
        meter.refill(now_us)
        assert meter.short_by_us(cost) == 0
        meter.pay(cost)


@every_meter
@settings(max_examples=25)
@given(limits, starts, steps, st.floats(0.1, 10))
def test_nobody_is_charged_more_than_was_offered(
    made: Making, limit: int, now_us: int, asked: Steps, factor: float
) -> None:
    meter, charged = made(limit, now_us), 0
    for number, (elapsed_us, charge) in enumerate(asked):
        now_us += elapsed_us
        meter.refill(now_us)
        if number == len(asked) // 2:
            meter.change(max(60, round(limit * factor)))
        cost = min(charge, meter.room())
        assert cost == 0 or meter.short_by_us(cost) == 0
        meter.pay(cost)
        charged += cost
        assert charged <= meter.offered()
        assert 0 <= meter.level().remaining <= meter.limit


@every_meter
@settings(max_examples=25)
@given(st.integers(600, 10**5), st.integers(1, 6))
def test_whoever_takes_all_there_is_at_every_moment_is_charged_all_that_was_offered(
    made: Making, limit: int, minutes: int
) -> None:
    meter, charged = made(limit, 0), 0
    for number in range(minutes * 240 + 1):
        meter.refill(number * SECOND_US // 4)
        room = meter.room()
        meter.pay(room)
        charged += room
    missed = minutes * (1 + limit // 240)  # the last quarter of a second before each mark
    assert meter.offered() - missed <= charged <= meter.offered()


@given(limits, starts, steps)
def test_no_sliding_window_holds_more_than_the_limit(limit: int, now_us: int, asked: Steps) -> None:
    meter = SlidingWindow(limit, MINUTE_US, now_us)
    taken: list[tuple[int, int]] = []
    for elapsed_us, charge in asked:
        now_us += elapsed_us
        meter.refill(now_us)
        cost = min(charge, limit)
        fits = sum(units for at_us, units in taken if at_us > now_us - MINUTE_US) + cost <= limit
        assert (meter.short_by_us(cost) == 0) == fits
        if fits:
            meter.pay(cost)
            taken.append((now_us, cost))


@every_meter
@settings(max_examples=25)
@given(limits, starts, steps)
def test_a_drain_takes_what_is_asked_for_as_far_as_it_is_there(
    made: Making, limit: int, now_us: int, asked: Steps
) -> None:
    meter = made(limit, now_us)
    for elapsed_us, charge in asked:
        now_us += elapsed_us
        meter.refill(now_us)
        room = meter.room()
        meter.drain(charge)
        assert meter.room() == max(0, room - charge)
