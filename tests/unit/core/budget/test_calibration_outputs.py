"""Calls that are charged for their output at the end, where no answer shows what is left."""

from dataclasses import replace

from headrace.broker.core.budget.budget import Budget, LimitBeliefs
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.pricing.laws import Prices, RequestSize, prices
from headrace.broker.core.pricing.references import Reference, ReferenceKind
from headrace.broker.core.units import ROUNDING_TOKENS
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


def test_a_call_of_a_template_pays_what_its_answer_tells() -> None:
    budget, now_ms = learned(WRITES), 1_200_000
    for attempt in (20, 21):
        budget.reserve(attempt, 700, now_ms, prices=WRITES)
    assert low(budget, now_ms) == 60_000 - 2 * (700 + ROUNDING_TOKENS)
    for attempt in (20, 21):
        budget.record_answer(attempt, now_ms, answer(), SHORT)
    assert low(budget, now_ms) == 60_000 - 2 * (300 + ROUNDING_TOKENS)


def test_one_without_a_template_keeps_what_it_paid() -> None:
    budget, now_ms = learned(PLAIN), 1_200_000
    budget.reserve(20, 700, now_ms, prices=PLAIN)
    budget.record_answer(20, now_ms, answer(), SHORT)
    assert low(budget, now_ms) == 60_000 - (700 + ROUNDING_TOKENS)


def test_nor_does_one_change_whose_charge_the_server_has_stated() -> None:
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
