from dataclasses import replace
from itertools import pairwise

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, LimitMetric
from headrace.broker.core.answers.verdict import Answer, Meaning, judge
from headrace.broker.core.bounds import (
    HOLD_FIRST_MS,
    HOLD_MAX_MS,
    HOLD_MIN_MS,
    HOLD_TROUBLE_AFTER_MS,
    RETURN_BEFORE_DEADLINE_MS,
)
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.commands import Decision, Fail, Park
from headrace.broker.core.config import LaneRule, TenantRule
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.requests.in_flight import CallsInFlight
from headrace.broker.core.requests.outbox import Outbox
from headrace.broker.core.requests.parking import ParkingPolicy
from headrace.broker.core.requests.registry import TicketRegistry
from headrace.broker.core.requests.settling import Settling
from headrace.broker.core.ticket import State, Ticket
from tests.unit.core.blaming import ended
from tests.unit.core.specimens import HOUR_MS, budget, candidate, rules, ticket, verdict

NOW = 100_000
LANES = (LaneRule("urgent", 0, 0, 0, 10, 1_000), LaneRule("standard", 1, 0, 0, 10, 1_000))
PACE_MS = 100  # of a charge of 100 tokens, by a limit of a thousand a second


class Bench:
    """Two lanes whose buffers hold ten, and whoever waits in them."""

    def __init__(self, lanes: tuple[LaneRule, ...] = LANES, tenants: Tenants | None = None) -> None:
        self.registry = TicketRegistry(lanes)
        self.limits = Scheduler(lanes, budget, tenants)
        self.outbox = Outbox()
        flights = CallsInFlight(inflight_max=10, held_bytes_max=1 << 30)
        self.settling = Settling(self.registry, self.limits, flights, self.outbox, first_lane="urgent")
        settings = rules(lanes=lanes, parked_bytes_max=900)
        self.holding = ParkingPolicy(self.registry, self.limits, self.settling, settings, decided=self.outbox.__len__)
        self._offset = 0

    def enqueue(
        self, count: int, limit: str = "shut", *, lane: str = "standard", tier: str = "", images: int = 0, **fields: int
    ) -> list[Ticket]:
        made = []
        for _ in range(count):
            size = fields.pop("size", 10)
            content = candidate(limit=limit, **fields)  # type: ignore[arg-type]  # every field given is a whole number
            content = replace(content, tier=tier, prices=replace(content.prices, images=images))
            one = ticket(content, lane=lane, offset=self._offset, size=size)
            self._offset += 1
            fields["size"] = size
            self.registry.add(one)
            self.limits.enqueue(one, NOW)
            made.append(one)
        self.holding.request_check()
        return made

    def pause(self, limit: str = "shut", until_ms: int = HOUR_MS) -> None:
        self.limits.limit_queue(limit, NOW).budget.pause_until(until_ms)

    def relieve(self, now_ms: int = NOW, *, may_park: bool = True) -> list[Decision]:
        """What it decides now."""
        before = set(self.outbox._waiting)
        self.holding.relieve(now_ms, may_park=may_park)
        return [each.decision for each in self.outbox._waiting.values() if each.ticket not in before]

    def waiting(self, lane: str = "standard", limit: str = "shut") -> int:
        return len(self.limits.limit_queue(limit, NOW).lanes.queue(lane))


def parks(decisions: list[Decision]) -> list[Park]:
    assert all(isinstance(each, Park) for each in decisions)
    return [each for each in decisions if isinstance(each, Park)]


# Which limits are shut


def test_half_a_buffer_stays_and_the_newest_of_the_rest_leave() -> None:
    bench = Bench()
    made = bench.enqueue(8)
    assert bench.relieve() == [], "nobody is shut out"
    bench.pause()
    bench.holding.request_check()
    decided = parks(bench.relieve())
    assert [each.state is State.SETTLED for each in made] == [False] * 5 + [True] * 3
    assert {each.kind for each in decided} == {"rate_limited"}
    assert bench.waiting() == 5


def test_half_a_buffer_in_bytes_counts_as_well() -> None:
    bench = Bench()
    bench.enqueue(4, size=240)
    bench.pause()
    assert len(bench.relieve()) == 2
    assert bench.waiting() == 2


