"""Which waits the guide of a limit keeps, and where a trial and caps of spans begin and end."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import UNSTATED_WAIT_MS, Meaning
from headrace.broker.core.budget.admission_guide import HONOURED_MS, TESTED_MAX_MS
from headrace.broker.core.budget.mirror_trust import LATELY_MS, REMEMBERED_MS
from headrace.broker.core.budget.rate_control import SILENCE_MS
from headrace.broker.core.budget.stated_waits import TRUSTED
from headrace.broker.core.units import PPM
from tests.unit.core.budget.test_admission_guide import RATE, REFUSED, Rig
from tests.unit.core.budgets import UNKNOWN
from tests.unit.core.specimens import verdict


def test_a_wait_that_the_mirrors_see_no_reason_for_is_kept_for_a_while_and_then_tested() -> None:
    rig = Rig()
    assert rig.guide.wait_ms(60_000, 0, 0) == 60_000, "nothing has been refused"
    rig.call(replace(REFUSED, wait_ms=60_000))
    now_ms = rig.now_ms
    assert rig.guide.wait_ms(60_000, now_ms, now_ms) == HONOURED_MS
    assert rig.guide.wait_ms(HONOURED_MS - 1, now_ms, now_ms) == HONOURED_MS - 1
    assert rig.guide.wait_ms(TESTED_MAX_MS, now_ms, now_ms) == HONOURED_MS
    assert rig.guide.wait_ms(TESTED_MAX_MS + 1, now_ms, now_ms) == TESTED_MAX_MS + 1, "a limit of a day"
    payable_ms = now_ms + 60_000 - HONOURED_MS
    assert rig.guide.wait_ms(60_000, payable_ms, now_ms) == 60_000, "they can pay no sooner either"
    assert rig.guide.wait_ms(60_000, payable_ms - 1, now_ms) == HONOURED_MS


def test_such_waits_are_kept_whole_once_they_have_proved_true() -> None:
    rig = Rig()
    rig.call(REFUSED)  # from here on a rate is measured
    for _ in range(TRUSTED):
        rig.call()
        rig.call(replace(REFUSED, wait_ms=60_000))
        rig.now_ms += 60_000
        rig.call()
        rig.now_ms += SILENCE_MS
    rig.call(replace(REFUSED, wait_ms=60_000))
    assert rig.guide.wait_ms(60_000, rig.now_ms, rig.now_ms) == 60_000


@pytest.mark.parametrize(("every_ms", "credible"), [(400, True), (4_000, False)], ids=["many calls", "few"])
def test_a_trial_begins_at_no_more_than_ten_times_what_was_achieved_whatever_is_stated(
    every_ms: int, *, credible: bool
) -> None:
    rig = Rig(UNKNOWN, tokens=1_000 * RATE)
    rig.call(verdict(remaining=9 * RATE))
    for _ in range(MINUTE_MS // every_ms):
        rig.call()
        rig.ask(every_ms - 10)
        rig.now_ms += every_ms - 10
    for mirror in rig.buckets.of(LimitMetric.TOKENS):
        mirror.pay(2 * mirror.capacity, 0, rig.now_ms)
    assert rig.guide.compare(400, rig.now_ms)
    rate = rig.guide.rate
    assert rate == pytest.approx(10 * RATE if credible else 1_000 * RATE, rel=0.02)
    rig.call()
    assert rig.guide.rate == rate, "what is stated does not raise it"


def test_the_largest_reserve_of_the_time_that_is_judged_counts() -> None:
    """An urgent call that uses what bulk has left finds a window of which a part was never spent."""
    rig = Rig()
    rig.guide.compare(400, 0, None, 300_000)
    rig.guide.compare(400, 0, None, 100_000)
    for now_ms, needs_ms in ((0, 18_400), (REMEMBERED_MS - 1, 18_400), (REMEMBERED_MS, 400)):
        assert rig.guide._bounds(400, None, 0, now_ms)[0][0].needs_ms == needs_ms


@pytest.mark.parametrize(("reserved_ppm", "waited_ms"), [(0, LATELY_MS), (300_000, 0)])
def test_a_limit_of_a_day_holds_back_by_its_reserve_as_well(reserved_ppm: int, waited_ms: int) -> None:
    rig = Rig()
    rig.buckets.believe(LimitMetric.TOKENS, 10_000_000, DAY_MS, 0)
    rig.buckets.of(LimitMetric.TOKENS)[1].pay(8_000_000, 0, 0)
    rig.now_ms += 1_000
    rig.ask(LATELY_MS, reserved_ppm)
    rig.now_ms += LATELY_MS
    rig.call()
    assert rig.guide._trust.lately(rig.now_ms).waited_ms == waited_ms


def test_caps_of_spans_hold_while_the_mirrors_are_followed() -> None:
    rig = Rig()
    rig.call(REFUSED)
    rig.now_ms += 10 * MINUTE_MS
    rate = rig.guide._rate
    assert rate is not None
    assert (rig.ask(), rig.guide.is_free) == (0, True)
    rate._caps._caps_ppm[True][1] = PPM  # one call a second
    rig.call()
    assert rig.ask() > 500
    assert not rig.guide.is_free
    assert rig.ask(believed=False) == 0


def test_a_refusal_that_has_shown_a_cap_is_reported() -> None:
    rig = Rig()
    rig.call(REFUSED)
    assert rig.guide._rate is not None
    caps = rig.guide._rate._caps
    for told, found, reported in ((REFUSED, False, False), (REFUSED, True, True), (verdict(), False, False)):
        call = rig.send()
        caps._is_new = found  # as `SpanCaps.learn` does, which is asked of an event only
        rig.guide._rate._cut_ms = rig.now_ms
        assert rig.guide.record_end(call.number, call, told, rig.now_ms) is reported


def test_the_mirror_of_a_spent_window_knows_better_than_a_second() -> None:
    """Before: each refusal by six seconds cost one, in which others took what had ceased to count."""
    rig = Rig()
    assert rig.guide.wait_ms(UNSTATED_WAIT_MS, 300, 0, is_window=True) == UNSTATED_WAIT_MS, "nothing has been refused"
    rig.call(REFUSED)
    now_ms = rig.now_ms
    assert rig.guide.wait_ms(UNSTATED_WAIT_MS, now_ms + 300, now_ms, is_window=True) == 300
    assert rig.guide.wait_ms(UNSTATED_WAIT_MS, now_ms + 3_000, now_ms, is_window=True) == UNSTATED_WAIT_MS
    assert rig.guide.wait_ms(UNSTATED_WAIT_MS, now_ms, now_ms, is_window=True) == UNSTATED_WAIT_MS, "it sees no reason"
    assert rig.guide.wait_ms(UNSTATED_WAIT_MS + 1, now_ms + 300, now_ms, is_window=True) == UNSTATED_WAIT_MS + 1
    assert rig.guide.wait_ms(UNSTATED_WAIT_MS, now_ms + 300, now_ms) == UNSTATED_WAIT_MS


def test_a_long_wait_of_a_spent_window_is_cut_short_once_such_waits_were_disproved() -> None:
    rig = Rig()
    rig.call(REFUSED)
    rig.call(replace(REFUSED, wait_ms=60_000))
    assert rig.guide.wait_ms(60_000, rig.now_ms + 12_000, rig.now_ms, is_window=True) == HONOURED_MS
    rig.now_ms += HONOURED_MS
    rig.call()
    rig.now_ms += SILENCE_MS
    rig.call(replace(REFUSED, wait_ms=60_000))
    now_ms = rig.now_ms
    assert rig.guide.wait_ms(60_000, now_ms + 12_000, now_ms, is_window=True) == 12_000
    assert rig.guide.wait_ms(60_000, now_ms + 90_000, now_ms, is_window=True) == 60_000
    assert rig.guide.wait_ms(60_000, now_ms + 1, now_ms, is_window=True) == 300, "the rate rests as long"
    assert rig.guide.wait_ms(TESTED_MAX_MS + 1, now_ms + 12_000, now_ms, is_window=True) == TESTED_MAX_MS + 1


@pytest.mark.parametrize("by_others", [False, True])
def test_refusals_that_others_explain_are_no_doubt(*, by_others: bool) -> None:
    """Before: a trial began that was refused more, and left more to them."""
    rig = Rig()
    if by_others:
        rig.buckets._shown.others._until_ms[LimitMetric.TOKENS] = 10 * MINUTE_MS
    for number in range(200):
        rig.ask(10)
        rig.now_ms += 300
        told = verdict(Meaning.RATE_LIMITED, requested=400) if number % 20 == 19 else verdict()
        rig.call(told)
    rig.ask(10)
    assert rig.guide.compare(400, rig.now_ms) is not by_others


def test_while_a_rate_is_measured_each_refusal_is_its_own() -> None:
    """It is compared with the mirrors by what was admitted and refused, and nothing else."""
    for followed, explained in (("mirrors", 1), ("measurements", 0)):
        rig = Rig()
        if followed == "measurements":
            rig.doubt()
        rig.buckets._shown.others._until_ms[LimitMetric.TOKENS] = 10 * MINUTE_MS
        rig.call(verdict(Meaning.RATE_LIMITED, requested=400))
        assert rig.guide._trust.lately(rig.now_ms).theirs == explained, followed


@pytest.mark.parametrize("trusted", [False, True])
def test_a_refusal_that_others_explain_in_a_window_that_is_known_teaches_no_rate_cap_or_ramp(*, trusted: bool) -> None:
    """Before: caps of spans were learned from others' bursts, and calls spread over each second (seed 92529)."""
    rig = Rig()
    rig.call(REFUSED)
    rig.now_ms += 1_000
    rate = rig.guide._rate
    assert rate is not None
    rig.buckets.others.observe(LimitMetric.TOKENS, -500, rig.now_ms, proven=True, trusted=trusted)
    rig.buckets.others._until_ms[LimitMetric.TOKENS] = 10 * MINUTE_MS
    rig.call(verdict(Meaning.RATE_LIMITED, requested=400))
    assert (rate.events, len(rate._caps._refused)) == ((0, 0) if trusted else (1, 1))
    assert rig.guide.ramps(rig.now_ms) is not trusted
    assert rate.rest_ms(rig.now_ms) > 0, "its wait is kept all the same"
    rig.call(REFUSED)
    assert rig.guide.ramps(rig.now_ms), "this one states nothing"
