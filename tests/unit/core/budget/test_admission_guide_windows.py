"""How windows are begun, spent and judged, at the guide of one limit."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import HOUR_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.budget.burst_ramp import OPENING_CALLS, TAPERED_MS
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.rate_control import SILENCE_MS
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror
from tests.unit.core.budget.test_admission_guide import RATE, REFUSED, Rig
from tests.unit.core.budgets import UNKNOWN


def windowed(period_ms: int, left: int = 1_000) -> Rig:
    """A window that holds so many tokens more, and a refusal a while ago."""
    rig = Rig(UNKNOWN, tokens=None)
    rig.call(REFUSED)
    rig.now_ms += 1_000
    rig.buckets._mirrors.add(FixedWindowMirror(LimitMetric.TOKENS, RATE, period_ms, rig.now_ms + 5_000, left))
    rig.buckets.believe(LimitMetric.REQUESTS, 10**6, MINUTE_MS, rig.now_ms)
    return flowing(rig)


def flowing(rig: Rig) -> Rig:
    """A hundred calls have been admitted just now, so that the ramp alone would allow two hundred more."""
    calls = [rig.send(0) for _ in range(100)]
    rig.now_ms += SILENCE_MS
    for call in calls:
        rig.end(call)
    return rig


@pytest.mark.parametrize(("period_ms", "unanswered"), [(TAPERED_MS, 5), (TAPERED_MS - 1, 100)])
def test_towards_the_end_of_a_window_less_may_be_refused_together(period_ms: int, unanswered: int) -> None:
    """Before: a window that held less than was believed cost as many refusals as a second's calls."""
    assert sent_at_once(windowed(period_ms), 100) == unanswered


def sent_at_once(rig: Rig, paid: int) -> int:
    count = 0
    while rig.ask(paid=paid) == 0 and count < 100:
        rig.send(paid)
        count += 1
    return count


def test_towards_the_end_of_a_window_of_calls_fewer_may_be_refused_together() -> None:
    rig = windowed(TAPERED_MS)
    rig.buckets._mirrors.add(FixedWindowMirror(LimitMetric.REQUESTS, 1_000, TAPERED_MS, rig.now_ms + 5_000, 12))
    assert sent_at_once(rig, 0) == 6


