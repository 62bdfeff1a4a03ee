"""Searches for more than the mirrors know of, and what only a refusal has named, at the guide of one limit."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import HOUR_MS, MINUTE_MS, LimitMetric, Reading
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.achievement import LASTS_MS
from headrace.broker.core.budget.admission_guide import COMPARED_EVERY_MS, GUESS
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.calls_foresight import FORESEEN_MIN
from headrace.broker.core.budget.mirror_trust import FORESEEN_CALLS, LATELY_MS
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror
from headrace.broker.core.budget.stated_waits import TRUSTED, TRUSTED_MS
from headrace.broker.core.budget.trial import MORE_PPM, SETTLES_MS, TRIED_MS
from headrace.broker.core.units import PPM
from tests.unit.core.budget.test_admission_guide import RATE, REFUSED, Rig
from tests.unit.core.budgets import SETTINGS, UNKNOWN
from tests.unit.core.specimens import verdict


def searching() -> Rig:
    """Neither the operator nor an answer states the limit that holds calls back, and more is tried."""
    rig = Rig(UNKNOWN)
    while not rig.guide.measures:
        rig.spend(2_000)
        rig.guide.compare(400, rig.now_ms)
        assert rig.now_ms < LASTS_MS + 10_000
    return rig


def test_a_search_begins_beyond_what_the_mirrors_would_let_through() -> None:
    rig = searching()
    assert rig.guide.rate is not None
    assert rig.guide.rate >= RATE + RATE * MORE_PPM // PPM - 1


def test_while_a_search_is_followed_the_mirrors_let_through_what_they_always_did() -> None:
    """Before: urgent calls after a pause waited for half a minute's pace, though the bucket was full."""
    rig = searching()
    for _ in range(100):
        rig.send()
    assert rig.ask() == 0
    assert rig.ask(60_000) > 1_000


def test_caps_hold_during_a_search_as_well() -> None:
    rig = searching()
    rate = rig.guide._rate
    assert rate is not None
    rate._caps._caps_ppm[True][1] = 5 * PPM
    for _ in range(5):
        rig.send()
    assert rig.ask() > 0


def test_in_a_trial_of_doubted_mirrors_the_rate_alone_decides() -> None:
    rig = Rig()
    rig.doubt()
    for _ in range(100):
        rig.send()
    assert rig.ask() > 1_000


def test_a_search_that_finds_no_more_returns_to_the_mirrors_although_none_is_refused() -> None:
    rig = searching()
    rig.spend(SETTLES_MS + TRIED_MS + 10_000)
    assert not rig.guide.measures


@pytest.mark.parametrize("known", [False, True])
def test_a_bucket_that_only_a_refusal_named_is_searched_beyond(*, known: bool) -> None:
    """Before: one refusal that named a limit of three calls a minute held a limit to them for ever."""
    rig = Rig(replace(SETTINGS, requests=3) if known else UNKNOWN)
    rig.call(verdict(remaining=RATE - 400))
    rig.buckets.believe(LimitMetric.REQUESTS, 3, MINUTE_MS, rig.now_ms)
    requests = next(iter(rig.buckets.of(LimitMetric.REQUESTS)))
    for _ in range(4 * 3):
        for _ in range(10):
            rig.call()
        rig.ask(20_000)
        rig.now_ms += 20_000
        while requests.low(rig.now_ms) >= 1:
            requests.pay(1, 0, rig.now_ms)
        rig.guide.compare(400, rig.now_ms)
    assert rig.guide.measures is not known


def test_while_a_rate_is_measured_a_limit_is_unavailable_for_as_long_as_it_rests() -> None:
    """Before: a rest of a day was hidden, and the requests of that limit filled the lanes."""
    rig = Rig()
    rig.doubt()
    rate = rig.guide._rate
    assert rate is not None
    assert rig.guide.rests_until_ms <= rig.now_ms
    rate._waits._trust = TRUSTED
    rig.call(replace(REFUSED, wait_ms=TRUSTED_MS))
    assert rig.guide.rests_until_ms == rig.now_ms + TRUSTED_MS
    rig.call(verdict(Meaning.OVERLOADED, wait_ms=10 * MINUTE_MS))
    assert rig.guide.rests_until_ms == rig.now_ms + 10 * MINUTE_MS


def test_the_caps_that_a_limit_has_learned_outlive_a_trial() -> None:
    rig = Rig()
    rig.call(REFUSED)
    assert rig.guide._rate is not None
    rig.guide._rate._caps._caps_ppm[True][1] = 5 * PPM
    rig.doubt()
    assert rig.guide._rate._caps._caps_ppm[True][1] == 5 * PPM


