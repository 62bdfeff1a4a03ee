from collections.abc import Callable
from itertools import pairwise

import pytest

from headrace.broker.core.answers.rate_limit_headers import HOUR_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.burst_ramp import (
    ACTIVE_MS,
    COUNTED_MS,
    FLOW_MS,
    OPENING_CALLS,
    OPENING_MS,
    SPENT_IN_PARTS,
    TAPERED_MS,
    UNANSWERED_PARTS,
    BurstRamp,
    is_long,
    may_join,
)
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.mirror_list import AnyMirror
from headrace.broker.core.budget.rate_control import SILENCE_MS
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror
from headrace.broker.core.budget.two_counters import TwoCounterMirror


def refused(now_ms: int = 0) -> BurstRamp:
    ramp = BurstRamp()
    ramp.record_refusal(now_ms)
    return ramp


def sends(ramp: BurstRamp, now_ms: int, at_most: int = 10_000) -> int:
    """Send what may be sent at an instant, and return how many calls that were."""
    count = 0
    while count < at_most and ramp.may_send_at(now_ms) == now_ms:
        ramp.record_send(7, now_ms)
        count += 1
    return count


def play(ramp: BurstRamp, until_ms: int, refuses: Callable[[int], bool], took_ms: int = 20) -> list[int]:
    """Send whenever it may be, until an instant; return when."""
    sent: list[int] = []
    refusals: list[int] = []
    now_ms = 0
    while now_ms < until_ms:
        while refusals and refusals[0] <= now_ms:
            ramp.record_refusal(refusals.pop(0))
        at_ms = ramp.may_send_at(now_ms)
        if at_ms <= now_ms:
            ramp.record_send(7, now_ms)
            sent.append(now_ms)
            if refuses(now_ms):
                refusals.append(now_ms + took_ms)
        now_ms = max(now_ms, min([at_ms, *refusals]))
    return sent


def test_before_a_known_server_bursts_are_large_until_it_refuses_a_call() -> None:
    ramp = BurstRamp()
    assert not ramp.active(0)
    assert sends(ramp, 0, 1_000) == 1_000
    ramp.record_refusal(20)
    assert ramp.active(20)
    assert sends(ramp, 20) == 1


def test_before_an_unknown_server_bursts_begin_small_for_some_seconds() -> None:
    ramp = BurstRamp(opened_ms=500)
    assert sends(ramp, 500, 100) == OPENING_CALLS
    ramp.record_admission(500, 600)
    assert ramp.active(600 + OPENING_MS - 1)
    assert sends(ramp, 600 + OPENING_MS, 100) == 100


def test_they_do_so_however_long_the_first_call_takes() -> None:
    """Before: a first answer after twelve seconds, which stated far too much, was followed by 5,900 calls at once."""
    ramp = BurstRamp(opened_ms=0)
    ramp.record_send(7, 0)
    ramp.record_admission(0, 3 * OPENING_MS)
    assert sends(ramp, 3 * OPENING_MS, 100) == OPENING_CALLS
    ramp.record_admission(0, 4 * OPENING_MS)  # the opening is not longer for that
    assert sends(ramp, 4 * OPENING_MS, 100) == 100


def test_a_refusal_does_not_shorten_the_opening() -> None:
    ramp = BurstRamp(opened_ms=ACTIVE_MS)
    ramp.record_refusal(0)
    assert ramp.active(ACTIVE_MS + OPENING_MS - 1)


def test_each_step_doubles_what_two_steps_before_it_have_sent() -> None:
    ramp = refused()
    waves = [sends(ramp, step * SILENCE_MS) for step in range(6)]
    assert waves == [1, 2, 6, 16, 44, 120]


def test_a_wave_is_no_larger_than_the_flow_before_it_allows() -> None:
    """Before: a flow of forty calls a second allowed a wave of eighty, when a level was believed that was none."""
    ramp = refused()
    for now_ms in range(0, 10_000, 25):
        ramp.record_send(7, now_ms)
    assert 0 < sends(ramp, 10_000) <= 2 * (COUNTED_MS - SILENCE_MS) // 25


def test_of_few_calls_as_many_may_follow_as_in_the_last_second() -> None:
    """A flow of three calls a second has none in most rounds, and must not wait for each of them."""
    ramp = refused()
    for now_ms in (0, 300, 600):
        ramp.record_send(7, now_ms)
    assert sends(ramp, 900) == 6
    for now_ms in range(1_000, 2_000, 200):
        ramp.record_send(7, now_ms)
    assert sends(ramp, 2_000) == OPENING_CALLS


def test_a_wave_waits_for_the_silence_about_the_one_before() -> None:
    ramp = refused()
    ramp.record_send(7, 0)
    assert ramp.may_send_at(0) == ramp.may_send_at(SILENCE_MS - 1) == SILENCE_MS
    sends(ramp, SILENCE_MS)
    assert ramp.may_send_at(SILENCE_MS + 1) == 2 * SILENCE_MS


