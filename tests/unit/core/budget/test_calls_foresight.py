"""What shown limits of calls foresee of a measured rate, and when they hold calls back again."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, SECOND_MS, LimitMetric, Reading, Snapshot
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.calls_foresight import FORESEEN_MIN, HELD_PARTS, REMEMBERED, CallsForesight
from headrace.broker.core.budget.sent_calls import SentCalls


def spent(capacity: int = 60, *, headers: bool = True) -> BucketSet:
    """Return the mirror of a limit of calls that is spent at 0: one call a second comes back."""
    sends = SentCalls()
    buckets = BucketSet(sends)
    buckets.believe(LimitMetric.REQUESTS, capacity, MINUTE_MS, 0)
    if headers:
        number = sends.append(0, 1, None, None)
        reading = Reading(LimitMetric.REQUESTS, capacity, 0, MINUTE_MS, MINUTE_MS)
        buckets.observe_headers(reading, sends.admission_order(number, 0, 1, 1), 0)
    for _ in range(0 if headers else capacity):
        buckets.pay(1, sends.append(0, 1, None, None), 0)
    return buckets


def played(foresight: CallsForesight, *calls: tuple[int, Meaning | None]) -> CallsForesight:
    for attempt, (at_ms, meaning) in enumerate(calls):
        foresight.record_send(attempt, at_ms)
        foresight.record_end(attempt, meaning)
    return foresight


EARLY, LATE = 10, MINUTE_MS  # the limit pays no call then, and many
FREE = [(LATE, Meaning.OK)] * 40
FORESEEN = [(EARLY, Meaning.RATE_LIMITED)] * FORESEEN_MIN


def test_until_refusals_were_foreseen_nothing_is_held_back() -> None:
    foresight = CallsForesight(spent())
    assert foresight.payable_at(EARLY) == EARLY
    assert played(foresight, *FREE, *FORESEEN[1:]).payable_at(EARLY) == EARLY


def test_a_limit_that_foresees_what_is_refused_holds_calls_back_until_it_can_pay() -> None:
    """Before: 17 of 18 refusals of a measured rate were foreseen, and none was prevented (seed 97384)."""
    foresight = played(CallsForesight(spent()), *FREE, *FORESEEN)
    assert EARLY < foresight.payable_at(EARLY) <= 2_000
    assert foresight.payable_at(LATE) == LATE


@pytest.mark.parametrize(
    "others",
    [
        [(LATE, Meaning.RATE_LIMITED)] * 20,  # a third of those that it would have let pass are refused too
        [(EARLY, Meaning.OK)] * (len(FREE) // (HELD_PARTS - 1)),  # it would have held back much that was admitted
    ],
)
def test_one_that_does_not_tell_them_apart_holds_nothing_back(others: list[tuple[int, Meaning]]) -> None:
    foresight = played(CallsForesight(spent()), *FREE, *others, *FORESEEN)
    assert foresight.payable_at(EARLY) == EARLY


def test_a_limit_that_only_the_operator_states_foresees_nothing() -> None:
    foresight = played(CallsForesight(spent(headers=False)), *FREE, *FORESEEN)
    assert foresight.payable_at(EARLY) == EARLY


def test_calls_that_end_otherwise_tell_nothing_and_old_ones_count_half() -> None:
    foresight = played(CallsForesight(spent()), *FREE, (EARLY, None), (EARLY, Meaning.OVERLOADED))
    assert (foresight._admitted, foresight._refused) == ([len(FREE), 0], [0, 0])
    played(foresight, *[(LATE, Meaning.OK)] * (REMEMBERED - len(FREE)))
    assert foresight._admitted == [REMEMBERED // 2, 0]


def test_what_has_come_true_once_stays_so_since_calls_that_are_held_back_tell_nothing() -> None:
    foresight = played(CallsForesight(spent()), *FREE, *FORESEEN)
    played(foresight, *[(LATE, Meaning.RATE_LIMITED)] * 20)
    assert foresight.payable_at(EARLY) > EARLY


def test_a_limit_that_headers_do_not_show_holds_nothing_back_beside_one_that_they_do() -> None:
    sends = SentCalls()
    buckets, order = BucketSet(sends), sends.admission_order(sends.append(0, 1, None, None), 0, 1, 1)
    buckets.observe_headers(Reading(LimitMetric.REQUESTS, 6_000, 5_000, MINUTE_MS, 10_000), order, 0)
    named = Snapshot(LimitMetric.REQUESTS, SECOND_MS, 1, 1, None, None, None, False)
    buckets.observe_refusal(named, 0, order)
    assert max(each.payable_at(1, 0, EARLY) for each in buckets.of(LimitMetric.REQUESTS)) > EARLY
    foresight = played(CallsForesight(buckets), *FREE, *FORESEEN)
    assert foresight.payable_at(EARLY) == EARLY
