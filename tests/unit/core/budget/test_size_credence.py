from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import (
    DAY_MS,
    MINUTE_MS,
    LimitMetric,
    Reading,
    SideReading,
    Snapshot,
)
from headrace.broker.core.answers.verdict import Answer, Meaning, Verdict, judge
from headrace.broker.core.budget.size_credence import JUMP_TIMES, SizeCredence

FINE = judge(Answer(200, {}, None, None, None, ""))
REFUSED = replace(FINE, meaning=Meaning.RATE_LIMITED)
TOO_LARGE = replace(FINE, meaning=Meaning.TOO_LARGE)


def shown(
    capacity: int, metric: LimitMetric = LimitMetric.TOKENS, verdict: Verdict = FINE, period_ms: int | None = None
) -> Verdict:
    return replace(verdict, readings=(Reading(metric, capacity, 0, period_ms),))


def stated(capacity: int, period_ms: int = MINUTE_MS, *, project: bool = False) -> Verdict:
    snapshot = Snapshot(LimitMetric.TOKENS, period_ms, capacity, 0, None, None, None, project)
    return replace(REFUSED, snapshot=snapshot)


def knowing(capacity: int) -> SizeCredence:
    credence = SizeCredence()
    credence.believable(shown(capacity), lambda: 1)
    return credence


def test_what_says_nothing_of_limits_is_left_as_it_is() -> None:
    assert SizeCredence().believable(FINE, lambda: 100) is FINE


def test_a_size_like_the_believed_one_is_believed_at_once() -> None:
    credence = knowing(1_000)
    for capacity in (1_000, 1_000 * JUMP_TIMES, 1_000):
        verdict = shown(capacity)
        assert credence.believable(verdict, lambda: 10) is verdict


@pytest.mark.parametrize("capacity", [99, 10_001, 10**15])
def test_another_size_altogether_is_believed_when_two_answers_in_a_row_say_it(capacity: int) -> None:
    credence = knowing(1_000)
    assert credence.believable(shown(capacity), lambda: 10).readings == ()
    assert credence.believable(shown(capacity), lambda: 10).readings
    assert credence.believable(shown(capacity), lambda: 10).readings
    assert credence.believable(shown(1_000), lambda: 10).readings == () or capacity <= 10_000


def test_an_answer_in_between_says_the_former_one_was_a_slip() -> None:
    credence = knowing(1_000)
    for _ in range(3):
        assert credence.believable(shown(1), lambda: 1).readings == ()
        assert credence.believable(shown(1_000), lambda: 1).readings


@pytest.mark.parametrize("verdict", [FINE, REFUSED])
@pytest.mark.parametrize("known", [None, 50, 101])
def test_a_size_that_its_own_call_does_not_fit_is_not_believed_however_often_it_comes(
    verdict: Verdict, known: int | None
) -> None:
    credence = SizeCredence() if known is None else knowing(known)
    for _ in range(3):
        assert credence.believable(shown(99, verdict=verdict), lambda: 100).readings == ()


def test_a_size_that_is_believed_is_heard_whatever_its_call_took_by_our_law() -> None:
    assert knowing(99).believable(shown(99), lambda: 100).readings


def said(capacity: int, *, former: int | None = None) -> SizeCredence:
    """Of a server that has called a request too large for such a limit, twice."""
    credence = SizeCredence() if former is None else knowing(former)
    for _ in range(2):
        credence.believable(shown(capacity, verdict=TOO_LARGE), lambda: 100)
    assert credence.unproven_sizes == {capacity}
    return credence


def test_a_size_that_only_refusals_have_said_is_proven_by_an_answer_that_fits_it() -> None:
    for credence in (said(10), said(10, former=1_000)):
        credence.believable(shown(10, verdict=REFUSED), lambda: 10)
        assert credence.unproven_sizes == {10}
        assert credence.believable(shown(10), lambda: 10).readings
        assert credence.unproven_sizes == frozenset()
        assert credence.believable(FINE, lambda: 100) is FINE
        assert credence.disproved == {}