def test_a_buffer_that_is_half_empty_is_nobodys_business() -> None:
    bench = Bench()
    bench.enqueue(5)
    bench.pause()
    assert bench.relieve() == []


def test_where_nobody_waits_a_full_buffer_is_full_of_those_who_are_served() -> None:
    bench = Bench()
    made = bench.enqueue(8)
    bench.pause()
    for one in made:
        bench.limits.withdraw(one, NOW)
    assert bench.relieve() == []


def test_a_pause_that_can_be_sat_out_parks_nobody() -> None:
    bench = Bench()
    bench.enqueue(8)
    bench.pause(until_ms=NOW + 60_000)
    assert bench.relieve() == []
    bench.pause(until_ms=NOW + 60_001)
    bench.holding.request_check()
    assert len(bench.relieve()) == 3


def test_requests_of_other_limits_stay_and_those_of_all_shut_ones_share_the_half() -> None:
    bench = Bench()
    bench.enqueue(4, "open")
    bench.enqueue(3, "shut")
    bench.enqueue(3, "closed")
    for name in ("shut", "closed"):
        bench.pause(name)
    assert len(bench.relieve()) == 1
    assert bench.waiting(limit="open") == 4
    assert bench.waiting(limit="shut") + bench.waiting(limit="closed") == 5


def test_each_lane_has_a_half_of_its_own() -> None:
    bench = Bench()
    bench.enqueue(8, lane="urgent")
    bench.enqueue(5)
    bench.pause()
    bench.relieve()
    assert (bench.waiting("urgent"), bench.waiting()) == (5, 5)


def test_waiting_for_the_tokens_of_a_minute_shuts_nothing() -> None:
    bench = Bench()
    mirror = bench.limits.limit_queue("shut", NOW).budget
    mirror.reserve(1, 60_000, NOW)
    bench.enqueue(8)
    assert bench.relieve() == []


def test_a_days_images_that_are_used_up_park_the_requests_that_have_some() -> None:
    """By their charge alone they seemed payable, and filled the buffer until the next day."""
    for images, parked in ((1, 3), (0, 0)):
        bench = Bench()
        sides = bench.limits.limit_queue("shut", NOW).budget.sides
        sides.inherit((LevelBounds(LimitMetric.TOKENS, 0, 0, 24, DAY_MS, kind="input-images"),), NOW)
        bench.enqueue(8, images=images)
        assert len(back := [each.not_before_ms for each in parks(bench.relieve())]) == parked
        assert all(at_ms >= NOW + HOUR_MS for at_ms in back), "24 a day"


def test_a_limits_own_trouble_shuts_it_only_after_some_seconds() -> None:
    bench = Bench()
    bench.enqueue(8)
    bench.limits.limit_queue("shut", NOW).budget.breaker.trip(Meaning.OVERLOADED, NOW, 500)
    assert bench.relieve(NOW + HOLD_TROUBLE_AFTER_MS - 1) == []
    bench.holding.request_check()
    decided = parks(bench.relieve(NOW + HOLD_TROUBLE_AFTER_MS))
    assert {each.kind for each in decided} == {"overloaded"}
    assert min(each.not_before_ms for each in decided) == NOW + HOLD_TROUBLE_AFTER_MS + HOLD_FIRST_MS


@pytest.mark.parametrize("meaning", [Meaning.QUOTA, Meaning.AUTH])
def test_an_account_shuts_the_limits_that_blame_it_once_it_has_rested_as_long_as_a_retry_may_wait(
    meaning: Meaning,
) -> None:
    bench = Bench()
    bench.enqueue(4, "shut")
    bench.enqueue(4, "open")
    bench.limits.account.observe(bench.limits.limit_queue("shut", NOW).budget, ended(meaning), NOW)
    bench.enqueue(4, "shut")
    assert bench.relieve(NOW + 59_999) == []
    bench.holding.request_check()
    decided = parks(bench.relieve(NOW + 60_000))
    assert [each.kind for each in decided] == [meaning.value] * 3
    assert bench.waiting(limit="open") == 4