def test_an_admission_says_sooner_than_silence_that_the_calls_before_were_admitted_too() -> None:
    ramp = refused()
    ramp.record_send(7, 0)
    ramp.record_admission(0, 0)
    assert sends(ramp, 30) == 2
    ramp.record_admission(30, 30)
    ramp.record_admission(0, 0)  # comes late
    assert sends(ramp, 60) == 6


def test_what_was_admitted_longer_ago_than_a_second_allows_no_burst() -> None:
    ramp = refused()
    for step in range(5):
        sends(ramp, step * SILENCE_MS)
    assert sends(ramp, 4 * SILENCE_MS + FLOW_MS) == 1


def test_a_steady_flow_is_not_held_back() -> None:
    ramp = refused()
    for step in range(6):
        sends(ramp, step * SILENCE_MS)
    for now_ms in range(6 * SILENCE_MS, 10_000, 10):
        assert ramp.may_send_at(now_ms) == now_ms
        ramp.record_send(7, now_ms)


def test_a_server_that_refuses_all_gets_one_call_in_the_time_of_silence_however_soon_it_refuses() -> None:
    for took_ms in (1, 20, 149):
        sent = play(refused(), 60_000, lambda _: True, took_ms)
        assert len(sent) <= 60_000 // SILENCE_MS
        assert all(later - sooner >= SILENCE_MS for sooner, later in pairwise(sent))


def test_each_refusal_of_a_wave_allows_no_further_call() -> None:
    ramp = BurstRamp()
    for _ in range(100):
        ramp.record_send(7, 0)
    sent = 0
    for now_ms in range(20, 20 + SILENCE_MS):
        ramp.record_refusal(now_ms)
        sent += sends(ramp, now_ms)
    assert sent == 1


def test_a_wave_that_is_refused_is_followed_by_one_call() -> None:
    ramp = refused()
    for step in range(4):
        sends(ramp, step * SILENCE_MS)
    ramp.record_refusal(3 * SILENCE_MS + 20)
    assert ramp.may_send_at(3 * SILENCE_MS + 20) == 4 * SILENCE_MS
    assert sends(ramp, 4 * SILENCE_MS) == 1


def test_a_server_that_refuses_no_more_gets_a_burst_within_a_second() -> None:
    sent = play(refused(), 2_000, lambda now_ms: now_ms < 1_000)
    assert sum(1 for at_ms in sent if 1_000 <= at_ms < 2_000) > 100


