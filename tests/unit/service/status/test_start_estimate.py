"""How long until a request can be paid and finds a place, with numbers one can follow: a thousand tokens a second."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.budget.breaker import Breaker
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.config import TenantRule
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.requests.in_flight import CallsInFlight
from headrace.broker.service.status.queue_position import QueueTotals
from headrace.broker.service.status.start_estimate import cap_lets_through_ms, flows_in_ms, lets_through_ms
from tests.unit.core.budgets import failure
from tests.unit.core.specimens import budget, candidate, ticket

TOKENS = LevelBounds(LimitMetric.TOKENS, 2_000, 2_000, 60_000, MINUTE_MS)
REQUESTS = LevelBounds(LimitMetric.REQUESTS, 1, 1, 60, MINUTE_MS)
WELL = Breaker()


def left(
    *levels: LevelBounds,
    charged: int = 0,
    pause_ms: int = 0,
    cap_tokens: int | None = None,
    measured: int | None = None,
) -> Budget:
    checkpoint = Checkpoint(
        "gpt",
        0,
        levels,
        charged,
        pause_ms,
        1_000_000,
        tolerated_burst_tokens=60_000,
        measured_tokens_per_minute=measured,
    )
    return Budget(LimitBeliefs("gpt", None, None, cap_tokens=cap_tokens), 0, checkpoint)


def test_what_is_there_pays_at_once_and_the_rest_flows_in() -> None:
    assert flows_in_ms(left(TOKENS), QueueTotals(1, 2_000), 0, 0) == 0
    assert flows_in_ms(left(TOKENS), QueueTotals(1, 5_000), 0, 0) == 3_000


def test_a_share_that_is_kept_must_flow_in_besides() -> None:
    assert flows_in_ms(left(TOKENS), QueueTotals(1, 2_000), 50_000, 0) == 3_000


def test_the_slowest_bucket_tells() -> None:
    assert flows_in_ms(left(TOKENS, REQUESTS), QueueTotals(11, 2_000), 0, 0) == 10_000


def test_a_pause_is_the_least() -> None:
    assert flows_in_ms(left(TOKENS, pause_ms=7_000), QueueTotals(1, 5_000), 0, 0) == 7_000


def test_an_own_cap_lets_through_what_it_allows_a_minute() -> None:
    capped = left(TOKENS, charged=500, cap_tokens=600)
    assert flows_in_ms(capped, QueueTotals(1, 60), 0, 0) == 0  # its bucket holds as much
    assert flows_in_ms(capped, QueueTotals(1, 70), 0, 0) == 1_000
    assert flows_in_ms(capped, QueueTotals(1, 160), 0, 0) == 10_000
    spent = left(TOKENS, charged=590, cap_tokens=600)
    assert flows_in_ms(spent, QueueTotals(1, 60), 0, 0) == 5_000  # beyond the sum of this minute


def test_where_a_share_of_the_rate_is_spent_it_takes_the_longer() -> None:
    whole = left(TOKENS)
    cut = left(TOKENS)
    assert cut._calibration.burst is not None
    cut._calibration.burst.share_ppm = 500_000
    assert flows_in_ms(cut, QueueTotals(1, 5_000), 0, 0) == 2 * flows_in_ms(whole, QueueTotals(1, 5_000), 0, 0)


@pytest.mark.parametrize("reserved_ppm", [0, 500_000])
def test_a_measured_rate_lets_through_what_it_allows_whatever_levels_pauses_and_reserves_say(reserved_ppm: int) -> None:
    empty = replace(TOKENS, low=0, high=0)
    measured = left(empty, REQUESTS, pause_ms=3_600_000, measured=30_000)
    assert flows_in_ms(measured, QueueTotals(500, 5_000), reserved_ppm, 0) == 10_000


def test_an_own_cap_and_an_overloaded_server_hold_back_what_a_measured_rate_would_let_through() -> None:
    capped = left(TOKENS, charged=500, cap_tokens=600, measured=30_000)
    assert flows_in_ms(capped, QueueTotals(1, 160), 0, 0) == 10_000
    overloaded = left(TOKENS, measured=30_000)
    overloaded.reserve(1, 60, 0)
    overloaded.record_answer(1, 20, failure(503, retry_after="30"))
    assert flows_in_ms(overloaded, QueueTotals(1, 160), 0, 20) == 30_000


# ---------------------------------------------------------------------------------------------------- places


def flying(count: int, *, most: int = 4, took_ms: int | None = 1_000, payer: Budget | None = None) -> CallsInFlight:
    flights, paying = CallsInFlight(inflight_max=most, held_bytes_max=1 << 30), payer or budget()
    if took_ms is not None:
        flights.land(flights.start(ticket(), budget(), 0, account=WELL), took_ms)
    for _ in range(count):
        flights.start(ticket(), paying, 0, account=WELL)
    return flights


@pytest.mark.parametrize(("calls", "wait_ms"), [(1, 0), (2, 125), (5, 875)])
def test_who_finds_no_place_waits_for_calls_to_end(calls: int, wait_ms: int) -> None:
    assert lets_through_ms(flying(3), budget(), QueueTotals(calls, 0), 0) == wait_ms


def test_places_that_are_kept_are_none() -> None:
    assert lets_through_ms(flying(2), budget(), QueueTotals(1, 0), 0) == 0
    assert lets_through_ms(flying(2), budget(), QueueTotals(1, 0), 500_000) == 250


def test_a_limit_may_have_fewer_places_than_the_process() -> None:
    few = budget(inflight_max=2)
    flights = flying(2, most=100, payer=few)
    assert lets_through_ms(flights, few, QueueTotals(1, 0), 0) == 250
    assert lets_through_ms(flights, budget(), QueueTotals(1, 0), 0) == 0


def test_before_any_call_has_ended_nobody_can_tell_when_one_will() -> None:
    assert lets_through_ms(flying(4, took_ms=None), budget(), QueueTotals(1, 0), 0) is None
    assert lets_through_ms(flying(3, took_ms=None), budget(), QueueTotals(1, 0), 0) == 0


# ---------------------------------------------------------------------------------------------------- tenants' caps

ACME = ticket(candidate(tenant="acme", charge=100))


def capped(rule: TenantRule, *, used: int = 0) -> Tenants:
    tenants = Tenants({"acme": rule})
    if used:
        tenants.record_start("acme", used, 0)
    return tenants


def kept_out_ms(tenants: Tenants, own: QueueTotals) -> int | None:
    return cap_lets_through_ms(tenants, ACME, own, flying(0), 0)


def test_who_has_no_cap_is_kept_out_by_none() -> None:
    assert kept_out_ms(capped(TenantRule()), QueueTotals(1_000, 1_000_000)) == 0


def test_a_cap_a_minute_keeps_out_what_is_beyond_it_and_what_was_used_of_it() -> None:
    rule = TenantRule(cap_tokens=1_000)
    assert kept_out_ms(capped(rule), QueueTotals(9, 900)) == 0
    assert kept_out_ms(capped(rule), QueueTotals(19, 1_900)) == 60_000
    assert kept_out_ms(capped(rule, used=950), QueueTotals()) == 60_100, "the minute's window counts in slots of 100 ms"


def test_a_cap_on_calls_in_flight_keeps_out_until_some_have_ended() -> None:
    rule = TenantRule(inflight_max=1)
    assert kept_out_ms(capped(rule), QueueTotals()) == 0
    assert kept_out_ms(capped(rule), QueueTotals(1, 100)) == 500
    assert kept_out_ms(capped(rule, used=1), QueueTotals(1, 100)) == 1_500


def test_with_both_caps_full_the_minute_s_is_counted_from_its_whole_use() -> None:
    both = replace(TenantRule(), cap_tokens=1_000, inflight_max=1)
    assert kept_out_ms(capped(both, used=1), QueueTotals(19, 1_900)) == 60_000


def test_input_tokens_must_flow_in_as_well() -> None:
    budget = left(replace(TOKENS, low=60_000, high=60_000))
    budget.sides.inherit((LevelBounds(LimitMetric.TOKENS, 0, 0, 6_000, MINUTE_MS, kind="input-tokens"),), 0)
    assert flows_in_ms(budget, QueueTotals(1, 1_000), 0, 0) == 0, "nothing is known of what calls carry"
    budget.reserve(1, 100, 0)
    budget.abandon(1, 0)
    assert flows_in_ms(budget, QueueTotals(1, 1_000), 500_000, 0) == 30_000, "the reserve"
