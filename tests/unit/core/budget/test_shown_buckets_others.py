"""What the buckets of headers tell of others' spending."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, REQUESTS, SECOND_MS, TOKENS
from headrace.broker.core.budget.admission_delay import REFUSALS_MIN
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.others_evidence import AGREED_MIN
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror
from headrace.broker.core.budget.two_counters import TwoCounterMirror
from tests.unit.core.shown import CAPACITY, MARK, SENT_MS, Limit, counted, slid


def test_others_must_have_spent_what_is_missing_from_a_window() -> None:
    for limit, ends_ms in ((counted(), MARK), (slid(), None)):
        for call in range(5, 15):
            order = limit.send(1_000, 400 * call)
            limit.show(order, 1_000 * call, CAPACITY if ends_ms is None else ends_ms - 400 * call)
        assert not limit.buckets.others.by_others
        order = limit.send(1_000, 6_000)
        limit.show(order, 40_000, CAPACITY if ends_ms is None else ends_ms - 6_000)
        assert limit.buckets.others.by_others
        assert limit.buckets.others.spend(TOKENS, order.now_ms)
        assert not limit.buckets.others.spend(REQUESTS, order.now_ms)


def test_what_is_missing_from_a_bucket_may_be_a_delays() -> None:
    limit = Limit()
    for call, sent_ms in enumerate((*SENT_MS, 1_600, 2_000, 2_400), start=1):
        used = 1_000 * call - sent_ms
        limit.show(limit.send(1_000, sent_ms), used, used)
    order = limit.send(1_000, 2_800)
    assert limit.show(order, 20_000, 20_000) != 0
    assert not limit.buckets.others.by_others
    assert not limit.buckets.others.spend(TOKENS, order.now_ms)


def test_in_a_window_of_a_second_nothing_proves_that_others_have_spent_while_delays_may_be_long() -> None:
    """Most of what arrives in it is never told in time."""
    limit = Limit()
    for call in range(60):
        limit.show(limit.send(1_000, 100 * call), 1_000 * min(call + 1, 10), SECOND_MS)
    order = limit.send(1_000, 6_000)
    assert limit.show(order, 40_000, SECOND_MS) != 0
    mirror = limit.only()
    assert isinstance(mirror, SlidingWindowMirror)
    assert mirror.by_others
    assert not limit.buckets.others.by_others


def test_once_refusals_show_that_delays_are_short_answers_of_a_second_prove_that_others_have_spent() -> None:
    """Before: no shortfall of a second was too large for a delay, and each burst of others was a doubt."""
    limit = Limit()
    for _ in range(REFUSALS_MIN):
        limit.sends.record_refusal(40)
    for call in range(60):
        limit.show(limit.send(1_000, 100 * call), 1_000 * min(call + 1, 10), SECOND_MS)
    order = limit.send(1_000, 6_000)
    assert limit.show(order, 40_000, SECOND_MS) != 0
    assert limit.buckets.others.by_others
    assert limit.buckets.others.explain(TOKENS, order.now_ms)


def test_the_levels_of_an_estimate_of_a_sliding_second_prove_it_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    limit, errors = Limit(), [*(0,) * AGREED_MIN, -500]
    for _ in range(REFUSALS_MIN):
        limit.sends.record_refusal(40)
    order = limit.send(1_000, 0)
    limit.show(order, 1_000, SECOND_MS)
    header = next(iter(limit.buckets._shown._headers.values()))
    estimate = header.mirror = TwoCounterMirror(TOKENS, CAPACITY, SECOND_MS, 0, limit.sends, mark_ms=0)
    monkeypatch.setattr(TwoCounterMirror, "observe", lambda *_: errors.pop(0))
    estimate.by_others = True
    for _ in range(AGREED_MIN):
        limit.buckets._shown.correct(estimate, CAPACITY, 1_000, order)
        assert not limit.buckets.others.by_others
    limit.buckets._shown.correct(estimate, CAPACITY, 1_000, order)
    assert limit.buckets.others.by_others
    assert limit.buckets.others.explain(TOKENS, order.now_ms)


def test_of_a_counter_the_first_answer_of_each_window_tells_whether_it_begins_anew() -> None:
    """Others may take much of it later."""
    limit = counted()
    for window in range(4):
        begun_ms = MARK + window * MINUTE_MS
        for sent_ms, used in ((1_000, 1_000), (9_000, 40_000)):
            order = limit.send(1_000, begun_ms + sent_ms)
            limit.show(order, used, MINUTE_MS - sent_ms)
    assert isinstance(limit.only(), FixedWindowMirror)
