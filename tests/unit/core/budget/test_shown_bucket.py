"""What is remembered of one bucket that headers show."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, TOKENS, Reading
from headrace.broker.core.answers.refill_detection import SHORT_MS, Refill, RefillEvidence, RefillPattern
from headrace.broker.core.answers.rounding import Rounding
from headrace.broker.core.answers.window_phase import Phase
from headrace.broker.core.budget.bucket_fit import MISFIT_WEIGHT, SURE
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.renewal_doubt import BALANCE_SURE
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.shown_bucket import RETURNED_SOON_MS, ShownBucket
from headrace.broker.core.budget.two_counters import TwoCounterMirror


def test_a_pattern_is_known_until_mirrors_change() -> None:
    bucket = ShownBucket(60_000, 0, RefillEvidence())
    pattern = RefillPattern(Refill.BUCKET, 60_000)
    assert not bucket.knows(pattern, 0)
    bucket.known, bucket.made = pattern, 3
    assert bucket.knows(pattern, 3)
    assert not bucket.knows(pattern, 4)
    assert not bucket.knows(RefillPattern(Refill.BUCKET, 60_000), 3), (
        "it is asked for each answer, and compares no fields"
    )


CAPACITY = 60_000


@pytest.mark.parametrize(
    ("used", "full_in_ms", "named", "refuted"),
    [
        (CAPACITY // 4, 50_000, False, True),
        (CAPACITY // 4 - 1, 50_000, False, False),  # a little less, and the time may be computed wrongly
        (CAPACITY // 2, DAY_MS // 4, False, False),  # half a day
        (CAPACITY // 2, DAY_MS // 4 - 1, False, True),
        (CAPACITY // 2, 50_000, True, False),
        (CAPACITY // 2, None, False, False),
        (0, 0, False, False),
    ],
)
def test_a_level_that_tells_more_refutes_a_period_that_is_too_long(
    used: int,
    full_in_ms: int | None,
    named: bool,  # noqa: FBT001
    refuted: bool,  # noqa: FBT001
) -> None:
    bucket = ShownBucket(CAPACITY, 0, RefillEvidence())
    reading = Reading(TOKENS, CAPACITY, CAPACITY - used, None, full_in_ms, named)
    bucket.mirror = bucket.guessed = Mirror(TOKENS, CAPACITY, DAY_MS, 0)
    assert bucket.is_too_long(reading) is refuted
    bucket.mirror = bucket.guessed = Mirror(TOKENS, CAPACITY, HOUR_MS, 0)
    assert not bucket.is_too_long(reading)
    bucket.mirror = bucket.guessed = Mirror(TOKENS, CAPACITY, HOUR_MS // 4, 0)
    assert bucket.is_too_long(reading) is (refuted and full_in_ms == 50_000), "as one of seconds may compute to"
    bucket.mirror = bucket.guessed = Mirror(TOKENS, CAPACITY, MINUTE_MS, 0)
    assert not bucket.is_too_long(Reading(TOKENS, CAPACITY, CAPACITY // 2, None, 1_000))
    bucket.mirror = Mirror(TOKENS, CAPACITY, DAY_MS, 0)
    assert not bucket.is_too_long(reading), "the operator, a predecessor or a refusal has stated its period"


@pytest.mark.parametrize(
    ("full_in_ms", "states_period", "outlasts"),
    [(2 * HOUR_MS + 1, True, True), (2 * HOUR_MS, True, False), (2 * HOUR_MS + 1, False, False), (None, True, False)],
)
def test_a_bucket_that_takes_longer_to_refill_than_twice_the_period_is_another_one(
    full_in_ms: int | None,
    states_period: bool,  # noqa: FBT001
    outlasts: bool,  # noqa: FBT001
) -> None:
    bucket = ShownBucket(CAPACITY, 0, RefillEvidence())
    bucket.states_period = states_period
    reading = Reading(TOKENS, 2 * CAPACITY, CAPACITY, None, full_in_ms)
    assert not bucket.is_outlasted_by(reading), "it has no mirror"
    bucket.mirror = Mirror(TOKENS, CAPACITY, HOUR_MS, 0)
    assert bucket.is_outlasted_by(reading) is outlasts


def test_a_size_that_comes_back_soon_or_twice_in_a_row_is_that_of_another_one() -> None:
    bucket = ShownBucket(CAPACITY, 0, RefillEvidence())
    bucket.change(2 * CAPACITY, 1_000, None)
    assert not bucket.has_returned(3 * CAPACITY, 1_000)
    assert bucket.has_returned(CAPACITY, 1_000 + RETURNED_SOON_MS)
    bucket.returns = 0
    assert not bucket.has_returned(CAPACITY, 1_001 + RETURNED_SOON_MS)
    assert bucket.has_returned(CAPACITY, 1_001 + RETURNED_SOON_MS)


def test_what_is_known_of_a_bucket_is_kept_when_its_size_changes() -> None:
    evidence = RefillEvidence()
    bucket = ShownBucket(CAPACITY, 0, evidence)
    bucket.change(2 * CAPACITY, 1_000, None)
    assert (bucket.former, bucket.capacity, bucket.changed_ms) == (CAPACITY, 2 * CAPACITY, 1_000)
    assert bucket.evidence is evidence
    assert bucket.former_evidence is not None
    bucket.evidence.rule_out(Refill.FIXED)
    bucket.evidence.rule_out(Refill.TWO)
    assert not bucket.former_evidence.is_disproved, "it is a copy: the limit may have been raised"


def test_a_limit_that_is_another_one_has_evidence_of_its_own() -> None:
    former, other = RefillEvidence(), RefillEvidence()
    bucket = ShownBucket(CAPACITY, 0, former)
    bucket.renewals.balance = BALANCE_SURE
    bucket.change(CAPACITY // 2, 1_000, None)
    assert bucket.renewals.balance == BALANCE_SURE
    bucket.change(CAPACITY // 6, 1_000, other)
    assert (bucket.renewals.balance, bucket.former_renewals.balance) == (0, BALANCE_SURE)
    assert bucket.evidence is other
    assert bucket.former_evidence is former


SENDS = SentCalls()
ORDER = SENDS.admission_order(SENDS.append(0, 10), 0, 20, 20)


@pytest.mark.parametrize("balance", [-1, 0, 1])
def test_a_short_counter_is_disproved_unless_levels_fit_it_that_two_could_not_leave(balance: int) -> None:
    counter = FixedWindowMirror(TOKENS, 1_000, SECOND_MS, 0, 1_000)
    two = TwoCounterMirror(TOKENS, 1_000, SECOND_MS, 0, SENDS, mark_ms=0)
    for mirror, disproved in ((counter, balance <= 0), (two, True)):
        shown = ShownBucket(1_000, 0, RefillEvidence())
        shown.mirror, shown.renewals.balance = mirror, balance
        assert shown.begins_anew is not disproved
        mirror.period_ms = SHORT_MS + 1
        assert not shown.begins_anew, "longer windows are judged one by one"
        mirror.period_ms = SECOND_MS
        assert not shown.is_disproved(mirror, -250, 0, at_once=True)
        assert shown.is_disproved(mirror, -251, 0, at_once=True) is disproved
        assert not shown.is_disproved(mirror, None, 0, at_once=True)
        shown.is_disproved(mirror, -251, SECOND_MS, at_once=False)
        assert shown.is_disproved(mirror, -251, 2 * SECOND_MS, at_once=False) is disproved, "the second one in a row"


@pytest.mark.parametrize("counts", [False, True])
def test_a_counter_is_none_if_its_level_has_risen_or_the_former_window_counts(*, counts: bool) -> None:
    shown, reading = ShownBucket(1_000, 0, RefillEvidence()), Reading(TOKENS, 1_000, 100, None, MINUTE_MS - 100)
    sends = SentCalls()
    sends.append(0, 900 if counts else 0)
    order = sends.admission_order(sends.append(MINUTE_MS + 100, 0), MINUTE_MS + 100, MINUTE_MS + 120, 20)
    assert not shown.has_not_begun_anew(reading, order, sends, estimates=True), "it has no mirror"
    for period_ms, estimates, is_none in (
        (SHORT_MS, True, False),
        (MINUTE_MS, False, False),
        (MINUTE_MS, True, counts),
    ):
        shown.mirror = FixedWindowMirror(TOKENS, 1_000, period_ms, MINUTE_MS, 1_000)
        assert shown.has_not_begun_anew(reading, order, sends, estimates=estimates) is is_none
    shown.evidence.has_risen = True
    assert shown.has_not_begun_anew(reading, order, sends, estimates=False)


def test_short_windows_are_forgotten_while_levels_fit_one_counter() -> None:
    """Otherwise any later answer would disprove it, once the levels tell nothing any more."""
    shown, counter = ShownBucket(1_000, 0, RefillEvidence()), FixedWindowMirror(TOKENS, 1_000, SECOND_MS, 0, 1_000)
    shown.mirror, shown.renewals.balance = counter, 1
    for second in range(3):
        assert not shown.is_disproved(counter, -251, second * SECOND_MS, at_once=False)
    shown.renewals.balance = 0
    assert not shown.is_disproved(counter, 0, 5 * SECOND_MS, at_once=False)


def test_while_nothing_is_known_of_a_limit_of_another_size_levels_are_remembered() -> None:
    """Before: each new size of a fixed second that others share was a bucket and two counters for a minute."""
    shown, reading = ShownBucket(1_000, 0, RefillEvidence()), Reading(TOKENS, 1_000, 990, None, None)
    shown.renewals.balance = BALANCE_SURE
    shown.judge_levels(reading, ORDER, SENDS, old=False)
    assert shown.renewals.balance == BALANCE_SURE


def test_what_levels_have_told_is_forgotten_with_the_prices_they_were_compared_with() -> None:
    counter = FixedWindowMirror(TOKENS, 1_000, SECOND_MS, 0, 1_000)
    two = TwoCounterMirror(TOKENS, 1_000, SECOND_MS, 0, SENDS, mark_ms=0)
    for mirror in (counter, two, Mirror(TOKENS, 1_000, SECOND_MS, 0)):
        shown = ShownBucket(1_000, 0, RefillEvidence())
        shown.mirror, shown.renewals.balance = mirror, BALANCE_SURE
        doubt = getattr(mirror, "doubt", None)
        shown.forget_levels()
        assert shown.renewals.balance == 0
        assert isinstance(mirror, Mirror) or mirror.doubt is not doubt


def test_one_counter_is_believed_again_once_levels_of_many_windows_fit_it() -> None:
    shown, reading = ShownBucket(1_000, 0, RefillEvidence()), Reading(TOKENS, 1_000, 990, None, None)
    for balance, phase, longest_ms, believed in (
        (BALANCE_SURE, None, SECOND_MS, False),
        (BALANCE_SURE - 1, Phase(0, 10), SECOND_MS, False),
        (BALANCE_SURE, Phase(0, 10), SHORT_MS + 1, False),
        (BALANCE_SURE, Phase(0, 10), SHORT_MS, True),
    ):
        shown.evidence.rule_out(Refill.FIXED)
        shown.evidence._named_ms = longest_ms
        shown.evidence.close_phase, shown.renewals.balance = phase, balance
        shown.evidence._believed = RefillPattern(Refill.SLIDING, SECOND_MS)
        shown.judge_levels(reading, ORDER, SENDS, old=False)
        assert (Refill.FIXED not in shown.evidence._ruled_out) is believed
        trusted = phase is not None and longest_ms <= SHORT_MS
        assert (shown.renewals.balance > 0) is trusted, "what has marks no more does not begin anew at them"


def test_a_bucket_that_levels_have_shown_is_given_up_once_they_fit_none() -> None:
    """And what they have shown of one size is no judgement of another."""
    shown, sends = ShownBucket(1_000, 0, RefillEvidence()), SentCalls()
    order = sends.admission_order(sends.append(0, 100), 0, 2_000, 20)
    shown.evidence._named_ms, shown.evidence.fits_bucket = SECOND_MS, True
    shown.judge_levels(Reading(TOKENS, 1_000, 900, None, SECOND_MS), order, sends, old=False)
    assert shown.evidence.fits_bucket
    for _ in range(SURE // MISFIT_WEIGHT + 1):
        assert shown.evidence.fits_bucket
        shown.judge_levels(Reading(TOKENS, 1_000, 300, None, SECOND_MS), order, sends, old=False)
    assert not shown.evidence.fits_bucket
    former = shown.fit
    assert former is not None
    shown.judge_levels(Reading(TOKENS, 1_000, 300, None, SECOND_MS), order, sends, old=False)
    assert former.balance == -MISFIT_WEIGHT, "it is none that may be any"
    shown.change(2_000, 3_000, None)
    assert shown.fit is None


@pytest.mark.parametrize(("old", "period_ms"), [(True, SECOND_MS), (False, SHORT_MS + 1)])
def test_levels_that_may_be_old_and_those_of_longer_windows_fit_nothing(old: bool, period_ms: int) -> None:  # noqa: FBT001
    shown, sends = ShownBucket(1_000, 0, RefillEvidence()), SentCalls()
    order = sends.admission_order(sends.append(0, 100), 0, 2_000, 20)
    shown.evidence._named_ms, shown.evidence.fits_bucket = period_ms, True
    for _ in range(SURE):
        shown.judge_levels(Reading(TOKENS, 1_000, 300, None, SECOND_MS), order, sends, old=old)
    assert shown.evidence.fits_bucket


def test_the_rounding_of_its_figures_is_that_of_its_mirror() -> None:
    sends = SentCalls()
    bucket, mirror = ShownBucket(CAPACITY, 0, RefillEvidence()), Mirror(TOKENS, CAPACITY, MINUTE_MS, 0)
    numbers = [sends.append(1_000 * call, 437, None, None) for call in range(40)]
    for call, number in enumerate(numbers):
        order = sends.admission_order(number, 1_000 * call, 1_000 * call + 200, 25)
        rounded = (CAPACITY - 437 * (call + 1)) // 6_000 * 6_000
        bucket.learn_step(Reading(TOKENS, CAPACITY, rounded, MINUTE_MS), mirror, order, sends)
        assert call or mirror.step == 1
        bucket.rounding = bucket.rounding or Rounding()
    assert mirror.step == 6_000
    unknown = sends.admission_order(-1, 0, 41_000, 25)
    bucket.learn_step(Reading(TOKENS, CAPACITY, 0, MINUTE_MS), mirror, unknown, sends)
    assert mirror.step == 6_000


def test_what_is_forgotten_keeps_what_is_known_of_its_refill_and_no_mirror() -> None:
    bucket, other = ShownBucket(CAPACITY, 0, RefillEvidence()), ShownBucket(2 * CAPACITY, 0, RefillEvidence())
    evidence = bucket.evidence
    bucket.mirror = bucket.guessed = Mirror(TOKENS, CAPACITY, MINUTE_MS, 0)
    bucket.known, bucket.took_turns_with = RefillPattern(Refill.BUCKET, MINUTE_MS), other
    assert bucket.forgotten() is bucket
    assert all(getattr(bucket, name) is None for name in ("mirror", "guessed", "known", "took_turns_with"))
    assert bucket.evidence is evidence
