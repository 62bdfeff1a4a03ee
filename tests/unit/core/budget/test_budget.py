"""What may be paid, by whom and when; rests, and handing over to a successor."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.budget.burst_control import SILENCE_MS
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.missing_tokens import STANDS_MS
from headrace.broker.core.pricing.laws import RequestSize, prices
from headrace.broker.core.units import PPM, ROUNDING_TOKENS
from tests.unit.core.budgets import KEY, SETTINGS, UNKNOWN, answer, failure, full, low, refusal

# Not knowing


@pytest.mark.parametrize("settings", [SETTINGS, UNKNOWN])
def test_without_a_checkpoint_one_call_goes_first_and_its_headers_set_the_level(settings: LimitBeliefs) -> None:
    budget = Budget(settings, 0, None)
    assert not budget.believed
    budget.reserve(1, 400, 0)
    assert budget.payable_at(400, 0) == SILENCE_MS
    budget.record_answer(1, 500, answer((60_000, 20_000, "40s")))
    assert budget.believed
    (level,) = budget.levels(500)
    assert (level.low, level.high, level.capacity, level.period_ms) == (20_000, 20_501, 60_000, MINUTE_MS)
    assert budget.payable_at(400, 500) == 500


@pytest.mark.parametrize("verdict", [failure(500), failure(429), failure(401)])
def test_a_failure_without_numbers_leaves_the_level_unknown(verdict: Verdict) -> None:
    budget = Budget(SETTINGS, 0, None)
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 100, verdict)
    assert not budget.believed


def test_a_call_without_any_answer_leaves_the_level_unknown_and_lets_the_next_one_go_first() -> None:
    budget = Budget(UNKNOWN, 0, None)
    budget.reserve(1, 400, 0)
    budget.abandon(1, 100)
    assert (budget.believed, budget.inflight) == (False, 0)
    assert budget.payable_at(400, 100) == 100


def test_a_call_that_was_not_sent_is_paid_by_no_bucket_and_no_cap() -> None:
    budget = full(replace(SETTINGS, cap_tokens=500))
    budget.reserve(1, 400, 0)
    assert budget.payable_at(400, 0) != 0
    budget.abandon(1, 0, sent=False)
    assert (low(budget), budget.charged_last_minute(0), budget.inflight) == (60_000, 0, 0)
    assert budget.payable_at(400, 0) == 0


def test_an_answer_without_headers_makes_us_believe_what_the_operator_does() -> None:
    budget = Budget(SETTINGS, 0, None)
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, answer())
    assert budget.believed
    assert low(budget) == 60_000 - 400 - ROUNDING_TOKENS


def test_a_refusal_of_the_first_call_sets_the_level_too() -> None:
    budget = Budget(UNKNOWN, 0, None)
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, refusal(used=59_900, requested=400))
    assert budget.believed
    assert low(budget) == 100


def test_nothing_is_too_large_for_a_limit_that_nobody_knows() -> None:
    budget = Budget(UNKNOWN, 0, None)
    assert budget.fits(10**9)
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, answer((60_000, 20_000, "40s")))
    assert budget.fits(60_000)
    assert not budget.fits(60_001)


# Paying


def test_every_metric_is_paid_and_the_slowest_tells_when() -> None:
    budget = full(SETTINGS, KEY, LevelBounds(LimitMetric.REQUESTS, 2, 2, 60, MINUTE_MS))
    budget.reserve(1, 400, 0)
    budget.reserve(2, 400, 0)
    tokens, requests = budget.levels(0)
    assert tokens.low == 60_000 - 2 * (400 + ROUNDING_TOKENS)
    assert requests.low == 0
    assert budget.payable_at(400, 0) == 1_000


def test_what_cannot_be_paid_now_is_payable_at_the_first_instant_it_can() -> None:
    budget = full(SETTINGS, replace(KEY, low=100))
    assert budget.payable_at(400, 0) == 300 + ROUNDING_TOKENS
    assert budget.payable_at(400, 0, reserved_ppm=50_000) == 3_300 + ROUNDING_TOKENS


def test_a_reservation_that_cannot_pay_is_a_programming_error_and_takes_nothing() -> None:
    budget = full(SETTINGS, replace(KEY, low=100))
    with pytest.raises(AssertionError):
        budget.reserve(1, 400, 0)
    assert (low(budget), budget.inflight, budget.charged_last_minute(0)) == (100, 0, 0)


def test_who_leaves_a_share_of_the_places_finds_fewer() -> None:
    budget = full(replace(SETTINGS, inflight_max=4))
    for attempt, free in enumerate((True, True, False)):
        assert (budget.payable_at(10, 0, reserved_ppm=500_000) is not None) is free
        budget.reserve(attempt, 10, 0)
    assert budget.payable_at(10, 0) is not None


def test_nothing_is_out_of_reach_while_nothing_is_known() -> None:
    unknown = Budget(SETTINGS, 0, None)
    assert not unknown.inflow(lambda _: 0, 5).is_unreachable(10**9, 6)
    assert full(SETTINGS).flow_ms(61_000) == 61_000
    assert [full(SETTINGS).inflow(lambda _: 0, 0).is_unreachable(61_000, at_ms) for at_ms in (1_000, 1_001)] == [
        True,
        False,
    ]


def test_what_is_out_of_reach_is_asked_anew_when_another_law_may_hold() -> None:
    budget, size = full(SETTINGS), RequestSize(400, 1, 1, 0, 300, 107, function_tools=False, embedding_tokens=None)
    asked = prices("chat.completions", size)
    budget.reserve(1, budget.tariff.price(asked), 0, prices=asked)
    before = budget.inflow(lambda _: 0, 0)
    budget.record_answer(1, 1, refusal(used=59_900, requested=300))
    after = budget.inflow(lambda _: 0, 1)
    assert budget.tariff.least(asked) == 300
    assert after.rates == before.rates
    assert after.priced > before.priced


def test_how_long_a_crowded_bucket_takes_to_refill_is_asked_by_what_is_paid() -> None:
    budget = full(SETTINGS)
    capacity = budget.levels(0)[0].capacity
    assert budget.refill_beside_reserve(capacity // 2, 500_000) == 0
    assert (
        budget.refill_beside_reserve(capacity // 2 + 1, 500_000)
        == budget.refill_beside_reserve(capacity, 20, stated=True)
        == 60_000
    )


def test_a_reservation_beyond_the_in_flight_cap_is_a_programming_error() -> None:
    budget = full(replace(SETTINGS, inflight_max=1))
    budget.reserve(1, 400, 0)
    assert budget.payable_at(400, 0) is None
    with pytest.raises(AssertionError):
        budget.reserve(2, 400, 0)
    budget.abandon(1, 0)
    assert budget.payable_at(400, 0) == 0


def test_a_reservation_ends_exactly_once() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    with pytest.raises(AssertionError):
        budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, answer())
    with pytest.raises(KeyError):
        budget.record_answer(1, 0, answer())
    with pytest.raises(KeyError):
        budget.abandon(1, 0)


def test_a_call_without_an_answer_keeps_its_charge() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.abandon(1, 0)
    assert (low(budget), budget.charged_last_minute(0)) == (60_000 - 400 - ROUNDING_TOKENS, 400)


def test_twice_of_what_the_server_has_borne_may_be_spent_at_once() -> None:
    budget = Budget(SETTINGS, 0, Checkpoint("gpt-4o-mini", 0, (KEY,), 0, 0, PPM, tolerated_burst_tokens=15_000))
    budget.reserve(1, 15_000, 0)
    assert budget.payable_at(15_000, 0) == 0
    budget.reserve(2, 5_000, 0)
    assert budget.payable_at(10_000, 0) in range(1, SILENCE_MS)  # what goes deeper than ever goes one by one
    assert budget.payable_at(11_000, 0) == SILENCE_MS  # then silence has said that 20,000 were borne
    budget.record_answer(2, 0, answer())
    assert budget.payable_at(11_000, 0) == 0


def test_an_operator_can_spread_the_load_further() -> None:
    budget = full(replace(SETTINGS, burst_ms=2_000))
    budget.reserve(1, 2_000, 0)
    assert budget.payable_at(500, 0) == 500
    assert budget.payable_at(50_000, 0) == 2_000  # larger than any burst: waits for depth 0
    budget.record_answer(1, 0, answer((120_000, 100_000, "10s")))  # twice the limit, twice the pace
    assert budget.payable_at(2_500, 0) == 250


def test_a_refusal_that_no_known_limit_explains_lowers_what_is_spent_at_once() -> None:
    budget = full()
    budget.reserve(1, 4_000, 0)
    budget.reserve(2, 1_000, 0)
    budget.record_answer(2, 0, refusal(used=5_000, requested=1_000, wait="1ms"))
    assert budget.checkpoint(0).burst_ceiling_tokens == 4_000
    assert budget.payable_at(1_000, 1) == 1_000
    heir = Budget(SETTINGS, 0, budget.checkpoint(0))
    assert heir.checkpoint(0).burst_ceiling_tokens == 4_000


@pytest.mark.parametrize(
    "explained",
    [
        refusal(used=59_500, requested=1_000),
        refusal(used=59_500, requested=1_000, where="project p "),
        replace(failure(429), readings=answer((60_000, 0, "60s")).readings),
    ],
)
def test_a_refusal_that_a_known_limit_explains_does_not(explained: Verdict) -> None:
    budget = full()
    budget.reserve(1, 4_000, 0)
    budget.reserve(2, 1_000, 0)
    budget.record_answer(2, 0, explained)
    assert budget.checkpoint(0).burst_ceiling_tokens is None


# The own cap


def test_the_own_cap_is_never_exceeded_within_any_minute_whatever_headers_say() -> None:
    budget = full(replace(SETTINGS, cap_tokens=1_000))
    paid: list[int] = []
    now = 0
    while now < 5 * MINUTE_MS:
        budget.reserve(len(paid), 300, now)
        budget.record_answer(len(paid), now, answer((90_000, 89_000, "1s")))
        paid.append(now)
        at = budget.payable_at(300, now)
        assert at is not None
        now = at
    assert all(300 * sum(start <= at < start + MINUTE_MS for at in paid) <= 1_000 for start in paid)
    assert len(paid) == 3 * 5


def test_the_own_cap_makes_larger_charges_impossible_and_keeps_a_share_for_others() -> None:
    budget = full(replace(SETTINGS, cap_tokens=1_000))
    assert budget.fits(1_000)
    assert not budget.fits(1_001)
    budget.reserve(1, 900, 0)
    assert budget.payable_at(100, 0) == 12_000  # its bucket holds 100, and is in debt for as much
    assert budget.payable_at(100, 0, reserved_ppm=50_000) == MINUTE_MS + 100  # the sum keeps a part


def test_a_call_that_cost_nothing_is_given_back_to_the_own_cap() -> None:
    budget = full(replace(SETTINGS, cap_tokens=1_000))
    budget.reserve(1, 100, 0)
    assert budget.payable_at(100, 0) == 6_000
    budget.record_answer(1, 0, refusal(used=60_000, requested=100, wait="1ms"))
    assert budget.payable_at(100, 1_000) == 1_000


def test_what_the_own_cap_delays_is_told() -> None:
    budget = full(replace(SETTINGS, cap_tokens=1_000))
    budget.reserve(1, 100, 0)
    assert budget.cap is not None
    assert budget.cap.payable_at(100, 0, 0) == 6_000
    assert budget.cap.payable_at(50, 50_000, 0) == 6_000
    assert budget.cap.flows_in_ms(500, 0, 0) == 30_000
    assert full().cap is None


# Rests


def test_a_pause_is_never_shortened_and_nobody_pays_before_its_end() -> None:
    budget = full()
    budget.pause_until(5_000)
    budget.pause_until(3_000)
    assert budget.payable_at(1, 0) == 5_000
    with pytest.raises(AssertionError):
        budget.reserve(1, 1, 4_999)


def test_an_overloaded_server_rests_too_but_a_failing_one_does_not() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, failure(500, retry_after="9"))
    assert budget.payable_at(1, 0) == 0
    budget.reserve(2, 400, 0)
    budget.record_answer(2, 0, failure(503, retry_after="9"))
    assert budget.payable_at(1, 0) == 9_000


# Handing over


def test_a_successor_believes_the_lower_ends_the_pause_the_markup_and_what_the_cap_counts() -> None:
    settings = replace(SETTINGS, cap_tokens=1_000)
    budget = full(settings, replace(KEY, low=20_000, high=30_000))
    budget.reserve(1, 600, 0)
    budget.pause_until(4_000)
    left = budget.checkpoint(1_000)
    assert left == Checkpoint(
        limit="gpt-4o-mini",
        at_ms=1_000,
        levels=budget.levels(1_000),
        charged_last_minute=600,
        pause_ms=3_000,
        markup_ppm=PPM,
        tolerated_burst_tokens=60_000,
    )
    heir = Budget(settings, 77_000, replace(left, markup_ppm=2 * PPM))
    assert heir.believed
    (level,) = heir.levels(77_000)
    assert (level.low, level.high) == (20_000 - 600 - ROUNDING_TOKENS + 1_000, 60_000)
    assert heir.payable_at(1, 77_000) == 80_000
    assert heir.payable_at(201, 77_000) == 77_000 + MINUTE_MS + 100  # twice 201 on top of 600 is above the cap


def test_an_answer_lowers_what_a_predecessor_left() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, answer((60_000, 10_000, "50s")))
    assert low(budget) == 10_000


def test_a_limit_configured_since_is_added_to_those_a_predecessor_left() -> None:
    budget = full(replace(SETTINGS, requests=500))
    assert [level.metric for level in budget.levels(0)] == [LimitMetric.TOKENS, LimitMetric.REQUESTS]


def test_a_limit_in_trouble_rests_and_then_one_call_goes_alone() -> None:
    budget = Budget(LimitBeliefs("gpt", 60_000, None), 0, None)
    budget.believed = True
    for _ in range(3):
        budget.breaker.observe(Meaning.CONNECTION, 0, None)
    at_ms = budget.payable_at(100, 0)
    assert at_ms is not None
    assert at_ms > 0
    budget.reserve(1, 100, at_ms)
    budget.breaker.probe()
    assert budget.payable_at(100, at_ms) is None


def test_what_was_paid_for_a_call_in_flight_can_be_asked() -> None:
    budget = Budget(LimitBeliefs("gpt", 60_000, None), 0, None)
    budget.reserve(7, 321, 0)
    assert budget.paid(7) == 321


# What is shown of answers


def test_an_answer_corrects_both_ways() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, answer((60_000, 40_000, "20s")))
    assert (low(budget), budget.corrections) == (40_000, 1)
    budget.reserve(2, 400, 0)
    budget.record_answer(2, 0, answer((60_000, 50_000, "10s")))
    assert (low(budget), budget.corrections) == (50_000, 2)


def test_what_the_server_has_less_than_believed_is_told_as_others_tokens() -> None:
    budget = full()
    for attempt, remaining in enumerate((50_000, 49_600, 58_000)):
        budget.reserve(attempt, 400, 0)
        budget.record_answer(attempt, 0, answer((60_000, remaining, f"{60_000 - remaining}ms")))
    assert budget.foreign_tokens == 0, "the mirrors may be wrong"
    budget.reserve(3, 400, STANDS_MS)
    budget.record_answer(3, STANDS_MS, answer((60_000, 59_600, "400ms")))
    assert budget.foreign_tokens == 60_000 - 400 + ROUNDING_TOKENS - 50_001 - 4