@pytest.mark.parametrize("former", [None, 1_000])
def test_it_is_disproved_by_an_answer_that_does_not_fit_it_whatever_that_says(former: int | None) -> None:
    credence = said(10, former=former)
    credence.believable(REFUSED, lambda: 100)
    assert credence.unproven_sizes == {10}
    assert credence.believable(FINE, lambda: 100) is FINE
    assert (credence.unproven_sizes, credence.disproved) == (frozenset(), {10: former})
    credence.believable(FINE, lambda: 100)
    assert credence.disproved == {}
    assert (credence.believable(shown(10), lambda: 1).readings == ()) is (former is not None)


def test_an_answer_that_says_another_size_needs_no_second_one() -> None:
    credence = said(10, former=1_000)
    assert credence.believable(shown(100_000), lambda: 5).readings
    assert credence.unproven_sizes == frozenset()


def test_a_size_of_requests_that_only_refusals_have_said_is_undone_by_one_answer_and_fails_none() -> None:
    credence = SizeCredence()
    credence.believable(shown(500, LimitMetric.REQUESTS), lambda: 1)
    for _ in range(2):
        credence.believable(shown(1, LimitMetric.REQUESTS, REFUSED), lambda: 100)
    assert credence.believable(shown(1, LimitMetric.REQUESTS, REFUSED), lambda: 100).readings
    assert credence.unproven_sizes == frozenset()
    assert credence.believable(FINE, lambda: 100) is FINE
    assert credence.disproved == {}
    assert credence.believable(shown(500, LimitMetric.REQUESTS), lambda: 100).readings


def test_what_a_predecessor_left_is_only_said_unless_the_operator_says_so_too() -> None:
    credence = SizeCredence((60_000, None))
    credence.inherit(60_000, MINUTE_MS)
    credence.believable(stated(60_000), lambda: 1)
    assert credence.unproven_sizes == frozenset()
    credence.inherit(70_000, MINUTE_MS)
    credence.inherit(900, DAY_MS)
    assert credence.unproven_sizes == {70_000, 900}
    credence.inherit(80_000, 2 * MINUTE_MS)
    assert credence.unproven_sizes == {80_000, 900}, "only days, hours, months and seconds have a size of their own"


def test_a_first_size_is_believed_if_its_call_fits_or_was_refused_for_its_size() -> None:
    assert SizeCredence().believable(shown(100), lambda: 100).readings
    assert SizeCredence().believable(shown(99, verdict=TOO_LARGE), lambda: 100).readings
    assert SizeCredence().believable(shown(1, LimitMetric.REQUESTS), lambda: 100).readings


def test_what_a_refusal_states_is_weighed_alike() -> None:
    credence = knowing(1_000)
    assert credence.believable(stated(1), lambda: 1).snapshot is None
    assert credence.believable(stated(1), lambda: 1).snapshot is not None
    both = replace(stated(20_000), readings=(Reading(LimitMetric.REQUESTS, 5, 0, None),))
    assert credence.believable(both, lambda: 1) == replace(both, snapshot=None)


def test_a_limit_of_a_day_stands_beside_that_of_a_minute() -> None:
    credence = knowing(1_000)
    assert credence.believable(stated(1_000_000, DAY_MS), lambda: 1).snapshot is not None
    assert credence.believable(shown(1_000_000, period_ms=DAY_MS), lambda: 1).readings
    assert credence.believable(shown(1_000, period_ms=MINUTE_MS), lambda: 1).readings


def test_readings_are_weighed_also_beside_a_statement_that_is_not_believed() -> None:
    credence = knowing(1_000)
    credence.believable(replace(FINE, readings=(Reading(LimitMetric.REQUESTS, 50, 0, None),)), lambda: 1)
    fair, odd = Reading(LimitMetric.REQUESTS, 50, 0, None), Reading(LimitMetric.REQUESTS, 50_000, 0, None)
    both = replace(stated(1), readings=(fair, odd))
    assert credence.believable(both, lambda: 1) == replace(both, readings=(fair,), snapshot=None)


