import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric, Reading
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.mirror_list import AnyMirror
from headrace.broker.core.budget.sent_calls import SENDS_MAX, SentCalls
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror
from headrace.broker.core.budget.stated_age import AGE_MAX_MS, FIGURES_MAX, SPENT_PARTS, StatedAge
from headrace.broker.core.budget.two_counters import TwoCounterMirror
from tests.unit.core.mirroring import WAY_MS

CAPACITY = 60_000  # of a minute: one token a millisecond
FAR = CAPACITY // SPENT_PARTS
WINDOW = FixedWindowMirror(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, MINUTE_MS, CAPACITY)


class Teller:
    """Calls of one limit, and what their answers state."""

    def __init__(self, mirror: AnyMirror = WINDOW) -> None:
        self.sends, self.mirror = SentCalls(), mirror
        self.age = StatedAge(self.sends)

    def send(self, now_ms: int, tokens: int = 100) -> int:
        return self.sends.append(now_ms, tokens)

    def tell(self, number: int, remaining: int = 30_000, full_in_ms: int | None = 40_000) -> int:
        reading = Reading(LimitMetric.TOKENS, CAPACITY, remaining, None, full_in_ms)
        index = self.sends.index_of(number)
        sent_ms = 0 if index is None else self.sends.sent_ms[index]
        order = self.sends.admission_order(number, sent_ms, sent_ms + 2_000, WAY_MS)
        self.age.observe(reading, order, self.mirror)
        return self.age.ms

    def pair(self, spent: int, apart_ms: int = 3_000, **told: int) -> int:
        """Two calls that are told the same, and one between them that took so much."""
        first = self.send(0)
        self.send(1, spent)
        last = self.send(apart_ms)
        self.tell(first, **told)
        return self.tell(last, **told)


def test_the_same_level_after_much_was_spent_is_as_old_as_the_time_between_the_calls() -> None:
    assert Teller().pair(FAR + 1) == 3_000


def test_a_little_may_be_rounding_or_an_error_of_the_law() -> None:
    assert Teller().pair(FAR) == 0


