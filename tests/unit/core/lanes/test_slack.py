from itertools import count

from headrace.broker.core.lanes.slack import Slack
from headrace.broker.core.ticket import Ticket
from tests.unit.core.inflows import TEN_A_MS, line_of


def measured(*charges_and_deadlines: tuple[int, int]) -> tuple[Slack, list[Ticket]]:
    _, tickets = line_of(*charges_and_deadlines)
    for each in tickets:
        each.least = each.charge
    return Slack(TEN_A_MS, tickets), tickets


def bar_of(slack: Slack) -> int:
    """The highest bar at which somebody of its block may be out."""
    return next(bar for bar in count(10_000, -1) if slack.may_be_unreachable(0, (bar,)))


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
    slack.remove_first(tickets[0])
    again, _ = measured((200, 50), (300, 60))
    assert (slack.tokens, bar_of(slack)) == (again.tokens, bar_of(again))


def test_when_another_leaves_those_before_it_are_as_near_as_they_were() -> None:
    slack, tickets = measured((100, 10), (200, 500), (300, 900))
    before = bar_of(slack)
    slack.remove(tickets[1])
    again, _ = measured((100, 10), (300, 900))
    assert (slack.tokens, bar_of(slack)) == (again.tokens, bar_of(again))
    assert bar_of(slack) == before


def test_the_block_ahead_counts_for_all() -> None:
    slack, _ = measured((600, 60))
    assert bar_of(slack) == 0
    assert [slack.may_be_unreachable(ahead, (100,)) for ahead in (99, 100)] == [False, True]