# When they come back


def test_nobody_comes_back_before_the_limit_opens_and_then_one_after_the_other_at_its_pace() -> None:
    bench = Bench()
    bench.enqueue(8)
    bench.enqueue(7, lane="urgent")
    bench.pause()
    decided = parks(bench.relieve())
    back = sorted(each.not_before_ms - HOUR_MS for each in decided)
    assert back == [0, 0, PACE_MS, PACE_MS, 2 * PACE_MS], (
        "each lane by itself: the bulk of a backlog delays no urgent one"
    )


def test_who_comes_back_to_a_shut_limit_lines_up_behind_those_parked_before() -> None:
    bench = Bench()
    bench.enqueue(8)
    bench.pause()
    bench.relieve()
    bench.enqueue(2)
    later = parks(bench.relieve(NOW + 1))
    assert [each.not_before_ms - HOUR_MS for each in later] == [3 * PACE_MS, 4 * PACE_MS]


def test_turns_that_have_passed_are_forgotten() -> None:
    bench = Bench()
    for number in range(220):
        name = f"limit-{number}"
        bench.enqueue(6, name)
        bench.pause(name, NOW + 70_000)
        bench.relieve()
        for each in list(bench.registry.tickets()):
            bench.settling.withdraw(each, 0)
            bench.registry.remove(each)
        del bench.limits.limit_queues()[name]
    assert len(bench.holding._next_return_ms) == 220
    bench.enqueue(6)
    bench.pause(until_ms=2 * HOUR_MS)
    bench.relieve(NOW + HOUR_MS)
    assert len(bench.holding._next_return_ms) == 1


def test_a_breaker_is_taken_to_stay_open_as_long_as_it_has_been() -> None:
    for open_ms, wait_ms in ((20_000, 20_000), (600_000, 600_000), (5 * HOUR_MS, HOLD_MAX_MS)):
        bench = Bench()
        bench.enqueue(6)
        bench.limits.limit_queue("shut", NOW).budget.breaker.trip(Meaning.TIMEOUT, NOW, 500)
        (park,) = parks(bench.relieve(NOW + open_ms))
        assert park.not_before_ms == NOW + open_ms + wait_ms


def test_a_longer_rest_is_waited_for() -> None:
    bench = Bench()
    bench.enqueue(6)
    bench.limits.limit_queue("shut", NOW).budget.breaker.trip(Meaning.OVERLOADED, NOW, 4 * HOUR_MS)
    (park,) = parks(bench.relieve(NOW + HOLD_TROUBLE_AFTER_MS))
    assert park.not_before_ms == NOW + 4 * HOUR_MS


def test_a_guess_brings_a_request_back_before_its_deadline() -> None:
    for left_ms, spare_ms in ((HOUR_MS, RETURN_BEFORE_DEADLINE_MS), (60_000, 30_000)):
        bench = Bench()
        now_ms = NOW + 5 * HOUR_MS
        bench.enqueue(6, deadline_ms=now_ms + left_ms)
        bench.limits.limit_queue("shut", NOW).budget.breaker.trip(Meaning.TIMEOUT, NOW, 8 * HOUR_MS)
        (park,) = parks(bench.relieve(now_ms))
        assert park.not_before_ms == now_ms + left_ms - spare_ms


def test_who_could_only_come_back_at_once_stays() -> None:
    bench = Bench()
    bench.enqueue(6, deadline_ms=NOW + 60_000 + 2 * HOLD_MIN_MS - 2)
    bench.limits.limit_queue("shut", NOW).budget.breaker.trip(Meaning.TIMEOUT, NOW, HOUR_MS)
    assert bench.relieve(NOW + 60_000) == []


def test_a_limit_is_not_shut_because_a_tenants_cap_is_reached() -> None:
    bench = Bench(tenants=Tenants(others=TenantRule(inflight_max=1)))
    bench.limits.tenants.record_start("", 1, NOW)
    bench.enqueue(8)
    bench.pause()
    assert bench.relieve() == []


