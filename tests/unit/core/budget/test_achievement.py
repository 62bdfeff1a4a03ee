"""What mirrors and measurements achieve, and when what was spent falls short of what a limit lets through."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, HOUR_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.budget.achievement import (
    COMPARED_MS,
    LAGS_PPM,
    LASTS_MS,
    MANY,
    NORMAL_PPM,
    NOTHING,
    OWN_PPM,
    REFUSAL_COSTS,
    SPENT_IN_MS,
    SPENT_PPM,
    Achieved,
    Bound,
)
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror
from headrace.broker.core.units import PPM

RATE = 60_000  # tokens a minute: one a millisecond


def bound(
    *, calls: bool = False, windows: bool = False, long: bool = False, level: int = 0, needs_ms: int = 400
) -> Bound:
    return Bound(RATE, calls, windows, long, level, needs_ms)


def held(waited_ms: int, *, share_ppm: int = PPM, held_ppm: int = PPM, foreign: int = 0) -> Achieved:
    """Requests waited for so long, and were held back a part of it; this share of the rate was spent."""
    spent = RATE * waited_ms // MINUTE_MS * share_ppm // PPM
    return Achieved(waited_ms, waited_ms * held_ppm // PPM, tokens=spent, started=spent, calls=spent, foreign=foreign)


def test_what_was_achieved_since_is_the_difference() -> None:
    after = Achieved(10, 9, 8, 7, 6, 5, 4, theirs=3, tests=2)
    before = Achieved(1, 1, 1, 1, 1, 1, 1, theirs=1, tests=1)
    assert after.since(before) == Achieved(9, 8, 7, 6, 5, 4, 3, theirs=2, tests=1)
    assert after.since(NOTHING) == after


def test_tokens_a_minute_are_of_the_time_in_which_requests_waited_a_third_of_a_minute_at_least() -> None:
    assert Achieved(waited_ms=2 * MINUTE_MS, tokens=800).per_minute == 400
    assert Achieved(waited_ms=1, tokens=800).per_minute == 800 * MINUTE_MS // COMPARED_MS
    assert NOTHING.per_minute == 0


def test_refusals_above_what_is_normal_lessen_the_worth() -> None:
    assert NOTHING.refused_ppm == NOTHING.utility == 0
    normal = Achieved(waited_ms=MINUTE_MS, tokens=10_000, calls=99, refused=1)
    assert (normal.refused_ppm, normal.utility) == (NORMAL_PPM, 10_000)
    refused = Achieved(waited_ms=MINUTE_MS, tokens=10_000, calls=79, refused=21)
    assert refused.utility == 10_000 - REFUSAL_COSTS * 2_000
    assert Achieved(waited_ms=MINUTE_MS, tokens=10_000, calls=9, refused=91).utility == 0
    assert Achieved(refused=5).refused_ppm == PPM


def test_a_bucket_bounds_its_rate_and_delays_a_request_as_long_as_it_takes_to_refill() -> None:
    found = Bound.of(Mirror(LimitMetric.TOKENS, RATE, MINUTE_MS, 0), 2_000, 0)
    assert found == Bound(RATE, False, False, False, RATE, 2_000)
    calls = Bound.of(Mirror(LimitMetric.REQUESTS, 600, MINUTE_MS, 0), 2_000, 0)
    assert calls == Bound(600, True, False, False, 600, 100)


def test_a_level_in_debt_holds_nothing() -> None:
    mirror = Mirror(LimitMetric.TOKENS, RATE, MINUTE_MS, 0)
    mirror.pay(2 * RATE, 0, 0)
    assert mirror.low(0) < 0
    assert Bound.of(mirror, 1, 0).level == 0


def test_a_window_may_delay_a_request_for_all_of_its_length() -> None:
    fixed = FixedWindowMirror(LimitMetric.TOKENS, RATE, MINUTE_MS, 30_000, RATE)
    sliding = SlidingWindowMirror(LimitMetric.TOKENS, RATE, MINUTE_MS, 0, SentCalls())
    for mirror in (fixed, sliding):
        found = Bound.of(mirror, 400, 0)
        assert (found.counts_windows, found.needs_ms) == (True, MINUTE_MS)


def test_a_request_that_must_leave_a_reserve_has_to_wait_for_that_too_at_most_until_the_bucket_is_full() -> None:
    mirror = Mirror(LimitMetric.TOKENS, RATE, MINUTE_MS, 0)
    for reserved_ppm, needs_ms in ((0, 2_000), (500_000, 32_000), (990_000, MINUTE_MS)):
        found = Bound.of(mirror, 2_000, 0, reserved_ppm)
        assert (found.needs_ms, found.reserved, found.spendable) == (needs_ms, 0, RATE)
    assert Bound.of(mirror, 2 * RATE, 0, 500_000).needs_ms == 2 * MINUTE_MS, "more than the bucket holds"
    assert Bound.of(Mirror(LimitMetric.REQUESTS, 600, MINUTE_MS, 0), 2_000, 0, 500_000).needs_ms == 30_100


@pytest.mark.parametrize("period_ms", [10_000, MINUTE_MS])
def test_a_window_lets_through_what_it_holds_beside_the_reserve(period_ms: int) -> None:
    size = RATE * period_ms // MINUTE_MS
    for mirror in (
        FixedWindowMirror(LimitMetric.TOKENS, size, period_ms, 5_000, size),
        SlidingWindowMirror(LimitMetric.TOKENS, size, period_ms, 0, SentCalls()),
    ):
        found = Bound.of(mirror, 400, 0, 300_000)
        assert (found.needs_ms, found.per_minute, found.spendable) == (period_ms, RATE, RATE * 7 // 10)


@pytest.mark.parametrize(("period_ms", "long"), [(HOUR_MS - 1, False), (HOUR_MS, True), (DAY_MS, True)])
def test_a_limit_of_an_hour_or_more_is_long(period_ms: int, long: bool) -> None:  # noqa: FBT001
    assert Bound.of(Mirror(LimitMetric.TOKENS, 10**6, period_ms, 0), 400, 0).long is long


def test_it_stalls_if_nothing_is_sent_for_longer_than_a_request_has_to_wait() -> None:
    assert not bound().stalls(Achieved(waited_ms=COMPARED_MS - 1), 0)
    assert bound().stalls(Achieved(waited_ms=COMPARED_MS), 0)
    assert not bound().stalls(Achieved(waited_ms=COMPARED_MS, tokens=1), 0)
    assert bound().stalls(Achieved(waited_ms=COMPARED_MS, tokens=-400), 0), "a call sent before it was refused in it"


def test_a_request_that_waits_for_its_bucket_to_refill_does_not_stall() -> None:
    assert not bound(needs_ms=50_000).stalls(Achieved(waited_ms=50_000 + SPENT_IN_MS - 1), 0)
    assert bound(needs_ms=50_000).stalls(Achieved(waited_ms=50_000 + SPENT_IN_MS), 0)
    assert bound(needs_ms=600_000).stalls(Achieved(waited_ms=MINUTE_MS), 600_000 + SPENT_IN_MS)


def test_far_less_than_the_rate_lags_within_a_minute_and_a_little_less_only_if_it_lasts() -> None:
    far, slow = OWN_PPM - 10_000, LAGS_PPM - 10_000
    assert not bound().lags(held(2 * COMPARED_MS - 1, share_ppm=far))
    assert bound().lags(held(2 * COMPARED_MS, share_ppm=far))
    assert not bound().lags(held(2 * COMPARED_MS, share_ppm=OWN_PPM))
    assert not bound().lags(held(LASTS_MS - 1, share_ppm=slow))
    assert bound().lags(held(LASTS_MS, share_ppm=slow))
    assert not bound().lags(held(LASTS_MS, share_ppm=LAGS_PPM + 1_000))


def test_what_the_limit_still_holds_is_not_lost() -> None:
    lately = held(MINUTE_MS, share_ppm=OWN_PPM // 2)
    assert bound().lags(lately)
    assert not bound(level=RATE // 2).lags(lately)


def test_what_calls_that_waited_for_nothing_have_spent_is_not_lost_either() -> None:
    """They may take what was saved for a large call that was cancelled; Hypothesis, seed 1025 of the lanes."""
    lately = held(MINUTE_MS, share_ppm=OWN_PPM // 2)
    assert not bound().lags(replace(lately, tokens_at_once=RATE // 2))
    assert bound().lags(replace(lately, started_at_once=RATE // 2))
    assert not bound(calls=True).lags(replace(lately, started_at_once=RATE // 2))
    assert bound(calls=True).lags(replace(lately, tokens_at_once=RATE // 2))
    assert lately.since(replace(NOTHING, tokens_at_once=3, started_at_once=1)).tokens_at_once == -3
    assert replace(lately, tokens_at_once=300).repriced(PPM // 3).tokens_at_once == 99


def test_what_others_may_have_spent_explains_a_small_lag_but_not_a_large_one() -> None:
    slow, far = LAGS_PPM - 10_000, OWN_PPM - 10_000
    taken = RATE * LASTS_MS // MINUTE_MS // 10
    assert not bound().lags(held(LASTS_MS, share_ppm=slow, foreign=taken))
    assert bound().lags(held(LASTS_MS, share_ppm=far, foreign=10 * taken))


def test_calls_are_not_explained_by_tokens_of_others() -> None:
    assert bound(calls=True).lags(held(LASTS_MS, share_ppm=LAGS_PPM - 10_000, foreign=RATE))


def test_limits_of_calls_that_bind_are_no_doubt_for_tokens() -> None:
    few_tokens = Achieved(MINUTE_MS, MINUTE_MS, tokens=100, started=RATE)
    assert not bound(calls=True).lags(few_tokens)
    assert bound().lags(few_tokens)


def test_a_large_request_does_not_lag_before_its_bucket_can_have_refilled() -> None:
    nothing = Achieved(50_000, 50_000)
    assert not bound(needs_ms=50_001).lags(nothing)
    assert bound(needs_ms=50_000).lags(nothing)


def test_a_limit_explains_others_by_what_it_has_spent_and_not_by_what_it_holds() -> None:
    assert bound().explains(held(MINUTE_MS, share_ppm=SPENT_PPM))
    assert not bound().explains(held(MINUTE_MS, share_ppm=SPENT_PPM - 1_000))
    assert not bound(level=RATE).explains(Achieved(MINUTE_MS, MINUTE_MS, started=12))
    assert bound(calls=True).explains(Achieved(MINUTE_MS, MINUTE_MS, started=RATE))


def test_the_same_calls_at_other_prices_have_spent_a_part_of_the_tokens() -> None:
    assert Achieved(60, 50, tokens=300, started=3, calls=2, refused=1).repriced(PPM // 3) == Achieved(
        60, 50, tokens=99, started=3, calls=2, refused=1
    )


def test_a_window_of_a_second_is_judged_as_soon_as_a_bucket() -> None:
    second = bound(windows=True, needs_ms=1_000)
    assert not second.lags(held(2 * COMPARED_MS - 1, share_ppm=OWN_PPM // 2))
    assert second.lags(held(2 * COMPARED_MS, share_ppm=OWN_PPM // 2))
    assert not second.lags(held(2 * COMPARED_MS, share_ppm=OWN_PPM))


def test_a_window_that_spends_at_its_beginning_is_judged_by_whole_minutes() -> None:
    windows = bound(windows=True, needs_ms=MINUTE_MS)
    one = Achieved(MINUTE_MS + SPENT_IN_MS - 1, MINUTE_MS, tokens=RATE)
    assert not windows.lags(Achieved(MINUTE_MS + SPENT_IN_MS - 1, MINUTE_MS)), "not a whole minute yet"
    assert windows.lags(Achieved(MINUTE_MS + SPENT_IN_MS, MINUTE_MS))
    assert not windows.lags(one)
    assert not windows.lags(Achieved(2 * MINUTE_MS + SPENT_IN_MS - 1, 2 * MINUTE_MS, tokens=RATE)), "two began in it"
    assert windows.lags(Achieved(2 * MINUTE_MS + SPENT_IN_MS, 2 * MINUTE_MS, tokens=RATE))


def test_what_windows_keep_as_a_reserve_is_neither_unused_nor_left_for_the_request_that_waits() -> None:
    windows = bound(windows=True, needs_ms=MINUTE_MS, level=RATE // 2)
    beside = replace(windows, reserved=RATE // 2)
    waited_ms = 2 * MINUTE_MS + SPENT_IN_MS
    half = Achieved(waited_ms, waited_ms, tokens=RATE)
    assert windows.lags(half), "in the window before it was lost"
    assert not beside.lags(half)
    little = replace(half, tokens=RATE * 8 // 10)
    assert beside.lags(little), "the level is all reserve"
    assert not replace(beside, level=RATE * 7 // 10).lags(little)
    assert not windows.explains(half)
    assert beside.explains(half)


def test_calls_that_follow_each_other_soon_and_were_hardly_held_back_are_all_that_is_asked_for() -> None:
    """Before: five calls a second at a third of the rate, and one refusal, began a trial of measurements."""
    light = OWN_PPM // 3
    for part_ppm in (0, PPM - LAGS_PPM):
        assert not bound().lags(held(LASTS_MS, share_ppm=light, held_ppm=part_ppm))
    assert not bound().lags(held(2 * COMPARED_MS, share_ppm=light, held_ppm=PPM - OWN_PPM))
    assert bound().lags(held(2 * COMPARED_MS, share_ppm=light, held_ppm=PPM - OWN_PPM + 1_000))
    assert bound().lags(held(LASTS_MS, share_ppm=light, held_ppm=PPM - LAGS_PPM + 1_000))


@pytest.mark.parametrize(
    ("waited_ms", "refused", "events", "much"),
    [
        (2 * COMPARED_MS, 4, 2, True),
        (2 * COMPARED_MS, 3, 3, False),
        (2 * COMPARED_MS, 4, 1, False),
        (2 * COMPARED_MS - 1, 4, 2, False),
        (2 * COMPARED_MS - 1, 14, 2, True),
        (COMPARED_MS - 1, 14, 2, False),
        (0, MANY, 2, False),
        (0, 3 * MANY, 2, True),
        (0, 3 * MANY, 1, False),
    ],
)
def test_much_is_refused_if_it_is_more_than_chance_in_more_than_one_wave(
    waited_ms: int, refused: int, events: int, *, much: bool
) -> None:
    achieved = Achieved(waited_ms, waited_ms, calls=200, refused=refused, events=events)
    assert achieved.is_refused_much is much
    assert not replace(achieved, theirs=refused).is_refused_much or refused >= MANY


def test_what_others_explain_does_not_make_few_refusals_many() -> None:
    achieved = Achieved(2 * COMPARED_MS, 2 * COMPARED_MS, calls=50, refused=4, events=4)
    assert achieved.is_refused_much
    assert not replace(achieved, theirs=1).is_refused_much


def test_calls_that_tested_a_wait_are_no_doubt_of_what_was_believed() -> None:
    """Any way of spending tests a long wait by single calls. Before, three of them began a trial (seed 92122)."""
    achieved = Achieved(2 * COMPARED_MS, 2 * COMPARED_MS, calls=50, refused=4, events=4)
    assert achieved.ours == 4
    assert not replace(achieved, tests=1).is_refused_much


@pytest.mark.parametrize(("refused", "still"), [(1, True), (0, False)])
def test_some_calls_must_be_refused_in_the_later_half_as_well(refused: int, *, still: bool) -> None:
    """Before: what the first seconds had refused, and taught, began a trial at 21 s (seed 92376)."""
    whole = Achieved(COMPARED_MS, COMPARED_MS, calls=100, refused=20, events=5)
    recent = Achieved(COMPARED_MS // 2, COMPARED_MS // 2, calls=50, refused=refused, events=refused)
    assert whole.is_refused_still(recent) is still
    assert not whole.is_refused_still(replace(recent, tests=refused))
    storm = replace(whole, refused=3 * MANY)
    assert storm.is_refused_still(recent), "so many need no second look"


def test_one_call_of_each_window_may_belong_to_the_next_one() -> None:
    """Before: 84 calls a minute of a window of three a second were a large lag (seed 92037)."""
    second = Bound(180, True, True, False, 0, 1_000)
    calls = Achieved(MINUTE_MS, MINUTE_MS, tokens=84 * 400, started=84)
    assert not second.lags(calls)
    assert replace(second, counts_windows=False).lags(calls)
    assert second.lags(replace(calls, started=60))
    tokens = replace(second, per_minute=180 * 400, of_calls=False)
    assert not tokens.lags(calls)
    assert tokens.lags(replace(calls, started=0)), "no mean call is known"
    assert tokens.lags(replace(calls, tokens=17_000, started=1)), "half of the window at most"


def test_a_limit_is_kept_up_with_if_nearly_all_of_it_is_sent_whatever_it_holds() -> None:
    assert bound().keeps_up(held(MINUTE_MS, share_ppm=LAGS_PPM + 1_000))
    assert not bound(level=RATE).keeps_up(held(MINUTE_MS, share_ppm=LAGS_PPM - 1_000))
    assert bound().keeps_up(held(MINUTE_MS, share_ppm=LAGS_PPM - 1_000, foreign=RATE // 10))
    assert not bound(windows=True, needs_ms=MINUTE_MS).keeps_up(held(MINUTE_MS)), "no window is whole"