def test_what_flows_in_meanwhile_may_make_up_for_what_was_spent() -> None:
    bucket = Mirror(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    assert Teller(bucket).pair(FAR + 3_000) == 0
    assert Teller(bucket).pair(FAR + 3_001) == 3_000


def test_what_expires_meanwhile_may_make_up_for_what_was_spent() -> None:
    """Before: a sliding window that was spent evenly, and stated alike, seemed to state levels of ten seconds ago."""
    for expires_ms, age_ms in ((0, 3_000), (1, 0), (3_000, 0), (3_001, 3_000)):
        teller = Teller()
        teller.mirror = SlidingWindowMirror(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0, teller.sends)
        teller.send(expires_ms, FAR)
        first = teller.send(MINUTE_MS)
        teller.send(MINUTE_MS + 1, 2 * FAR)
        last = teller.send(MINUTE_MS + 3_000)
        teller.tell(first)
        assert teller.tell(last) == age_ms


@pytest.mark.parametrize(("held", "age_ms"), [(0, 3_000), (19 * FAR, 3_000), (20 * FAR, 0)])
def test_what_two_counters_hold_returns_bit_by_bit(held: int, age_ms: int) -> None:
    """Before: two counters of a second that were spent evenly, and stated alike, seemed to state old levels."""
    teller = Teller()
    teller.mirror = TwoCounterMirror(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0, teller.sends, mark_ms=0)
    teller.send(1, held)
    first = teller.send(2 * MINUTE_MS)
    teller.send(2 * MINUTE_MS + 1, 2 * FAR)
    last = teller.send(2 * MINUTE_MS + 3_000)
    teller.tell(first)
    assert teller.tell(last) == age_ms


def test_a_coarse_step_explains_more() -> None:
    coarse = FixedWindowMirror(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, MINUTE_MS, CAPACITY)
    coarse.step = CAPACITY // 4
    assert Teller(coarse).pair(CAPACITY // 4) == 0
    assert Teller(coarse).pair(CAPACITY // 4 + 1) == 3_000


@pytest.mark.parametrize("remaining", [0, CAPACITY])
def test_an_empty_or_a_full_bucket_is_stated_to_many_calls(remaining: int) -> None:
    assert Teller().pair(FAR + 1, remaining=remaining) == 0


def test_a_level_without_a_time_of_refill_says_nothing() -> None:
    teller = Teller()
    first, _, last = teller.send(0), teller.send(1, FAR + 1), teller.send(3_000)
    assert teller.tell(first, full_in_ms=None) == teller.tell(last, full_in_ms=None) == 0


def test_another_level_or_time_of_refill_is_another_figure() -> None:
    teller = Teller()
    first, _, last = teller.send(0), teller.send(1, FAR + 1), teller.send(3_000)
    assert teller.tell(first) == teller.tell(last, full_in_ms=37_000) == teller.tell(last, remaining=30_001) == 0


def test_answers_may_come_in_any_order_and_the_greatest_age_counts() -> None:
    teller = Teller()
    numbers = [teller.send(1_000 * second, FAR + 1) for second in range(5)]
    assert [teller.tell(numbers[call]) for call in (2, 4, 1, 0, 3)] == [0, 2_000, 3_000, 4_000, 4_000]


def test_calls_that_took_nothing_say_nothing() -> None:
    teller = Teller()
    first, refused, last = teller.send(0), teller.send(1, FAR + 1), teller.send(3_000)
    teller.sends.strike(refused)
    assert teller.tell(first) == teller.tell(last) == 0


def test_a_figure_that_never_changes_is_not_older_from_call_to_call() -> None:
    teller = Teller()
    assert teller.pair(FAR + 1, apart_ms=AGE_MAX_MS + 5_000) == AGE_MAX_MS
    assert teller.tell(teller.send(60_000)) == AGE_MAX_MS


def test_figures_of_long_ago_are_forgotten() -> None:
    teller = Teller()
    first, _, last = teller.send(0), teller.send(1, FAR + 1), teller.send(3_000)
    teller.tell(first)
    for other in range(FIGURES_MAX):
        teller.tell(first, remaining=1_000 + other)
    assert teller.tell(last) == 0


def test_calls_of_long_ago_are_forgotten() -> None:
    teller = Teller()
    first = teller.send(0)
    teller.tell(first)
    for _ in range(2 * SENDS_MAX):
        last = teller.send(3_000, FAR)
    assert teller.tell(last) == 0


def test_a_younger_figure_changes_nothing() -> None:
    teller = Teller()
    assert teller.pair(FAR + 1) == 3_000
    first, _, last = teller.send(10_000), teller.send(10_001, FAR + 1), teller.send(12_000)
    teller.tell(first, remaining=20_000)
    assert teller.tell(last, remaining=20_000) == 3_000


def test_a_figure_that_comes_again_after_another_one_is_not_old() -> None:
    """Before: windows of ten seconds, in rounded figures, passed for levels of ten seconds ago."""
    teller = Teller()
    first, between, last = teller.send(0), teller.send(1_000, FAR + 1), teller.send(3_000)
    assert [teller.tell(first), teller.tell(between, remaining=20_000), teller.tell(last)] == [0, 0, 0]
    later = teller.send(5_000, FAR + 1), teller.send(6_000)
    assert teller.tell(later[1]) == 3_000, "the last of it and this one may be one look-up"


def test_an_answer_that_comes_late_may_show_that_a_figure_came_again() -> None:
    teller = Teller()
    first, between, last = teller.send(0), teller.send(1_000, FAR + 1), teller.send(3_000)
    assert [teller.tell(first), teller.tell(last)] == [0, 3_000]
    assert teller.tell(between, remaining=20_000) == 0
    assert teller.tell(between, remaining=20_000) == 0


def test_another_figure_that_comes_again_says_nothing_of_this_one() -> None:
    teller = Teller()
    numbers = [teller.send(1_000 * second, FAR + 1) for second in range(6)]
    assert [teller.tell(numbers[call]) for call in (0, 2)] == [0, 2_000]
    assert [teller.tell(numbers[call], remaining=20_000) for call in (3, 5)] == [2_000, 2_000]
    assert teller.tell(numbers[4], remaining=10_000) == 2_000
