"""How calls that must leave a reserve are spread over a short sliding window, and what they leave."""

from itertools import pairwise

import pytest

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.budget.admission_delay import DELAY_MAX_MS
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.sliding_window import (
    FINE_MS,
    FINE_PARTS,
    LEEWAY_MS,
    LONG_DELAY_PARTS,
    PROMPT_MS,
    SPREAD_MAX_MS,
    SPREAD_PARTS,
    SlidingWindowMirror,
)
from tests.unit.core.counters import MINUTE, hearing

WAY = 10
PERIOD = 6_000
CALLS = 600
RESERVED = CALLS // 20


class Stream:
    """A window of calls, and a lane that sends whenever it may."""

    def __init__(self, period_ms: int = PERIOD, capacity: int = CALLS) -> None:
        self.sends = SentCalls()
        self.mirror = SlidingWindowMirror(LimitMetric.REQUESTS, capacity, period_ms, 0, self.sends)
        self.now_ms, self.sent_ms = 0, list[int]()
        number = self.send()
        self.mirror.observe(capacity - 1, hearing(self.sends, number, 0, WAY), self.sends)

    def send(self) -> int:
        number = self.sends.append(self.now_ms, 0)
        self.mirror.pay(1, number, self.now_ms)
        self.sent_ms.append(self.now_ms)
        return number

    def run(self, until_ms: int, reserved: int = RESERVED) -> None:
        """Send calls that must leave so much, each as soon as it may go."""
        while (at_ms := self.mirror.payable_at(1, reserved, self.now_ms)) < until_ms:
            self.now_ms = at_ms
            self.send()
        self.now_ms = until_ms

    def longest_gap_ms(self, since_ms: int) -> int:
        times_ms = [at_ms for at_ms in self.sent_ms if at_ms >= since_ms]
        return max(later - sooner for sooner, later in pairwise(times_ms))


def test_a_short_window_is_used_whole_beside_a_reserve_and_frees_something_all_the_time() -> None:
    """Before: the reserve was lost in each window, and calls came in a burst for which others waited six seconds."""
    stream = Stream()
    stream.run(10 * PERIOD)
    lately = sum(at_ms >= 5 * PERIOD for at_ms in stream.sent_ms)
    assert lately > 0.98 * 5 * CALLS * PERIOD / (PERIOD + WAY + FINE_MS)
    assert stream.longest_gap_ms(5 * PERIOD) < PROMPT_MS
    in_burst = Stream()
    in_burst.run(10 * PERIOD, reserved=0)
    assert in_burst.longest_gap_ms(5 * PERIOD) > PERIOD - PROMPT_MS


def test_what_is_reserved_is_free_or_will_be_within_half_a_second() -> None:
    stream = Stream()
    for tenth in range(1, 100):
        stream.run(tenth * PERIOD // 10)
        assert stream.mirror.low(stream.now_ms + PROMPT_MS) >= RESERVED


def test_calls_that_leave_no_reserve_are_never_paced() -> None:
    stream = Stream()
    for _ in range(CALLS // 2):
        assert stream.mirror.payable_at(1, 0, 0) == 0
        stream.send()
    assert stream.mirror.payable_at(1, RESERVED, 0) > 0


@pytest.mark.parametrize(("period_ms", "spreads"), [(SPREAD_MAX_MS, True), (MINUTE, False)])
def test_a_long_window_is_spent_at_once(period_ms: int, spreads: bool) -> None:  # noqa: FBT001
    """Its calls would wait for minutes, so that all of the reserve is kept in it."""
    stream = Stream(period_ms)
    assert stream.mirror.is_spent_evenly is spreads
    stream.run(1)
    assert (stream.mirror.low(0) == RESERVED) is not spreads


def test_a_call_may_make_up_for_a_little_time_and_what_is_left_hastens_it() -> None:
    stream = Stream()
    stream.now_ms = PERIOD
    stream.run(PERIOD + 1)
    per_ms = CALLS * (1 + SPREAD_PARTS) / PERIOD
    assert len(stream.sent_ms) - 1 == pytest.approx(LEEWAY_MS * per_ms, rel=0.1)


def test_calls_that_are_priced_again_do_not_delay_the_next() -> None:
    stream = Stream()
    stream.run(PERIOD)
    stream.mirror.reprice(stream.sends)
    assert stream.mirror._paced_ms <= PERIOD


def test_a_window_of_a_second_is_counted_more_finely() -> None:
    mirror = SlidingWindowMirror(LimitMetric.REQUESTS, 5, 1_000, 0, SentCalls())
    for number in range(5):
        mirror.pay(1, number, 0)
    assert mirror.payable_at(1, 0, 0) == 1_000 + DELAY_MAX_MS + 1_000 // FINE_PARTS


def test_a_delay_that_was_short_once_is_not_long_in_comparison_any_more() -> None:
    sends = SentCalls()
    mirror = SlidingWindowMirror(LimitMetric.REQUESTS, CALLS, PERIOD, 0, sends)
    told = []
    for number, way_ms in enumerate((PERIOD // LONG_DELAY_PARTS + 1, PERIOD // LONG_DELAY_PARTS, DELAY_MAX_MS)):
        mirror.pay(1, sends.append(0, 0), 0)
        mirror.observe(CALLS - 1 - number, hearing(sends, number, 0, way_ms), sends)
        told.append(mirror.has_long_delay)
    assert told == [True, False, False]
