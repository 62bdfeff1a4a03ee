"""Calls that are charged for their output at the end, where no answer shows what is left."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import TOKENS
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.pricing.laws import Prices, RequestSize, prices
from headrace.broker.core.pricing.references import Reference, ReferenceKind
from headrace.broker.core.units import PPM, ROUNDING_TOKENS
from tests.unit.core.budgets import answer, full, low

SIZE = RequestSize(400, 1, 1, 0, None, 100, function_tools=False, embedding_tokens=None)
SILENT = LimitBeliefs("m", tokens=60_000, requests=None)
PLAIN = prices("chat.completions", SIZE, Law.USAGE)
WRITES = replace(PLAIN, template=b"writes..")
LONG, SHORT = TokenUsage(100, 600), TokenUsage(100, 200)


def learned(asked: Prices) -> Budget:
    """Return a budget that has learned to reserve 600 tokens, a minute after its last call."""
    budget = full(SILENT)
    for attempt in range(20):
        budget.reserve(attempt, budget.tariff.price(asked), 60_000 * attempt, prices=asked)
        budget.record_answer(attempt, 60_000 * attempt + 500, answer(), LONG)
    return budget


@pytest.mark.parametrize("asked", [WRITES, PLAIN])
def test_a_call_pays_what_its_answer_tells(asked: Prices) -> None:
    """Before, one without a template kept what it had paid: a tenth of a minute was left unused (seed 92330)."""
    budget, now_ms = learned(asked), 1_200_000
    for attempt in (20, 21):
        budget.reserve(attempt, 700, now_ms, prices=asked)
    assert low(budget, now_ms) == 60_000 - 2 * (700 + ROUNDING_TOKENS)
    for attempt in (20, 21):
        budget.record_answer(attempt, now_ms, answer(), SHORT)
    assert low(budget, now_ms) == 60_000 - 2 * (300 + ROUNDING_TOKENS)


def test_one_does_not_change_whose_charge_the_server_has_stated() -> None:
    budget, now_ms = learned(WRITES), 1_200_000
    budget.reserve(20, 700, now_ms, stated=True, prices=WRITES)
    budget.record_answer(20, now_ms, answer(), SHORT)
    assert low(budget, now_ms) == 60_000 - (700 + ROUNDING_TOKENS)


def test_levels_that_are_shown_contain_the_outputs_already_and_none_is_given_back_twice() -> None:
    budget, now_ms = learned(WRITES), 1_200_000
    for attempt in (20, 21, 22):
        budget.reserve(attempt, 700, now_ms + attempt, prices=WRITES)
    for attempt, left, ended_ms in ((21, 59_500, 500), (20, 59_200, 501), (22, 59_000, 502)):
        budget.record_answer(attempt, now_ms + ended_ms, answer((60_000, left, "1s")), SHORT)
    assert budget.corrections == 0
    assert low(budget, now_ms + 502) == 57_596


def test_the_input_that_a_body_only_names_is_settled_with_the_output() -> None:
    named = prices("responses", SIZE, Law.USAGE, (Reference(ReferenceKind.FILE, b"12345678"),), b"writes..")
    budget = full(SILENT)
    budget.reserve(0, budget.tariff.price(named), 0, prices=named)
    budget.record_answer(0, 0, answer(), TokenUsage(9_100, 700))
    assert low(budget, 0) == 60_000 - 9_800 - ROUNDING_TOKENS


@pytest.mark.parametrize(("capacity", "kept"), [(4_000, 1_000), (60_000, 6_600)])
def test_no_more_of_a_bucket_is_kept_for_outputs_than_it_refills_before_they_end(capacity: int, kept: int) -> None:
    """Before, a bucket of a second kept all outputs of calls that took four: it was never spent (seed 92315, 45 %)."""
    level = LevelBounds(TOKENS, capacity, capacity, capacity, 1_000)
    budget = Budget(SILENT, 0, Checkpoint("m", 0, (level,), 0, 0, PPM))
    for attempt in range(31):
        budget.reserve(attempt, 700, 60_000 * attempt, prices=WRITES)
        if attempt < 20:
            budget.record_answer(attempt, 60_000 * attempt + 500, answer(), LONG)
    now_ms = 60_000 * 30
    budget.record_answer(30, now_ms, replace(answer((capacity, capacity - 100, "25ms")), early=True), LONG)
    (short,) = (level for level in budget.levels(now_ms) if level.capacity == capacity and level.period_ms == 1_000)
    assert capacity - 100 - short.low == kept