def test_a_limit_of_nothing_is_believed_of_a_call_that_was_refused_for_its_size() -> None:
    assert SizeCredence().believable(shown(0, verdict=TOO_LARGE), lambda: 100).readings


def beside(capacity: int, kind: str = "project-tokens", verdict: Verdict = FINE) -> Verdict:
    return replace(verdict, side_readings=(SideReading(kind, capacity, 0, None),))


def test_a_projects_size_is_believed_by_itself() -> None:
    credence = knowing(100_000)
    assert credence.believable(beside(1_000), lambda: 10).side_readings
    assert credence.believable(beside(100_000), lambda: 10).side_readings == ()
    assert credence.believable(shown(100_000), lambda: 10).readings
    assert credence.believable(beside(100_000), lambda: 10).side_readings


def test_a_projects_size_that_its_own_call_does_not_fit_is_not_believed() -> None:
    credence = knowing(100_000)
    assert credence.believable(beside(9), lambda: 10).side_readings == ()
    assert credence.believable(beside(9, "input-images"), lambda: 10).side_readings


def test_what_is_not_believed_of_a_project_leaves_the_rest_of_the_answer() -> None:
    credence = knowing(100_000)
    both = replace(shown(100_000), side_readings=beside(9).side_readings)
    believed = credence.believable(both, lambda: 10)
    assert (len(believed.readings), believed.side_readings) == (1, ())


def test_a_size_that_only_refusals_of_a_project_have_said_fails_nothing() -> None:
    credence = knowing(100_000)
    assert credence.believable(stated(500, project=True), lambda: 10).snapshot
    assert credence.unproven_sizes == {500}
    credence.inherit(700, MINUTE_MS, project=True)
    assert credence.unproven_sizes == {700}
    assert credence.believable(beside(700), lambda: 10).side_readings
    assert credence.unproven_sizes == frozenset()


def test_a_limit_that_refusals_name_is_believed_beside_a_far_larger_one_that_headers_show() -> None:
    """Before: each answer that showed a day's limit made refusals that named a minute's look like a slip (97016)."""
    credence = knowing(14_862_295)
    assert credence.believable(stated(546_000), lambda: 10).snapshot is None
    credence.believable(shown(14_862_295), lambda: 10)
    assert credence.believable(stated(546_000), lambda: 10).snapshot
    assert credence.believable(shown(14_862_295), lambda: 10).readings
    assert credence.believable(stated(546_000), lambda: 10).snapshot
    assert credence.unproven_sizes == {546_000}
    credence.believable(shown(546_000), lambda: 10)
    assert credence.believable(shown(546_000), lambda: 10).readings
    assert credence.unproven_sizes == frozenset()


def test_a_size_that_only_refusals_stated_is_not_proven_by_the_disproof_of_one_that_they_named() -> None:
    credence = SizeCredence()
    credence.believable(shown(1_000, verdict=REFUSED), lambda: 10)
    credence.believable(stated(500), lambda: 10)
    assert credence.unproven_sizes == {500, 1_000}
    credence.believable(FINE, lambda: 700)
    assert credence.unproven_sizes == {1_000}
    assert credence.disproved == {500: 1_000}
    credence.believable(FINE, lambda: 1_200)
    assert credence.unproven_sizes == frozenset()
    credence.believable(shown(5_000), lambda: 10)
    assert credence.believable(stated(1_000), lambda: 10).snapshot
    assert credence.unproven_sizes == {1_000}


def test_a_far_larger_limit_that_refusals_name_is_not_believed_beside_the_one_that_headers_show() -> None:
    credence = knowing(5_000)
    for _ in range(3):
        assert credence.believable(stated(300_000), lambda: 10).snapshot is None
        assert credence.believable(shown(5_000), lambda: 10).readings
