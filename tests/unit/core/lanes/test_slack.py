from itertools import count

import pytest

from broker.core.budget.inflow import Inflow
from broker.core.lanes.slack import Slack
from broker.core.ticket import Ticket
from tests.unit.core.inflows import TEN_A_MS, charge_of, inflow, line_of


def measured(*charges_and_deadlines: tuple[int, int]) -> tuple[Slack, list[Ticket]]:
    _, tickets = line_of(*charges_and_deadlines)
    for each in tickets:
        each.least = each.charge
    return Slack(TEN_A_MS, tickets), tickets


def bar_of(slack: Slack) -> int:
    """The highest bar at which somebody of its block may be out."""
    return next(bar for bar in count(10_000, -1) if slack.may_be_out(0, (bar,)))


def test_those_who_are_lost_leave_nothing_ahead_of_others() -> None:
    _, tickets = measured((600, 51), (600, 51), (10, 52), (9, 53))
    assert inflow().lost(tickets, 0) == ([tickets[1]], 619)
    assert inflow().lost(tickets, 11) == (tickets[:2], 30)


@pytest.mark.parametrize("another", [Inflow(((1, 20),), (100,), charge_of, 0), Inflow(TEN_A_MS, (100,), charge_of, 1)])
def test_a_slack_holds_while_rates_and_evidence_are_the_same(another: Inflow) -> None:
    assert inflow(now_ms=50).measure == inflow().measure
    assert another.measure != inflow().measure


@pytest.mark.parametrize(("deadline_ms", "is_out"), [(59, True), (60, True), (61, False)])
def test_a_turn_that_comes_at_the_deadline_comes_too_late(deadline_ms: int, *, is_out: bool) -> None:
    assert inflow(now_ms=10).is_out(600, deadline_ms) is is_out


@pytest.mark.parametrize(("missing", "deadline_ms", "is_out"), [(9, 1, False), (10, 1, True), (19, 2, False)])
def test_tokens_that_flow_in_between_two_milliseconds_are_there_at_the_first(
    missing: int, deadline_ms: int, *, is_out: bool
) -> None:
    assert inflow().is_out(100 + missing, deadline_ms) is is_out


def test_of_several_buckets_the_one_in_which_least_is_left_tells() -> None:
    day = Inflow(((1, 10), (1_000, 10)), (100, 100_000), charge_of, 0)
    assert not day.is_out(100, 1)
    assert [day.is_out(101, at_ms) for at_ms in (100, 101)] == [True, False]


def test_who_comes_behind_all_others_is_reckoned_exactly() -> None:
    slack, _ = measured((100, 1), (200, 50))
    _, (more,) = measured((300, 60))
    slack.append(more)
    again, _ = measured((100, 1), (200, 50), (300, 60))
    assert (slack.tokens, bar_of(slack)) == (again.tokens, bar_of(again))


def test_who_comes_between_moves_all_behind_it_back() -> None:
    slack, _ = measured((100, 100), (300, 60))
    _, (between,) = measured((200, 110))
    slack.insert(between)
    again, _ = measured((100, 100), (200, 110), (300, 60))
    assert (slack.tokens, bar_of(slack)) == (again.tokens, bar_of(again))


def test_who_comes_between_may_be_the_nearest_itself() -> None:
    slack, _ = measured((100, 100), (300, 900))
    _, (between,) = measured((200, 20))
    slack.insert(between)
    exactly, _ = measured((100, 100), (200, 20), (300, 900))
    assert bar_of(slack) >= bar_of(exactly)


def test_when_the_first_leaves_all_others_move_up() -> None:
    slack, tickets = measured((100, 100), (200, 50), (300, 60))
    slack.behead(tickets[0])
    again, _ = measured((200, 50), (300, 60))
    assert (slack.tokens, bar_of(slack)) == (again.tokens, bar_of(again))


def test_when_another_leaves_those_before_it_are_as_near_as_they_were() -> None:
    slack, tickets = measured((100, 10), (200, 500), (300, 900))
    before = bar_of(slack)
    slack.leave(tickets[1])
    again, _ = measured((100, 10), (300, 900))
    assert (slack.tokens, bar_of(slack)) == (again.tokens, bar_of(again))
    assert bar_of(slack) == before


def test_the_block_ahead_counts_for_all() -> None:
    slack, _ = measured((600, 60))
    assert bar_of(slack) == 0
    assert [slack.may_be_out(ahead, (100,)) for ahead in (99, 100)] == [False, True]
