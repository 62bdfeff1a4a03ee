import pytest

from headrace.broker.core.budget.inflow import Inflow
from tests.unit.core.inflows import TEN_A_MS, charge_of, inflow, line_of


def test_those_who_are_lost_leave_nothing_ahead_of_others() -> None:
    _, tickets = line_of((600, 51), (600, 51), (10, 52), (9, 53))
    for each in tickets:
        each.least = each.charge
    assert inflow().unreachable(tickets, 0) == ([tickets[1]], 619)
    assert inflow().unreachable(tickets, 11) == (tickets[:2], 30)


@pytest.mark.parametrize("another", [Inflow(((1, 20),), (100,), charge_of, 0), Inflow(TEN_A_MS, (100,), charge_of, 1)])
def test_a_slack_holds_while_rates_and_evidence_are_the_same(another: Inflow) -> None:
    assert inflow(now_ms=50).measure == inflow().measure
    assert another.measure != inflow().measure


@pytest.mark.parametrize(("deadline_ms", "is_out"), [(59, True), (60, True), (61, False)])
def test_a_turn_that_comes_at_the_deadline_comes_too_late(deadline_ms: int, *, is_out: bool) -> None:
    assert inflow(now_ms=10).is_unreachable(600, deadline_ms) is is_out


@pytest.mark.parametrize(("missing", "deadline_ms", "is_out"), [(9, 1, False), (10, 1, True), (19, 2, False)])
def test_tokens_that_flow_in_between_two_milliseconds_are_there_at_the_first(
    missing: int, deadline_ms: int, *, is_out: bool
) -> None:
    assert inflow().is_unreachable(100 + missing, deadline_ms) is is_out


def test_of_several_buckets_the_one_in_which_least_is_left_tells() -> None:
    day = Inflow(((1, 10), (1_000, 10)), (100, 100_000), charge_of, 0)
    assert not day.is_unreachable(100, 1)
    assert [day.is_unreachable(101, at_ms) for at_ms in (100, 101)] == [True, False]
