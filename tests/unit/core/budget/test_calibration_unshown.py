"""Calls whose bodies do not show their whole input: what they pay, and what their answers correct."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import Verdict
from headrace.broker.core.budget.budget import Budget, LimitBeliefs
from headrace.broker.core.budget.rate_control import SILENCE_MS
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.pricing.laws import Prices, RequestSize, prices
from headrace.broker.core.pricing.references import Reference, ReferenceKind
from headrace.broker.core.pricing.unshown_input import FIRST_TOKENS, KnownReferences
from headrace.broker.core.units import PPM, ROUNDING_TOKENS
from tests.unit.core.budgets import KEY, answer, failure, full, low, refusal

SIZE = RequestSize(400, 1, 1, 0, None, 100, function_tools=False, embedding_tokens=None)
NAMED = prices("responses", SIZE, Law.RESPONSES, (Reference(ReferenceKind.FILE, b"12345678"),))  # 119, and the file
SILENT = LimitBeliefs("m", tokens=60_000, requests=None)


def test_where_answers_state_no_level_a_call_pays_what_its_answer_tells_of_its_input() -> None:
    budget, charges = Budget(SILENT, 0, None), []
    for attempt in range(3):
        charges.append(budget.tariff.price(NAMED))
        budget.reserve(attempt, charges[-1], 60_000 * attempt, prices=NAMED)
        budget.record_answer(attempt, 60_000 * attempt, answer(), TokenUsage(9_100, 10))
        assert low(budget, 60_000 * attempt) == 60_000 - 9_119 - ROUNDING_TOKENS
    assert charges == [119 + FIRST_TOKENS[ReferenceKind.FILE], 9_119, 9_119]


def test_calls_in_flight_are_priced_by_what_the_first_answer_told() -> None:
    budget = full(SILENT)
    for attempt in range(3):
        budget.reserve(attempt, budget.tariff.price(NAMED), 0, prices=NAMED)
    budget.record_answer(0, 500, answer((60_000, 50_881, "9s")), TokenUsage(9_100, 10))
    assert low(budget, 500) == 60_000 + 500 - 3 * (9_119 + ROUNDING_TOKENS)


def test_what_is_found_to_be_left_counts_each_call_by_what_its_answer_told() -> None:
    budget = full(SILENT)
    budget.reserve(0, budget.tariff.price(NAMED), 0, prices=NAMED)
    assert budget.payable_at(30_000, 2) == 2
    budget.record_answer(0, 2, answer(), TokenUsage(40_000, 10))
    at_ms = budget.payable_at(30_000, 2)
    assert at_ms is not None
    assert at_ms > 10_000


def test_estimates_that_single_calls_prove_wrong_leave_the_measured_rate_alone() -> None:
    budget = Budget(LimitBeliefs("m", tokens=None, requests=None), 0, None)
    for attempt in range(12):
        at_ms = budget.payable_at(budget.tariff.price(NAMED), 5_000 * attempt)
        assert at_ms is not None
        budget.reserve(attempt, budget.tariff.price(NAMED), at_ms, prices=NAMED)
        if attempt == 0:
            budget.record_answer(attempt, at_ms, failure(429))
            before = budget.guide.rate
        else:
            budget.record_answer(attempt, at_ms, answer(), TokenUsage(100 + 2_000 * (attempt % 2), 10))
    assert before is not None
    assert budget.guide.rate is not None
    assert budget.guide.rate >= before


def test_a_charge_that_a_refusal_states_for_unshown_input_marks_up_no_other_call() -> None:
    budget = full(SILENT)
    budget.reserve(0, budget.tariff.price(NAMED), 0, prices=NAMED)
    budget.record_answer(0, 0, refusal(used=59_000, requested=30_119, wait="1ms"))
    assert budget.checkpoint(0).markup_ppm == PPM
    assert budget.tariff.price(NAMED) == 30_119


def test_a_markup_stays_when_an_estimate_of_unshown_input_changes() -> None:
    budget = full(SILENT)
    plain = prices("responses", SIZE, Law.RESPONSES)
    budget.reserve(0, 119, 0, prices=plain)
    budget.record_answer(0, 0, refusal(used=59_990, requested=238, wait="1ms"))
    assert budget.checkpoint(0).markup_ppm == 2 * PPM
    budget.reserve(1, budget.tariff.price(NAMED), 10_000, prices=NAMED)
    budget.record_answer(1, 10_500, answer(), TokenUsage(9_100, 10))
    assert budget.checkpoint(0).markup_ppm == 2 * PPM


def test_calls_in_flight_without_a_cap_are_priced_by_the_size_that_a_refusal_has_told() -> None:
    budget, uncapped = full(SILENT), prices("chat.completions", SIZE, Law.DOCUMENTED)
    for attempt in range(2):
        budget.reserve(attempt, 101, 0, prices=uncapped)
    budget.record_answer(0, 0, refusal(used=59_000, requested=16_384, wait="1ms"))
    assert budget.tariff.price(uncapped) == 16_384
    budget.record_answer(1, 500, answer((60_000, 43_000, "17s")), TokenUsage(100, 10))
    assert low(budget, 500) == 43_000


def test_a_refusal_whose_figure_differs_a_little_in_the_input_makes_no_other_call_dear() -> None:
    large_size = SIZE._replace(content_bytes=100_000)
    large, small = (prices("chat.completions", each, Law.DOCUMENTED) for each in (large_size, SIZE))
    budget = full(SILENT)
    budget.reserve(0, budget.tariff.price(large), 0, prices=large)
    budget.record_answer(0, 0, refusal(used=59_000, requested=25_600, wait="1ms"))
    assert budget.tariff.price(small) == 101


def test_an_absurd_size_of_outputs_lasts_until_two_answers_have_shown_what_calls_took() -> None:
    budget, uncapped = full(SILENT), prices("chat.completions", SIZE, Law.DOCUMENTED)
    budget.reserve(0, 101, 0, prices=uncapped)
    budget.record_answer(0, 0, refusal(used=59_000, requested=10**12, wait="1ms"))
    for attempt in range(1, 4):
        now_ms = 60_000 * attempt
        budget.reserve(attempt, budget.tariff.price(uncapped), now_ms, prices=uncapped)
        budget.record_answer(attempt, now_ms + 500, answer((60_000, 59_899, "1s")), TokenUsage(100, 10))
    assert budget.tariff.price(uncapped) == 101


@pytest.mark.parametrize("told", [9_100, 300])
@pytest.mark.parametrize(("verdict", "untaken"), [(failure(401), True), (failure(429), False)])
def test_a_call_that_was_priced_again_in_flight_gives_back_what_it_was_counted_with(
    told: int, verdict: Verdict, *, untaken: bool
) -> None:
    budget = full(SILENT)
    budget.reserve(0, 40_000, 0)
    for attempt in range(1, 3):
        budget.reserve(attempt, budget.tariff.price(NAMED), 0, prices=NAMED)
    budget.record_answer(1, 500, answer(), TokenUsage(told, 10))
    budget.record_answer(2, 500, verdict)
    taken, rounding = 40_000 + told + 19, 2 * ROUNDING_TOKENS
    level = budget.levels(500)[0]
    assert level.high == min(60_000, 60_000 + 500 - taken + rounding)
    assert budget.charged_last_minute(500) == taken
    if untaken:
        assert level.low == 60_000 + 500 - taken - rounding


def test_a_call_in_flight_when_another_law_was_believed_gives_back_its_charge_by_that_law() -> None:
    asked, now_ms = prices("chat.completions", SIZE._replace(output_tokens_max=4_000)), 60_000
    budget = Budget(SILENT, 0, None)
    budget.reserve(0, budget.tariff.price(asked), 0, prices=asked)
    budget.record_answer(0, 500, replace(answer(), charge=102), TokenUsage(100, 10))
    for attempt in range(1, 3):
        budget.reserve(attempt, budget.tariff.price(asked), now_ms, prices=asked)
    budget.record_answer(1, now_ms, replace(answer(), charge=4_000), TokenUsage(100, 10))
    assert (budget.paid(2), budget.tariff.price(asked)) == (102, 4_000)
    budget.record_answer(2, now_ms, failure(401))
    assert low(budget, now_ms) == 60_000 - 4_000 - ROUNDING_TOKENS


def test_a_sliding_window_gives_back_what_the_estimates_of_calls_answered_soon_after_each_other_took_too_much() -> None:
    budget = full(LimitBeliefs("m", tokens=None, requests=None), KEY)
    mirrors = budget._buckets._mirrors
    mirrors.keep(lambda mirror: False)
    mirrors.add(SlidingWindowMirror(LimitMetric.TOKENS, 60_000, MINUTE_MS, 0, budget._sends))
    files = [Reference(ReferenceKind.FILE, number.to_bytes(8, "big")) for number in range(14)]
    for attempt, file in enumerate(files):
        asked = prices("responses", SIZE, Law.RESPONSES, (file,))
        budget.reserve(attempt, budget.tariff.price(asked), attempt * SILENCE_MS, prices=asked)
    assert low(budget, 2_000) < 60_000 - 14 * 4_119
    for attempt in range(14):
        budget.record_answer(attempt, 2_200 + 10 * attempt, answer(), TokenUsage(200, 10))
    assert low(budget, 2_400) == 60_000 - 14 * (219 + ROUNDING_TOKENS)


def test_the_end_of_a_call_tells_what_of_its_charge_was_not_taken() -> None:
    """Of its charge: a markup is the budget's own."""
    budget, plain = full(SILENT), prices("responses", SIZE, Law.RESPONSES)

    instants = iter(range(0, 10**9, 300_000))

    def not_taken(verdict: Verdict, usage: TokenUsage | None = None, asked: Prices = NAMED) -> int:
        now_ms = next(instants)
        budget.reserve(1, budget.tariff.price(asked), now_ms, prices=asked)
        return budget.record_answer(1, now_ms, verdict, usage)

    assert not_taken(answer(), TokenUsage(200, 10)) == FIRST_TOKENS[ReferenceKind.FILE] - 100
    assert not_taken(answer(), TokenUsage(9_100, 10)) == 219 - 9_119
    assert not_taken(answer()) == 0, "its input was not told"
    assert not_taken(answer(), TokenUsage(200, 10), plain) == 0
    assert not_taken(failure(500), asked=plain) == 0
    assert [not_taken(failure(status), asked=plain) for status in (429, 401)] == [119, 119]
    assert not_taken(refusal(used=1_000, requested=238, wait="1ms"), asked=plain) == 119
    assert budget.checkpoint(0).markup_ppm == 2 * PPM
    assert not_taken(failure(429), asked=plain) == 119
    budget.reserve(2, 7_000, now_ms := next(instants), stated=True, prices=NAMED)
    assert budget.record_answer(2, now_ms, answer(), TokenUsage(9_100, 10)) == 0
    for sent, given_back in ((True, 0), (False, 119)):
        budget.reserve(3, 119, now_ms := next(instants), prices=plain)
        assert budget.abandon(3, now_ms, sent=sent) == given_back
    charging = full(LimitBeliefs("m", tokens=60_000, requests=None, refusals_charged=True))
    charging.reserve(1, 119, 0, prices=plain)
    assert charging.record_answer(1, 0, failure(429)) == 0


