"""Which requests of shut limits leave, and when it is looked at at all."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, LimitMetric
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import HELD_LOOKED_AT, HOLD_MIN_MS, HOLD_TROUBLE_AFTER_MS
from headrace.broker.core.budget.budget import Checkpoint
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.tier_breaker import CallToTier
from headrace.broker.core.identity.outcome_index import ATTEMPT_MAX
from headrace.broker.core.ticket import ModelTier, State, Ticket
from tests.unit.core.requests.test_parking import LANES, NOW, Bench, parks
from tests.unit.core.requests.test_parking_bounds import cramped
from tests.unit.core.specimens import HOUR_MS, budget, verdict


def test_nothing_is_looked_at_before_something_has_changed() -> None:
    bench = Bench()
    bench.enqueue(8)
    assert bench.relieve() == []
    bench.pause()
    assert bench.relieve() == [], "a buffer that was looked at has not grown since"
    bench.holding.request_check()
    assert len(bench.relieve()) == 3


def test_a_commit_is_remembered_until_it_is_looked_at() -> None:
    bench = Bench()
    cramped(bench)
    bench.pause()
    bench.holding.request_check(committed=True)
    bench.enqueue(1)
    assert len(parks(bench.relieve())) == 1, "that a request came afterwards changes nothing"


def test_a_commit_that_was_looked_at_is_past() -> None:
    bench = Bench()
    cramped(bench)
    bench.holding.request_check(committed=True)
    assert bench.relieve() == []
    bench.enqueue(1)
    bench.pause()
    assert bench.relieve() == []


def test_a_limit_without_waiting_requests_is_not_called_shut() -> None:
    bench = Bench()
    (waiting,) = bench.enqueue(1)
    bench.limits.limit_queue("shut", NOW).budget.breaker.trip(Meaning.TIMEOUT, NOW, HOUR_MS)
    assert list(bench.holding.unavailable(NOW + 60_000)) == [("shut", None)]
    bench.limits.withdraw(waiting, NOW)
    assert bench.holding.unavailable(NOW + 60_000) == {}


@pytest.mark.parametrize(("left", "stated", "is_shut"), [(1_500, False, True), (1_500, True, False), (900, True, True)])
def test_a_limit_per_day_is_shut_by_what_its_next_call_will_pay(left: int, *, stated: bool, is_shut: bool) -> None:
    bench = Bench()
    day = LevelBounds(LimitMetric.TOKENS, left, left, 3_000, DAY_MS)
    known = Checkpoint("shut", NOW, (day,), 0, 0, markup_ppm=2_000_000)
    bench.limits.limit_queue("shut", NOW).budget = budget("shut", NOW, known)
    (waiting,) = bench.enqueue(1, charge=1_000)
    waiting.stated = stated  # a charge that the server has stated is not marked up
    assert (bench.holding.unavailable(NOW).keys() == {("shut", None)}) == is_shut


def test_the_shut_limit_with_the_longest_line_gives_first() -> None:
    bench = Bench()
    bench.enqueue(2, "shut")
    bench.enqueue(7, "closed")
    for name in ("shut", "closed"):
        bench.pause(name)
    assert len(bench.relieve()) == 4
    assert (bench.waiting(limit="shut"), bench.waiting(limit="closed")) == (2, 3)


def test_exactly_half_a_buffer_in_bytes_stays() -> None:
    bench = Bench()
    bench.enqueue(2, size=250)
    bench.enqueue(1, "open")
    bench.pause()
    assert bench.relieve() == []
    bench.enqueue(1, size=1)
    assert len(bench.relieve()) == 1


@pytest.mark.parametrize(("size", "leaves"), [(900, True), (901, False)])
def test_a_request_leaves_up_to_the_weight_that_a_parked_one_may_have(size: int, *, leaves: bool) -> None:
    bench = Bench()
    bench.enqueue(5)
    (heavy,) = bench.enqueue(1, size=size)
    bench.pause()
    bench.relieve()
    assert (heavy.state is State.SETTLED) == leaves


@pytest.mark.parametrize(("least_ms", "leaves"), [(HOLD_MIN_MS, True), (HOLD_MIN_MS - 1, False)])
def test_a_request_is_parked_if_it_can_stay_away_for_the_least_time_that_is_worth_it(
    least_ms: int, *, leaves: bool
) -> None:
    bench = Bench()
    now_ms = NOW + 60_000
    bench.enqueue(6, deadline_ms=now_ms + 2 * least_ms)
    bench.limits.limit_queue("shut", NOW).budget.breaker.trip(Meaning.TIMEOUT, NOW, HOUR_MS)
    decided = parks(bench.relieve(now_ms))
    assert [each.not_before_ms for each in decided] == ([now_ms + least_ms] if leaves else [])


def test_who_is_too_heavy_or_has_been_parked_too_often_stays_and_another_leaves_for_it() -> None:
    bench = Bench()
    light = bench.enqueue(3)
    bench.enqueue(2, size=901)
    bench.enqueue(1, attempt=ATTEMPT_MAX)
    bench.pause()
    parks(bench.relieve())
    assert {each.state for each in light} == {State.SETTLED}
    assert bench.waiting() == 3, "though they weigh more than half a buffer"


def test_no_further_is_looked_than_a_bound() -> None:
    bench = Bench((replace(LANES[0], buffer_max=1_000), replace(LANES[1], buffer_max=400, buffer_bytes_max=1 << 30)))
    bench.enqueue(10)
    bench.enqueue(HELD_LOOKED_AT, size=901)
    bench.pause()
    assert bench.relieve() == []


FLEX = ModelTier("gpt", "flex")


def rests(bench: Bench, count: int) -> list[Ticket]:
    """So many requests wait apart, because their service tier rests."""
    breakers = bench.limits.limit_queue("shut", NOW).budget.tiers
    for _ in range(3):
        breakers.observe(CallToTier(FLEX, verdict(Meaning.TIER_UNAVAILABLE), NOW, False, lambda *_: False), NOW, 0.5)
    return bench.enqueue(count, tier="flex")


def test_a_service_tier_is_shut_once_it_has_rested_for_ten_seconds() -> None:
    bench = Bench()
    rests(bench, 8)
    assert bench.holding.unavailable(NOW + HOLD_TROUBLE_AFTER_MS - 1) == {}
    reason = bench.holding.unavailable(NOW + HOLD_TROUBLE_AFTER_MS)
    assert list(reason) == [("shut", FLEX)]
    assert reason["shut", FLEX].kind == "overloaded"
    decided = parks(bench.relieve(NOW + HOLD_TROUBLE_AFTER_MS))
    assert len(decided) == 3
    assert bench.limits.limit_queue("shut", NOW).tier_lanes[FLEX].waiting() == 5


def test_requests_of_other_tiers_of_that_limit_stay() -> None:
    bench = Bench()
    others = bench.enqueue(4)
    rests(bench, 4)
    assert bench.relieve(NOW + HOLD_TROUBLE_AFTER_MS) == []
    rests(bench, 2)
    assert len(parks(bench.relieve(NOW + HOLD_TROUBLE_AFTER_MS))) == 1
    assert all(waiting.state is State.WAITING for waiting in others)


def test_requests_that_wait_for_a_tier_of_a_shut_limit_are_shut_with_it() -> None:
    bench = Bench()
    bench.enqueue(1)
    rests(bench, 6)
    bench.pause()
    assert list(bench.holding.unavailable(NOW)) == [("shut", None), ("shut", FLEX)]


def test_those_that_wait_for_a_resting_tier_leave_a_partition_whose_map_is_nearly_used_up() -> None:
    bench = Bench()
    cramped(bench)
    waiting = rests(bench, 2)
    other = bench.enqueue(1)
    bench.holding.request_check(committed=True)
    decided = parks(bench.relieve(NOW + HOLD_TROUBLE_AFTER_MS))
    assert len(decided) == len(waiting)
    assert other[0].state is State.WAITING


def test_a_tier_without_waiting_requests_is_not_called_shut() -> None:
    bench = Bench()
    for waiting in rests(bench, 2):
        bench.limits.withdraw(waiting, NOW)
    assert bench.holding.unavailable(NOW + HOLD_TROUBLE_AFTER_MS) == {}
