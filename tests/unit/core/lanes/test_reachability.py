from headrace.broker.core.bounds import LOOKS_SWEPT_ABOVE, REACH_EVERY_MS
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.lanes.reachability import ReachabilityChecks, unreachable_late
from headrace.broker.core.lanes.tenant_queue import TenantQueue
from headrace.broker.core.ticket import Ticket
from tests.unit.core.budgets import SETTINGS, UNKNOWN, full
from tests.unit.core.inflows import charge_of, inflow
from tests.unit.core.specimens import candidate, ticket


class Watched:
    """A line under a bucket of 60,000 that refills by one a millisecond."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.reach = ReachabilityChecks()
        self.line = TenantQueue()
        self.budget = budget or full(SETTINGS)

    def come(self, charge: int, deadline_ms: int, now_ms: int = 0) -> Ticket:
        made = ticket(candidate(charge=charge, deadline_ms=deadline_ms))
        self.line.add(made)
        self.reach.schedule(made, self.line, self.budget, charge_of, now_ms)
        return made

    def spend(self, charge: int, now_ms: int) -> None:
        """By somebody of another lane."""
        self.budget.reserve(1 + self.budget.inflight, charge, now_ms)

    def looks(self, until_ms: int) -> list[int]:
        """When the line is looked over without anybody being lost."""
        seen: list[int] = []
        while (at_ms := self.reach.check_at_ms) is not None and at_ms <= until_ms:
            assert self.reach.unreachable(at_ms) == []
            seen.append(at_ms)
        return seen


def test_of_the_late_each_comes_after_all_who_are_not_and_none_after_another() -> None:
    late = [ticket(candidate(charge=100, deadline_ms=at)) for at in (40, 41)]
    assert unreachable_late(late, 400, inflow()) == [late[0]]
    assert unreachable_late(late, 399, inflow()) == []


def test_who_has_no_chance_is_found_at_the_next_look() -> None:
    watched = Watched()
    lost = watched.come(61_000, 1_000)
    assert watched.reach.check_at_ms == 0
    assert watched.reach.unreachable(0) == [lost]
    assert watched.reach.check_at_ms == REACH_EVERY_MS, "as long as it is not taken out"


def test_a_line_is_looked_over_after_half_of_the_time_in_which_all_must_be_well() -> None:
    watched = Watched()
    watched.come(1_000, 9_000)  # were the bucket empty, they would have to begin to flow in at 8,000
    assert watched.looks(8_000) == [4_000, 6_000, 7_000, 7_500, 7_750, 8_000]


def test_what_others_spend_meanwhile_is_noticed_when_it_matters() -> None:
    watched = Watched()
    last = watched.come(10_000, 9_500)
    assert watched.looks(200) == [0]
    watched.spend(60_000, 200)
    assert watched.reach.check_at_ms == REACH_EVERY_MS
    assert watched.reach.unreachable(REACH_EVERY_MS) == [last]


def test_who_comes_later_brings_the_next_look_forward_only_if_it_must() -> None:
    watched = Watched()
    watched.come(1_000, 100_000)
    assert watched.reach.check_at_ms == 49_500
    watched.come(1_000, 100_000)
    assert watched.reach.check_at_ms == 49_500
    lost = watched.come(1_000, 1_100)
    assert watched.reach.check_at_ms == 0
    watched.spend(60_000, 0)
    watched.line.remove(lost)
    assert watched.looks(80_000) == [0, 49_000, 49_500, 73_500], "at 49,500 a look was planned that came earlier"


def test_a_line_in_which_nobody_waits_any_more_is_not_looked_over() -> None:
    watched = Watched()
    watched.line.remove(watched.come(61_000, 1_000))
    assert watched.reach.unreachable(0) == []
    assert watched.reach.check_at_ms is None


def test_nothing_is_out_of_reach_while_nothing_is_known() -> None:
    watched = Watched(Budget(UNKNOWN, 0, None))
    watched.come(10**9, 5)
    assert watched.reach.check_at_ms is None


def test_lines_in_which_nobody_waits_any_more_are_forgotten_and_the_others_kept() -> None:
    watched = Watched()
    kept = watched.come(61_000, 30_000)
    for _ in range(3 * LOOKS_SWEPT_ABOVE):
        line = TenantQueue()
        gone = ticket(candidate(charge=1, deadline_ms=90_000))
        line.add(gone)
        watched.reach.schedule(gone, line, watched.budget, charge_of, 0)
        line.remove(gone)
    assert len(watched.reach._agenda) <= LOOKS_SWEPT_ABOVE + 3
    watched.spend(60_000, 0)
    assert watched.reach.unreachable(0) == [kept]