def test_the_mirrors_are_compared_twice_a_second_at_most() -> None:
    rig = Rig()
    rig.ask(MINUTE_MS)
    rig.now_ms += MINUTE_MS - 1_000
    for mirror in rig.buckets:
        mirror.pay(2 * RATE, 0, rig.now_ms)
    rig.guide._next_compare_ms = rig.now_ms + COMPARED_EVERY_MS
    assert not rig.guide.compare(400, rig.now_ms + COMPARED_EVERY_MS - 1)
    assert rig.guide.compare(400, rig.now_ms + COMPARED_EVERY_MS)


def test_mirrors_are_observed_from_the_begin_of_a_trial_where_headers_show_a_bucket() -> None:
    """Others are corrected by no answer, so what they foresee while a rate settles tells nothing (seed 93446)."""
    for states in (True, False):
        rig = Rig()
        if states:
            rig.buckets.observe_headers(
                Reading(LimitMetric.TOKENS, RATE, RATE - 1, MINUTE_MS, 1), SentCalls().admission_order(-1, 0, 10, 10)
            )
        rig.doubt()
        assert (rig.guide._trust._held is not None) is states


def test_where_nothing_else_could_be_followed_a_measured_rate_has_no_trial() -> None:
    rig = Rig(UNKNOWN, tokens=None)
    rig.call(REFUSED)
    assert rig.guide.measures
    rig.spend(2 * MINUTE_MS, refused_every=2)
    assert not rig.guide.compare(400, rig.now_ms)
    assert rig.guide.measures_since_ms is None


def test_mirrors_are_judged_by_what_they_achieved_at_the_present_size_of_their_limit() -> None:
    for raised in (False, True):
        rig = Rig()
        rig.call(verdict(remaining=RATE))
        assert not rig.guide.compare(400, rig.now_ms), "what sizes there are is known from now on"
        rig.spend(2 * MINUTE_MS, paid=100)
        (mirror,) = rig.buckets
        if raised:
            assert mirror.adopt_capacity(10 * RATE, rig.count, rig.now_ms)
        mirror.pay(11 * RATE, 0, rig.now_ms)
        rig.ask(1_000)
        assert rig.guide.compare(400, rig.now_ms) is not raised