def test_a_window_is_spent_evenly_but_eight_times_as_fast_as_it_must_be() -> None:
    spent = 100 * sent_at_once(windowed(TAPERED_MS, RATE), 100)
    assert spent == pytest.approx(8 * RATE * SILENCE_MS // TAPERED_MS, abs=100)


@pytest.mark.parametrize(("period_ms", "paid"), [(TAPERED_MS, 100), (MINUTE_MS, 20)])
def test_after_a_refusal_a_bucket_is_spent_no_faster_than_a_window(period_ms: int, paid: int) -> None:
    """Before: one that was another limit's, or old, cost a wave of 190 refusals: all that it seemed to hold at once."""
    rig = Rig(UNKNOWN, tokens=None)
    rig.call(REFUSED)
    rig.now_ms += 1_000
    rig.buckets.believe(LimitMetric.TOKENS, RATE, period_ms, rig.now_ms)
    spent = paid * sent_at_once(flowing(rig), paid)
    assert spent == pytest.approx(8 * RATE * SILENCE_MS // period_ms, abs=paid)


def test_a_window_of_an_hour_is_spent_as_fast_as_one_of_a_minute() -> None:
    """Before: 1.2 s of an hour's rate were one call of twenty that a minute let through."""
    assert 100 * sent_at_once(windowed(MINUTE_MS, RATE), 100) == pytest.approx(
        8 * RATE * SILENCE_MS // MINUTE_MS, abs=100
    )
    assert sent_at_once(windowed(HOUR_MS, RATE), 100) == sent_at_once(windowed(MINUTE_MS, RATE), 100)


def test_towards_the_end_of_a_window_a_large_call_need_not_wait_until_no_small_one_is_unanswered() -> None:
    """Before: each size was compared with what was left in calls of its own, so small ones starved large ones."""
    rig = windowed(TAPERED_MS)
    for _ in range(5):
        rig.send(10)
    assert rig.ask(paid=900) == 0
    rig.send(10)
    assert rig.ask(paid=900) == SILENCE_MS
    assert rig.ask(paid=10) == 0
    rig.now_ms += 50
    assert rig.ask(paid=900) == SILENCE_MS - 50, "then the server has been silent about the first of them"


@pytest.mark.parametrize(
    ("period_ms", "bursts"), [(TAPERED_MS, [OPENING_CALLS, 2 * OPENING_CALLS, 6 * OPENING_CALLS]), (6_000, [100, 0, 0])]
)
def test_a_window_is_begun_in_small_steps_though_none_was_refused(period_ms: int, bursts: list[int]) -> None:
    """Before: a window that was spent already, or a law that had changed, cost a wave of a hundred refusals."""
    rig, sent = Rig(), list[int]()
    rig.buckets._mirrors.add(FixedWindowMirror(LimitMetric.TOKENS, RATE, period_ms, rig.now_ms + 5_000, RATE))
    for _ in bursts:
        count = 0
        while rig.ask(paid=10) == 0 and sum(sent) + count < 100:
            rig.send(0)
            count += 1
        sent.append(count)
        rig.now_ms += SILENCE_MS
    assert sent == bursts


def test_a_window_is_judged_by_what_it_lets_through_once_its_delay_has_come_down() -> None:
    """Before: while a delay of a second was unlearned, half of a window of a second stayed unused, and was doubted."""
    for learns in (False, True):
        rig, sends = Rig(), SentCalls()
        rig.buckets._mirrors.keep(lambda _: False)
        mirror = SlidingWindowMirror(LimitMetric.TOKENS, RATE // 60, 1_000, 0, sends)
        rig.buckets._mirrors.add(mirror)
        rig.call()
        assert not rig.guide.compare(400, rig.now_ms), "what delays are long is known from now on"
        rig.spend(2 * MINUTE_MS, paid=10)
        mirror.has_long_delay = not learns
        mirror.pay(RATE, 0, rig.now_ms)
        rig.ask(1_000)
        assert rig.guide.compare(400, rig.now_ms) is not learns


def test_an_evenly_spent_window_is_near_its_end_all_the_time_and_no_call_waits_for_answers() -> None:
    """Before: in a window of ten seconds, what three tenths of a second let through stayed unused for ever."""
    rig = Rig()
    for period_ms, waits in ((TAPERED_MS, False), (MINUTE_MS, True)):
        mirror = SlidingWindowMirror(LimitMetric.TOKENS, RATE, period_ms, 0, SentCalls())
        mirror.pay(RATE - 1_000, 0, 0)
        rig.buckets._mirrors.add(mirror)
        for _ in range(4):
            rig.ask(paid=100)
            rig.send(100)
        assert (rig.ask(paid=700) > 0) is waits


@pytest.mark.parametrize("metric", [LimitMetric.REQUESTS, LimitMetric.TOKENS])
@pytest.mark.parametrize("is_contested", [False, True])
def test_beside_a_second_that_others_spend_in_a_minute_of_requests_makes_no_burst_begin_small(
    metric: LimitMetric, *, is_contested: bool
) -> None:
    """Before: eight calls went at the mark, and the others 150 ms later found a burst of others' (seed 91054)."""
    rig = Rig(tokens=None)
    size = 1_000 if metric is LimitMetric.REQUESTS else 400_000
    rig.buckets._mirrors.add(FixedWindowMirror(metric, size, MINUTE_MS, MINUTE_MS, size))
    second = FixedWindowMirror(LimitMetric.TOKENS, RATE // 60, 1_000, 1_000, RATE // 60)
    second.contested_until_ms = MINUTE_MS if is_contested else 0
    rig.buckets._mirrors.add(second)
    sent = 0
    while sent < 2 * OPENING_CALLS and not rig.ask():
        rig.send()
        sent += 1
    assert sent == (2 * OPENING_CALLS if is_contested and metric is LimitMetric.REQUESTS else OPENING_CALLS)