def test_only_the_calls_of_the_last_second_are_remembered_though_none_is_asked_about() -> None:
    ramp = refused()
    for now_ms in range(0, 60_000, 10):
        ramp.record_send(7, now_ms)
    assert ramp._sent is not None
    assert ramp._lately is not None
    assert (len(ramp._sent), len(ramp._lately)) == (FLOW_MS // 10, COUNTED_MS // 10)
    assert BurstRamp().may_send_at(7) == 7


def test_calls_are_unanswered_until_a_later_one_is_admitted_or_the_server_has_been_silent_about_them() -> None:
    ramp = refused()
    assert ramp.unanswered(5).calls == ramp.unanswered(5).tokens == 0
    for at_ms in (10, 20, 30):
        ramp.record_send(at_ms, at_ms)
    assert ramp.unanswered(40) == (3, 60, 10 + SILENCE_MS)
    ramp.record_admission(20, 20)
    assert ramp.unanswered(50) == (1, 30, 30 + SILENCE_MS)
    assert ramp.unanswered(29 + SILENCE_MS).calls == 1
    assert ramp.unanswered(30 + SILENCE_MS) == (0, 0, 30 + 2 * SILENCE_MS)


def test_where_windows_are_spent_bursts_begin_small_for_good_and_with_one_only_after_a_refusal() -> None:
    ramp = BurstRamp()
    ramp.always = True
    assert sends(ramp, 0, 100) == OPENING_CALLS
    ramp.record_refusal(20)
    assert sends(ramp, 20 + SILENCE_MS, 100) == 1
    later = 20 + ACTIVE_MS
    assert ramp.active(later)
    assert sends(ramp, later, 100) == OPENING_CALLS
    ramp.always = False
    assert not ramp.active(later)


TOKENS, LIMIT = LimitMetric.TOKENS, 60_000


def bucket(period_ms: int) -> AnyMirror:
    return Mirror(TOKENS, LIMIT, period_ms, 0)


def window(period_ms: int) -> AnyMirror:
    return FixedWindowMirror(TOKENS, LIMIT, period_ms, period_ms, LIMIT)


def sliding(period_ms: int) -> AnyMirror:
    return SlidingWindowMirror(TOKENS, LIMIT, period_ms, 0, SentCalls())


def two(period_ms: int) -> AnyMirror:
    return TwoCounterMirror(TOKENS, LIMIT, period_ms, 0, SentCalls(), mark_ms=0)


@pytest.mark.parametrize(
    ("mirror", "slows"),
    [
        (bucket(TAPERED_MS), True),
        (bucket(TAPERED_MS - 1), False),
        (window(TAPERED_MS), True),
        (sliding(TAPERED_MS), False),
        (sliding(TAPERED_MS + 1), True),
        (two(MINUTE_MS), False),
    ],
)
def test_a_limit_slows_bursts_unless_it_is_short_or_its_charges_cease_to_count_evenly(
    mirror: AnyMirror,
    slows: bool,  # noqa: FBT001
) -> None:
    assert is_long(mirror) is slows


def test_unanswered_calls_take_no_more_than_half_of_what_a_window_has_left_after_the_call() -> None:
    """A bucket has no end at which they would be refused together."""
    half, amount = (LIMIT - 10_000) // UNANSWERED_PARTS, 10_000
    assert may_join(window(MINUTE_MS), amount, half, 1, 0)
    assert not may_join(window(MINUTE_MS), amount, half + 1, 1, 0)
    assert may_join(bucket(MINUTE_MS), amount, half + 1, 1, 0)


@pytest.mark.parametrize("make", [bucket, window])
@pytest.mark.parametrize("period_ms", [TAPERED_MS, MINUTE_MS, HOUR_MS])
def test_beyond_eight_unanswered_calls_take_what_returns_meanwhile_at_eight_times_the_rate(
    make: Callable[[int], AnyMirror], period_ms: int
) -> None:
    most = LIMIT * SILENCE_MS * SPENT_IN_PARTS // min(period_ms, MINUTE_MS)
    assert may_join(make(period_ms), 10_000, most, OPENING_CALLS, 0), "a large call is not counted itself"
    assert not may_join(make(period_ms), 1, most + 1, OPENING_CALLS, 0)
    assert may_join(make(period_ms), 1, most + 1, OPENING_CALLS - 1, 0)


def test_others_charges_in_a_window_that_is_known_explain_the_refusals_before_as_well() -> None:
    """Before: eight calls at the mark of a second, the next 150 ms later, when others' burst had come between."""
    ramp = refused()
    assert sends(ramp, 1_000) == 1
    ramp.record_refusal(1_020, known=True)
    assert not ramp.active(1_020)
    assert sends(ramp, 2_000, at_most=100) == 100
    ramp.record_refusal(2_020)
    assert ramp.active(2_020 + ACTIVE_MS - 1)
    unheard = BurstRamp(0)
    unheard.record_refusal(20, known=True)
    assert unheard.active(OPENING_MS), "no call has been admitted yet"
    unheard.record_admission(20, 420)
    unheard.record_refusal(440, known=True)
    assert unheard.active(420 + OPENING_MS - 1), "what begins at a new server goes on"


def test_a_burst_that_a_short_window_bounds_begins_small_only_after_a_refusal_or_at_an_unknown_server() -> None:
    ramp = BurstRamp()
    ramp.always = True
    assert sends(ramp, 0) == OPENING_CALLS
    assert ramp.may_send_at(0) > 0
    assert ramp.may_send_at(0, bounded=True) == 0
    ramp.record_refusal(20)
    resumes_ms = ramp.may_send_at(20, bounded=True)
    assert resumes_ms > 20
    assert sends(ramp, resumes_ms) == 1
    assert ramp.may_send_at(resumes_ms, bounded=True) > resumes_ms
    unheard = BurstRamp(0)
    sends(unheard, OPENING_MS)
    assert unheard.may_send_at(OPENING_MS, bounded=True) > OPENING_MS


def test_a_call_joins_those_without_an_answer_if_each_long_limit_lets_it() -> None:
    ramp, half = BurstRamp(0), LIMIT // UNANSWERED_PARTS
    short, calls = bucket(TAPERED_MS - 1), FixedWindowMirror(LimitMetric.REQUESTS, 3, MINUTE_MS, MINUTE_MS, 3)
    assert ramp.joins_at(2 * LIMIT, [window(MINUTE_MS)], (), 0) == 0, "none is without an answer"
    ramp.record_send(half, 0)
    assert ramp.joins_at(1, [window(MINUTE_MS)], (), 1) == SILENCE_MS
    assert ramp.joins_at(1, [bucket(MINUTE_MS), short, calls], (), 1) == 1
    ramp.record_send(1, 1)
    assert ramp.joins_at(1, [calls], (), 1) == SILENCE_MS, "two of its three calls"
    assert ramp.joins_at(1, [], [(window(MINUTE_MS), 1, half // 2 - 1)], 1) == 1, "two mean ones are without an answer"
    assert ramp.joins_at(1, [], [(window(MINUTE_MS), 1, half // 2)], 1) == SILENCE_MS