def test_a_limit_explains_what_others_leave_unused_only_if_it_has_held_a_call_back_within_a_minute() -> None:
    """Before: one that none waited for did, and for two minutes after its last wait: 60,000 of 250,000 were used."""
    rig = Rig()

    def bounded() -> list[int]:
        return [bound.per_minute for bound in rig.guide._bounds(400, None, 0, rig.now_ms)[0]]

    rig.buckets.believe(LimitMetric.TOKENS, RATE // 6, 10 * MINUTE_MS, 0)
    small = RATE // 60
    assert bounded() == [RATE]
    rig.buckets.of(LimitMetric.TOKENS)[1].pay(RATE // 6, 0, 0)
    assert bounded() == [small], "it is what holds the call back"
    rig.now_ms += LATELY_MS - 1
    assert bounded() == [RATE, small]
    rig.now_ms += 1
    assert bounded() == [RATE]


def test_a_limit_of_an_hour_explains_no_tokens_that_a_shorter_one_leaves_unused() -> None:
    rig = Rig()
    rig.buckets.believe(LimitMetric.TOKENS, RATE, HOUR_MS, 0)
    hour = rig.buckets.of(LimitMetric.TOKENS)[1]
    hour.pay(RATE, 0, 0)
    (bound,) = rig.guide._bounds(400, None, 0, 0)[0]
    assert bound.long, "it is what holds the call back"
    hour.pay(-RATE, 0, 0)
    (bound,) = rig.guide._bounds(400, None, 0, 1_000)[0]
    assert not bound.long


def test_the_only_limit_is_no_spent_one_of_an_hour_while_something_else_holds_a_call_back() -> None:
    """Before: no trial began, though a window that headers do not show refused calls by the hundred."""
    rig = Rig(UNKNOWN, tokens=None)
    rig.buckets.believe(LimitMetric.TOKENS, RATE, HOUR_MS, 0)
    (bound,) = rig.guide._bounds(400, None, 0, 0)[0]
    assert not bound.long
    rig.buckets.of(LimitMetric.TOKENS)[0].pay(RATE, 0, 0)
    (bound,) = rig.guide._bounds(400, None, 0, 0)[0]
    assert bound.long


def test_a_bucket_that_lacks_only_the_reserve_is_what_holds_a_call_back() -> None:
    rig = Rig()
    rig.buckets.believe(LimitMetric.TOKENS, RATE // 6, 10 * MINUTE_MS, 0)
    rig.buckets.of(LimitMetric.TOKENS)[1].pay(RATE // 12, 0, 0)
    for reserved_ppm, per_minute in ((0, RATE), (600_000, RATE // 60)):
        first = rig.guide._bounds(400, None, reserved_ppm, 0)[0][0]
        assert first.per_minute == per_minute


def test_mirrors_of_another_kind_than_those_that_were_doubted_return_though_none_is_refused() -> None:
    for refill, returns in ((Refill.BUCKET, False), (Refill.SLIDING, True)):
        rig = Rig()
        rig.spend(2 * MINUTE_MS, paid=100)
        rig.doubt()
        rig.spend(SETTLES_MS + TRIED_MS + 5_000)
        assert rig.guide.measures
        assert not rig.guide._trust.tries
        rig.buckets._mirrors.keep(lambda _: False)
        rig.buckets._mirrors.add(
            SlidingWindowMirror(LimitMetric.TOKENS, RATE, MINUTE_MS, rig.now_ms, SentCalls())
            if refill is Refill.SLIDING
            else Mirror(LimitMetric.TOKENS, RATE, MINUTE_MS, rig.now_ms)
        )
        for _ in range(FORESEEN_CALLS + 1):
            rig.ask()
            rig.call()
        assert rig.guide.measures is not returns


def spend_shown_calls(rig: Rig) -> None:
    """Let headers show a limit of 60 calls a minute that is spent now."""
    number = rig.sends.append(rig.now_ms, 1, None, None)
    order = rig.sends.admission_order(number, rig.now_ms, rig.now_ms + 1, 1)
    rig.buckets.observe_headers(Reading(LimitMetric.REQUESTS, 60, 0, MINUTE_MS, MINUTE_MS), order, 0)


@pytest.mark.parametrize("foreseen", [False, True])
def test_a_shown_limit_of_calls_that_foresees_refusals_holds_back_what_the_measured_rate_allows(
    *, foreseen: bool
) -> None:
    """Before: 17 of 18 refusals of a measured rate were foreseen, and none was prevented (seed 97384)."""
    rig = Rig()
    rig.guide.inherit(1_000_000, 0)
    spend_shown_calls(rig)
    for _ in range(FORESEEN_MIN):
        rig.call(REFUSED if foreseen else verdict())
    rig.guide.record_loss(rig.send().number)
    assert rig.guide._foresight is not None
    assert not rig.guide._foresight._sent, "none is in flight"
    rig.now_ms = MINUTE_MS
    for _ in range(40):
        rig.call()
    rig.now_ms += 10_000
    assert rig.ask() == 0
    spend_shown_calls(rig)
    assert (rig.ask() > 500) is foreseen


# ------------------------------------------------------------------ sizes that levels have shown too coarsely


def coarse(rig: Rig) -> Rig:
    rig.buckets.coarse = frozenset({RATE})
    return rig


@pytest.mark.parametrize(("rig", "rate"), [(Rig(UNKNOWN), RATE), (coarse(Rig(UNKNOWN)), GUESS), (coarse(Rig()), RATE)])
def test_a_size_that_levels_have_shown_too_coarsely_states_no_rate(rig: Rig, rate: int) -> None:
    rig.call(REFUSED)
    assert rig.guide._rate is not None
    assert rig.guide._rate.rate == rate * 1_000, "the operator states one"


@pytest.mark.parametrize("is_coarse", [True, False])
def test_more_is_searched_for_than_a_size_that_levels_have_shown_too_coarsely(*, is_coarse: bool) -> None:
    """Before: half of a limit was used for ever, whose levels were one figure or two."""
    rig = Rig(UNKNOWN, tokens=None)
    shown = Reading(LimitMetric.TOKENS, RATE, RATE - 400, MINUTE_MS, None)
    for _ in range(20):
        number = rig.sends.append(rig.now_ms, 400)
        rig.call()
        order = rig.sends.admission_order(number, rig.now_ms - 10, rig.now_ms, delay_ms=10)
        rig.buckets.observe_headers(shown, order)
    (mirror,) = rig.buckets
    if is_coarse:
        rig.buckets.coarse = frozenset({mirror.capacity})
    assert rig.buckets.is_stated(mirror) is not is_coarse
    while not rig.guide.measures and rig.now_ms < 2 * LASTS_MS:
        rig.spend(2_000)
        rig.guide.compare(400, rig.now_ms)
    assert rig.guide.measures is is_coarse