def test_a_limit_that_is_known_to_open_after_the_deadline_fails_the_request_now() -> None:
    bench = Bench()
    bench.enqueue(5, deadline_ms=HOUR_MS - 1)
    bench.enqueue(1, deadline_ms=HOUR_MS)
    bench.enqueue(1, deadline_ms=HOUR_MS + 1)
    bench.pause()
    late, park = sorted(bench.relieve(), key=lambda each: isinstance(each, Park))
    assert isinstance(late, Fail)
    assert late.reason == "deadline_exceeded"
    assert isinstance(park, Park)
    assert park.not_before_ms == HOUR_MS, "not before it opens, however little time is left"


def refused_for_a_day(bench: Bench, unit: str) -> None:
    """A call is told of a limit of 3,000 a day, all of it used, and to try again in five minutes."""
    desk = bench.limits.limit_queue("shut", NOW).budget
    desk.reserve(1, 2_000, NOW)
    said = "Limit 3000, Used 3000. Please try again in 300s."
    text = f"Rate limit reached for m in organization o on {unit} per day: {said}"
    desk.record_answer(1, NOW, judge(Answer(429, {}, "rate_limit_exceeded", unit, None, text)))
    assert desk.paused_until_ms == NOW + 300_000


def test_a_limit_per_day_of_which_a_single_refusal_tells_fails_nothing_that_falls_due_before_it_opens() -> None:
    bench = Bench()
    refused_for_a_day(bench, "tokens")
    bench.enqueue(8, charge=2_000, deadline_ms=NOW + HOUR_MS)
    back = [each.not_before_ms for each in parks(bench.relieve())]
    assert back == [NOW + HOUR_MS - RETURN_BEFORE_DEADLINE_MS] * 3


@pytest.mark.parametrize("unit", ["tokens", "requests"])
def test_the_pause_of_the_same_refusal_lasts_whatever_comes_and_fails_what_falls_due_within_it(unit: str) -> None:
    bench = Bench()
    refused_for_a_day(bench, unit)
    bench.enqueue(6, charge=2_000, deadline_ms=NOW + 300_000)
    (late,) = bench.relieve()
    assert isinstance(late, Fail)
    bench.enqueue(1, charge=2_000, deadline_ms=NOW + 300_001)
    (park,) = parks(bench.relieve())
    assert park.not_before_ms == NOW + 300_000, "not within the pause, however little time is left"


def test_a_pause_that_a_measured_rate_does_not_keep_parks_and_fails_nothing() -> None:
    """Before: what fell due within it was failed, once an overloaded server had asked to wait for some minutes."""
    bench = Bench()
    desk = bench.limits.limit_queue("shut", NOW).budget
    desk.guide.inherit(20_000, NOW)
    bench.pause()
    bench.enqueue(8, charge=100, deadline_ms=HOUR_MS - 1)
    assert bench.relieve() == []
    desk.reserve(1, 60, NOW)
    desk.record_answer(1, NOW, verdict(Meaning.OVERLOADED, wait_ms=600_000))
    bench.enqueue(1, charge=100, deadline_ms=HOUR_MS - 1)
    back = [each.not_before_ms for each in parks(bench.relieve())]
    assert back[0] == NOW + 600_000
    assert {later - sooner for sooner, later in pairwise(back)} == {300}, "at the measured rate"


# Who stays


def test_a_parking_costs_no_attempt_and_raises_the_number_every_time() -> None:
    for attempt, calls, expected in ((0, 0, 0), (0, 2, 2), (1, 0, 1), (3, 0, 3), (3, 1, 3), (3, 2, 4)):
        bench = Bench()
        for each in bench.enqueue(6, attempt=attempt):
            each.calls, each.failures = calls, 1
        bench.pause()
        (park,) = parks(bench.relieve())
        assert (park.attempts, park.failures) == (expected, 1)


def test_nobody_leaves_a_serial_lane() -> None:
    bench = Bench((LANES[0], replace(LANES[1], serial=True)))
    bench.enqueue(8)
    bench.pause()
    assert bench.relieve() == []


def test_when_too_much_is_parked_already_everybody_stays() -> None:
    bench = Bench()
    bench.enqueue(8)
    bench.pause()
    assert bench.relieve(may_park=False) == []