def test_a_charge_that_the_server_has_stated_is_not_corrected() -> None:
    budget = Budget(SILENT, 0, None)
    budget.reserve(0, 7_000, 0, stated=True, prices=NAMED)
    budget.record_answer(0, 0, answer(), TokenUsage(9_100, 10))
    assert low(budget) == 60_000 - 7_000 - ROUNDING_TOKENS


def test_limits_share_what_references_carry_and_successors_inherit_what_kinds_cost() -> None:
    known = KnownReferences()
    budget, other = Budget(SILENT, 0, None, known), Budget(SILENT, 0, None, known)
    budget.reserve(0, 119, 0, prices=NAMED)
    budget.record_answer(0, 0, answer(), TokenUsage(9_100, 10))
    assert other.tariff.price(NAMED) == 9_119
    assert budget.checkpoint(0).unshown == {"file": 9_000}
    assert Budget(SILENT, 0, budget.checkpoint(0)).tariff.price(NAMED) == 9_119


def test_the_operators_cap_and_the_sum_of_a_minute_count_what_answers_tell() -> None:
    budget = full(LimitBeliefs("m", tokens=60_000, requests=None, cap_tokens=10_000))
    for attempt, billed in enumerate((100, 9_100)):
        budget.reserve(attempt, budget.tariff.price(NAMED), 30_000 * attempt, prices=NAMED)
        budget.record_answer(attempt, 30_000 * attempt + 500, answer(), TokenUsage(billed, 10))
        assert budget.charged_last_minute(30_000 * attempt + 500) == (119, 119 + 9_119)[attempt]


def test_an_output_that_is_charged_at_the_end_is_counted_in_the_sum_of_a_minute() -> None:
    budget, plain = full(SILENT), prices("chat.completions", SIZE, Law.USAGE)
    budget.reserve(0, budget.tariff.price(plain), 0, prices=plain)
    budget.record_answer(0, 500, answer(), TokenUsage(100, 40))
    assert budget.charged_last_minute(500) == 140
