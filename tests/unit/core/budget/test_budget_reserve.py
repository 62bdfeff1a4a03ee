"""The reserve of idle lanes in a limit whose mirrors are right: what it leaves unused is no doubt of them.

Before, each of these began a trial, in which no level and so no reserve is kept.
"""

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.answers.refill_detection import BUCKET, Refill
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.others_charges import OthersInterval
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror
from headrace.broker.core.units import PPM
from tests.unit.core.budgets import KEY, SETTINGS, full
from tests.unit.core.specimens import verdict

SIZE = KEY.capacity
ASKED_EVERY_MS = 1_000  # other events come that often


class Backlog:
    """A budget, and a request of 400 tokens that always waits. Answers come at once and state no level."""

    def __init__(self, *levels: LevelBounds, refill: Refill = BUCKET) -> None:
        self.budget, self.now_ms, self.count = full(SETTINGS, *levels), 1_000, 0
        if refill is not BUCKET:
            self._count_windows(self.budget, refill)

    def _count_windows(self, budget: Budget, refill: Refill) -> None:
        buckets = budget._buckets
        buckets._mirrors.keep(lambda _: False)
        if refill is Refill.FIXED:
            fixed = FixedWindowMirror(LimitMetric.TOKENS, SIZE, MINUTE_MS, MINUTE_MS, SIZE)
            fixed._proven = True
            buckets._mirrors.add(fixed)
        else:
            buckets._mirrors.add(SlidingWindowMirror(LimitMetric.TOKENS, SIZE, MINUTE_MS, 0, budget._sends))

    def call(self, tokens: int = 400) -> None:
        self.count += 1
        self.budget.reserve(self.count, tokens, self.now_ms)
        self.budget.record_answer(self.count, self.now_ms, verdict())

    def spend(self, for_ms: int, reserved_ppm: int = 0, *, tokens: int = 400) -> int:
        """Return the tokens spent in that time, or until measurements are followed."""
        until_ms, spent = self.now_ms + for_ms, 0
        while self.now_ms < until_ms and not self.budget.guide.measures:
            at_ms = self.budget.payable_at(tokens, self.now_ms, reserved_ppm=reserved_ppm)
            assert at_ms is not None
            if at_ms > self.now_ms:
                self.now_ms = min(at_ms, self.now_ms + ASKED_EVERY_MS)
            elif not self.budget.guide.measures:
                self.call(tokens)
                spent += tokens
        return spent

    @property
    def doubted(self) -> bool:
        return self.budget.guide.measures


def test_a_bucket_that_was_emptied_at_once_fills_its_reserve_before_a_lower_lane_has_a_turn() -> None:
    """Hypothesis, seed 211 of `tests.property.test_lanes`: 35 s were needed, and 25 s of quiet were a doubt."""
    backlog = Backlog()
    backlog.call(SIZE - 10)
    backlog.now_ms += 300
    assert backlog.spend(2 * MINUTE_MS, 500_000)
    assert not backlog.doubted
    assert backlog.budget.levels(backlog.now_ms)[0].low >= SIZE // 2 - 400


def test_calls_of_a_minute_fill_their_reserve_as_well() -> None:
    calls = LevelBounds(LimitMetric.REQUESTS, 0, 0, 500, MINUTE_MS)
    backlog = Backlog(KEY, calls)
    assert backlog.spend(3 * MINUTE_MS, 500_000)
    assert not backlog.doubted


@pytest.mark.slow
def test_the_reserve_of_a_day_is_left_alone_for_hours() -> None:
    """A quarter of the day's tokens is left, and three tenths are reserved."""
    backlog = Backlog(KEY, LevelBounds(LimitMetric.TOKENS, 250_000, 250_000, 1_000_000, DAY_MS))
    assert not backlog.spend(60 * MINUTE_MS, 300_000)
    assert not backlog.doubted


def test_the_wait_for_the_reserve_of_a_day_says_nothing_of_the_minute_once_it_is_over() -> None:
    backlog = Backlog(KEY, LevelBounds(LimitMetric.TOKENS, 250_000, 250_000, 1_000_000, DAY_MS))
    assert not backlog.spend(3 * MINUTE_MS, 300_000)
    backlog.call(SIZE - 10)
    assert backlog.spend(MINUTE_MS // 2)
    assert not backlog.doubted


@pytest.mark.slow
@pytest.mark.parametrize("refill", [Refill.FIXED, Refill.SLIDING])
@pytest.mark.parametrize("reserved_ppm", [300_000, 600_000])
def test_what_windows_keep_as_a_reserve_expires_with_each_of_them(refill: Refill, reserved_ppm: int) -> None:
    backlog = Backlog(refill=refill)
    spent = backlog.spend(6 * MINUTE_MS, reserved_ppm)
    assert not backlog.doubted
    beside = SIZE * (PPM - reserved_ppm) // PPM
    assert 5 * beside <= spent <= 7 * beside


@pytest.mark.slow
@pytest.mark.parametrize("refill", [Refill.FIXED, Refill.SLIDING])
def test_what_bulk_has_kept_is_not_held_against_the_mirrors_when_an_urgent_burst_has_used_it(refill: Refill) -> None:
    backlog = Backlog(refill=refill)
    backlog.spend(4 * MINUTE_MS - 20_000, 300_000)
    assert backlog.spend(30_000), "and is held back"
    assert not backlog.doubted


@pytest.mark.slow
def test_mirrors_that_let_through_far_less_than_what_is_spendable_beside_the_reserve_are_doubted() -> None:
    backlog = Backlog(refill=Refill.SLIDING)
    (mirror,) = backlog.budget._buckets
    assert isinstance(mirror, SlidingWindowMirror)
    mirror._others = OthersInterval()
    mirror._others.widen(SIZE // 2, 0)  # of which nothing was spent
    backlog.spend(6 * MINUTE_MS, 300_000)
    assert backlog.doubted
