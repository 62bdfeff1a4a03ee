"""What answers correct: levels, which bucket a header speaks of, and the law of the charge."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, SECOND_MS, LimitMetric
from headrace.broker.core.answers.verdict import Answer, Verdict, judge
from headrace.broker.core.budget.admission_delay import DELAY_MAX_MS
from headrace.broker.core.budget.admission_guide import GUESS
from headrace.broker.core.budget.budget import Budget, Checkpoint, LearnedLimits
from headrace.broker.core.budget.burst_control import SILENCE_MS
from headrace.broker.core.budget.cooldown import FIRST_MS, GROWS_BY
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.units import PPM, ROUNDING_TOKENS
from tests.unit.core.budgets import KEY, SETTINGS, UNKNOWN, answer, failure, full, low, refusal

# Answers


def test_a_refused_call_takes_nothing_and_its_body_is_exact() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, refusal(used=59_700, requested=400, wait="100ms"))
    assert (low(budget), budget.charged_last_minute(0)) == (300, 0)
    assert budget.payable_at(400, 0) == 100 + ROUNDING_TOKENS


@pytest.mark.parametrize("explained", [False, True])
def test_a_share_of_the_rate_that_was_cut_is_spent_again_once_a_cap_explains_refusals(
    explained: bool,  # noqa: FBT001
) -> None:
    """Before: 73 % of a limit was used for minutes beside a window of ten seconds (seed 93145: 77 %, now 96)."""
    budget = full()
    budget.reserve(1, 1, 0)
    budget.record_answer(1, 10, failure(429))
    assert budget.learned_limits().share_ppm < PPM
    at_ms = 60_000
    assert budget.payable_at(1, at_ms) == at_ms
    budget.reserve(2, 1, at_ms)
    assert budget.guide._rate is not None
    budget.guide._rate._caps._is_new = explained
    budget.guide._rate._cut_ms = at_ms  # so that this refusal teaches caps nothing
    budget.record_answer(2, at_ms + 10, failure(429))
    assert (budget.learned_limits().share_ppm == PPM) is explained
    budget._calibration.burst = None
    budget._calibration.take_back_cuts(at_ms)


def test_a_bucket_used_beyond_its_limit_is_an_empty_one() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, refusal(used=70_000, requested=400))
    assert low(budget) == 0


def test_a_server_that_charges_refusals_is_paid_for_them_if_the_operator_says_so() -> None:
    budget = full(replace(SETTINGS, refusals_charged=True))
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, refusal(used=59_700, requested=400, wait="100ms"))
    assert (low(budget), budget.charged_last_minute(0)) == (-100, 400)


def test_a_refused_request_counts_no_request_either() -> None:
    settings = replace(UNKNOWN, refusals_charged=True)
    for case, left in ((UNKNOWN, 1), (settings, 0)):
        budget = full(case, LevelBounds(LimitMetric.REQUESTS, 5, 5, 500, MINUTE_MS))
        budget.reserve(1, 400, 0)
        budget.record_answer(1, 0, refusal("requests", limit=500, used=499, requested=1))
        assert low(budget) == left


def test_a_refusal_without_numbers_refunds_nothing_and_rests() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, failure(429, retry_after="7"))
    assert low(budget) == 60_000 - 400 - ROUNDING_TOKENS
    assert budget.payable_at(1, 0) == 7_000


def test_a_refusal_of_a_project_says_nothing_of_the_organisations_bucket() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, refusal(limit=5_000, used=5_000, requested=400, where="project p "))
    assert budget.levels(0)[0].capacity == 60_000
    assert budget.payable_at(1, 0) == 1_000


def test_a_project_is_paid_like_the_account() -> None:
    """Before, project headers and bodies were read and never paid: 852 refusals of 1,000 calls."""
    budget = full()
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, of_both(account=59_600, project=300))
    assert [(level.project, level.capacity, level.low) for level in budget.levels(0)] == [
        (False, 60_000, 59_600),
        (True, 30_000, 300),
    ]
    assert budget.payable_at(400, 0) == 204
    budget.reserve(2, 400, 204)
    budget.record_answer(2, 210, refusal(limit=30_000, used=29_990, requested=400, where="project p "))
    assert [level.low for level in budget.levels(210)][1] == 10


def of_both(*, account: int, project: int) -> Verdict:
    headers = {}
    for kind, capacity, remaining in (("tokens", 60_000, account), ("project-tokens", 30_000, project)):
        headers[f"x-ratelimit-limit-{kind}"] = str(capacity)
        headers[f"x-ratelimit-remaining-{kind}"] = str(remaining)
        headers[f"x-ratelimit-reset-{kind}"] = f"{60_000 * (capacity - remaining) // capacity}ms"
    return judge(Answer(200, headers, None, None, None, ""))


def test_a_limit_change_is_followed_up_and_down() -> None:
    budget = full()
    for attempt, (capacity, reset) in enumerate(((90_000, "46.666s"), (30_000, "20s"))):
        budget.reserve(attempt, 400, 0)
        budget.record_answer(attempt, 0, answer((capacity, 20_000, reset)))
        (level,) = budget.levels(0)
        assert (level.low, level.capacity) == (20_000, capacity)


def test_an_answer_to_an_older_call_does_not_bring_back_the_old_limit() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.reserve(2, 400, 0)
    budget.record_answer(2, 0, answer((90_000, 80_000, "6.666s")))
    budget.record_answer(1, 0, answer((60_000, 59_600, "400ms")))
    assert budget.levels(0)[0].capacity == 90_000


def test_too_large_without_a_level_still_tells_the_limit() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    text = "Request too large for m in organization o on tokens per min (TPM): Limit 30000, Requested 36278."
    budget.record_answer(1, 0, judge(Answer(429, {}, "rate_limit_exceeded", "tokens", None, text)))
    assert budget.levels(0)[0].capacity == 30_000
    assert budget.fits(36_278), "that is only said"
    budget.reserve(2, 300, 60_000)
    budget.record_answer(2, 60_000, answer((30_000, 29_700, "600ms")))
    assert not budget.fits(36_278)


def lied_to() -> Budget:
    """A budget of 2,000,000 tokens whose server has twice refused a call as too large for a limit of one token."""
    budget = full(UNKNOWN, replace(KEY, low=1_999_000, high=2_000_000, capacity=2_000_000))
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 10, answer((2_000_000, 1_999_600, "12ms")))
    text = "Request too large for m in organization o on tokens per min (TPM): Limit 1, Requested 400."
    lie = judge(Answer(429, {}, "rate_limit_exceeded", "tokens", None, text))
    for attempt in (2, 3):
        budget.reserve(attempt, 400, 10)
        budget.record_answer(attempt, 20, lie)
    return budget


def test_a_tiny_limit_that_refusals_name_fails_no_request_and_is_undone_by_the_next_answer() -> None:
    """Before: each request that came was too large, or out of reach, and nothing could correct that."""
    budget = lied_to()
    assert budget.levels(20)[0].capacity == 1
    assert budget.fits(400)
    assert budget.inflow(lambda _: 0, 20).rates == ()
    at_ms = budget.payable_at(400, 20)
    assert at_ms is not None
    assert at_ms <= 20 + MINUTE_MS, "a call goes once that limit is full"
    budget.reserve(4, 400, at_ms)
    budget.record_answer(4, at_ms + 10, answer())
    assert budget.levels(at_ms + 10)[0].capacity == 2_000_000
    assert budget.inflow(lambda _: 0, at_ms).rates == ((MINUTE_MS, 2_000_000),)


def test_what_a_predecessor_was_told_fails_no_request_either() -> None:
    left = lied_to().checkpoint(20)
    budget = Budget(UNKNOWN, 20, left)
    assert budget.fits(400)
    at_ms = budget.payable_at(400, 20)
    assert at_ms is not None
    assert at_ms <= 20 + MINUTE_MS
    budget.reserve(1, 400, at_ms)
    budget.record_answer(1, at_ms + 10, answer((2_000_000, 1_999_600, "12ms")))
    assert [level.capacity for level in budget.levels(at_ms + 10)] == [2_000_000]
    assert not budget.fits(2_000_001)


def test_a_limit_that_is_undone_slows_nothing_down_for_good() -> None:
    """Before: calls of 5,000 tokens were a minute apart for good, though no bucket was left; now at a guessed rate."""
    budget = Budget(UNKNOWN, 0, None)
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 10, refusal(limit=1_000, used=900, requested=400))
    at_ms = budget.payable_at(5_000, 2_000)
    assert at_ms is not None
    budget.reserve(2, 5_000, at_ms)
    budget.record_answer(2, at_ms + 10, answer())
    assert budget.levels(at_ms + 10) == ()
    for attempt in (3, 4):
        next_ms = budget.payable_at(5_000, at_ms)
        assert next_ms is not None
        assert next_ms - at_ms <= 5_000 * MINUTE_MS // GUESS
        at_ms = next_ms
        budget.reserve(attempt, 5_000, at_ms)
    budget.record_answer(3, at_ms + 20, answer((60_000, 50_000, "10s")))
    assert [level.capacity for level in budget.levels(at_ms + 20)] == [60_000]


@pytest.mark.parametrize("meaning", ["refused", "answered"])
def test_a_limit_that_does_not_hold_the_very_call_is_never_believed(meaning: str) -> None:
    budget = full(UNKNOWN, replace(KEY, low=1_999_000, high=2_000_000, capacity=2_000_000))
    for attempt in range(5):
        now_ms = 60_000 * attempt
        budget.reserve(attempt, 400, now_ms)
        said = answer((1, 0, "60s")) if meaning == "answered" else refusal(limit=1, used=1, requested=1)
        budget.record_answer(attempt, now_ms + 10, said)
        assert budget.levels(now_ms)[0].capacity == 2_000_000
        assert budget.fits(400)


def test_headers_of_a_refusal_speak_for_the_other_metric_only() -> None:
    budget = full(SETTINGS, KEY, LevelBounds(LimitMetric.REQUESTS, 500, 500, 500, MINUTE_MS))
    budget.reserve(1, 400, 0)
    both = answer((60_000, 7_777, "0s"), (500, 123, "0s"))
    budget.record_answer(1, 0, replace(refusal(used=59_700, requested=400), readings=both.readings))
    assert [level.low for level in budget.levels(0)] == [300, 123]


def test_a_bucket_in_debt_is_left_alone_longer_each_time_and_then_asked_by_one_call() -> None:
    budget = full()
    now, waits = 0, []
    for attempt in range(3):
        budget.reserve(attempt, 400, now)
        budget.record_answer(attempt, now + 10, refusal(used=60_000, requested=400, wait="400ms"))
        at = budget.payable_at(400, now + 10)
        assert at is not None
        waits.append(at - now - 10)
        now = at
    assert waits == [FIRST_MS, FIRST_MS * GROWS_BY, FIRST_MS * GROWS_BY**2]
    budget.reserve(9, 400, now)
    assert low(budget, now) == 0
    assert budget.payable_at(1, now) == now + SILENCE_MS
    budget.record_answer(9, now + 20, answer())
    assert budget.payable_at(10, now + 20) == now + 20


def test_a_refusal_that_says_what_is_left_is_waited_for_as_long_as_it_says() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 10, refusal(used=59_700, requested=400, wait="100ms"))
    assert budget.payable_at(400, 10) == 110 + ROUNDING_TOKENS


def test_a_refusal_for_want_of_what_was_believed_to_be_there_makes_us_go_step_by_step_again() -> None:
    budget = full()
    for number in range(2):
        budget.reserve(number, 400, 10)
    budget.record_answer(0, 20, refusal(used=59_700, requested=400))
    assert budget.learned_limits() == LearnedLimits(DELAY_MAX_MS, 0, None, PPM)
    budget.record_answer(1, 30, refusal(used=10_000, requested=400))  # which no limit explains
    assert budget.learned_limits().burst_ceiling_tokens == 400


def test_what_has_been_found_out_is_told() -> None:
    assert Budget(UNKNOWN, 0, None).learned_limits() == LearnedLimits(DELAY_MAX_MS, 0, None, PPM)
    assert full().learned_limits() == LearnedLimits(DELAY_MAX_MS, 60_000, None, PPM)


# Which bucket a header speaks of


def test_a_limit_per_day_stands_beside_the_one_per_minute_and_both_are_paid() -> None:
    budget = Budget(replace(UNKNOWN, requests=500), 0, None)
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, answer(requests=(10_000, 9_990, "86.4s")))
    assert [(level.capacity, level.period_ms) for level in budget.levels(0)] == [(500, MINUTE_MS), (10_000, DAY_MS)]
    budget.reserve(2, 400, 0)
    assert [level.low for level in budget.levels(0)] == [498, 9_989]


def test_a_header_of_unknown_period_is_told_by_its_capacity() -> None:
    budget = full(
        UNKNOWN,
        LevelBounds(LimitMetric.REQUESTS, 0, 500, 500, MINUTE_MS),
        LevelBounds(LimitMetric.REQUESTS, 9, 9, 10_000, DAY_MS),
    )
    budget.pause_until(SECOND_MS)
    budget.reserve(1, 400, SECOND_MS)
    budget.record_answer(1, SECOND_MS, answer(requests=(10_000, 10_000, "0s")))
    assert [level.low for level in budget.levels(SECOND_MS)] == [7, 10_000]


def test_a_period_that_was_a_guess_is_replaced_by_the_one_answers_tell() -> None:
    budget = Budget(UNKNOWN, 0, None)
    for attempt, triple in enumerate([(200, 200, "0s"), (200, 198, "14m24s")]):
        assert all(level.period_ms == MINUTE_MS for level in budget.levels(0))
        budget.reserve(attempt, 400, 0)
        budget.record_answer(attempt, 0, answer(requests=triple))
    assert [(level.capacity, level.period_ms) for level in budget.levels(0)] == [(200, DAY_MS)]


# A law that is wrong


def test_the_servers_own_charge_marks_up_ours_until_the_law_is_identified() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, refusal(used=59_900, requested=680, wait="1ms"))
    assert budget.payable_at(400, 10) == 580 + ROUNDING_TOKENS
    assert budget.payable_at(680, 10, stated=True) == 580 + ROUNDING_TOKENS
    budget.reserve(2, 680, 1_000, stated=True)
    budget.record_answer(2, 1_000, refusal(used=59_900, requested=680, wait="1ms"))
    assert budget.checkpoint(1_000).markup_ppm == 1_700_000  # a charge that the server stated proves nothing


def test_calls_on_their_way_are_marked_up_as_well() -> None:
    budget = full(SETTINGS, KEY, LevelBounds(LimitMetric.REQUESTS, 500, 500, 500, MINUTE_MS))
    budget.reserve(1, 400, 0)
    budget.reserve(2, 400, 0)
    budget.record_answer(1, 0, refusal(used=50_000, requested=680, wait="1ms"))
    assert low(budget) == 10_000 - 680 - ROUNDING_TOKENS


def test_neither_a_call_priced_at_nothing_nor_a_markup_of_nothing_ends_the_budget() -> None:
    for charge, left_ppm in ((0, PPM), (400, 0)):
        budget = Budget(SETTINGS, 0, Checkpoint(SETTINGS.name, 0, (KEY,), 0, 0, left_ppm))
        budget.reserve(1, charge, 0)
        budget.record_answer(1, 0, refusal(used=50_000, requested=680, wait="1ms"))
        assert budget.checkpoint(0).markup_ppm == (1_700_000 if charge else PPM)


def test_what_was_believed_of_cheaper_calls_does_not_outlive_the_markup() -> None:
    budget = full()
    for attempt in range(10):
        budget.reserve(attempt, 400, 0)
    budget.record_answer(9, 0, answer((60_000, 56_000, "4s")))
    before = low(budget)
    budget.record_answer(0, 0, refusal(used=1_000, requested=680, wait="1ms"))
    assert low(budget) == 59_000 - 9 * (680 + ROUNDING_TOKENS) < before


def test_a_refused_call_does_not_count_towards_the_burst() -> None:
    budget = full()
    budget.reserve(1, 30_000, 0)
    budget.record_answer(1, 0, refusal(used=40_000, requested=30_000, wait="1ms"))
    assert budget.payable_at(15_000, 10) == 10


def test_a_refusal_that_agrees_with_our_law_changes_no_charge() -> None:
    budget = full()
    budget.reserve(1, 400, 0)
    budget.record_answer(1, 0, refusal(used=59_900, requested=400, wait="1ms"))
    assert budget.checkpoint(0).markup_ppm == PPM


def test_a_refused_call_that_the_mirrors_would_have_held_back_says_nothing_of_bursts() -> None:
    for held in (False, True):
        budget = full(replace(SETTINGS, tokens=None))
        budget.reserve(1, 30_000, 0)
        budget.reserve(2, 400, 10)
        budget._calls[2] = replace(budget._calls[2], held=held)
        budget.record_answer(2, 20, failure(429))
        assert (budget.learned_limits().burst_ceiling_tokens is None) is held


def test_a_limit_of_input_tokens_of_the_operators_rate_is_the_one_that_was_meant() -> None:
    for tokens, period, kept in ((60_000, "min", 0), (10_000, "10 sec", 0), (30_000, "min", 1)):
        budget = full()
        budget.reserve(1, 400, 0)
        text = f"on input-tokens per {period}: Limit {tokens}, Used {tokens}, Requested 400."
        budget.record_answer(1, 0, judge(Answer(429, {}, None, None, None, f"Rate limit reached for m {text}")))
        assert len(budget.levels(0)) == kept


# Limits beside tokens and requests


def test_a_limit_of_input_alone_is_stated_with_the_operators_bucket_or_cap() -> None:
    sides = (LevelBounds(LimitMetric.TOKENS, 100, 100, 6_000, MINUTE_MS, kind="input-tokens"),)
    handed = Checkpoint("m", 0, (), 0, 0, PPM, sides=sides)
    cases = [(replace(UNKNOWN, cap_tokens=2_000), 2_000), (SETTINGS, 60_000), (UNKNOWN, None)]
    for settings, capacity in cases:
        stated = Budget(settings, 0, handed)._calibration.operators_level()
        assert [level.capacity for level in stated] == ([] if capacity is None else [capacity])
    own = LevelBounds(LimitMetric.TOKENS, 2_000, 2_000, 2_000, MINUTE_MS)
    assert not Budget(UNKNOWN, 0, replace(handed, levels=(own,))).levels(0), "a former cap is no bucket of the server"
    for levels, heard in (
        ((own,), ()),
        ((replace(own, low=1_999),), sides),
        ((replace(own, period_ms=DAY_MS),), sides),
    ):
        assert len(Budget(UNKNOWN, 0, replace(handed, levels=levels, sides=heard)).levels(0)) == 1
