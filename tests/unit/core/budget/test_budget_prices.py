"""What a call is expected to cost, and what its answer tells of that."""

from headrace.broker.core.budget.budget import Budget, LimitBeliefs
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.pricing.laws import PRICE_MAX, Prices, RequestSize, prices
from headrace.broker.core.pricing.references import Reference, ReferenceKind
from headrace.broker.core.pricing.unshown_input import FIRST_TOKENS
from tests.unit.core.budgets import SETTINGS, UNKNOWN, answer, full

SIZE = RequestSize(400, 1, 1, 0, None, 100, function_tools=False, embedding_tokens=None)
NAMED = prices("responses", SIZE, Law.RESPONSES, (Reference(ReferenceKind.FILE, b"12345678"),))


def test_a_price_is_no_more_than_what_the_buckets_let_a_call_pay() -> None:
    absurd = Prices.flat(PRICE_MAX)
    assert full().price(absurd) == 2 * 60_000
    assert full().price(Prices.flat(700)) == 700
    assert Budget(UNKNOWN, 0, None).price(absurd) == PRICE_MAX, "no bucket is known"


def test_a_cap_of_the_operator_counts_what_an_answer_has_told() -> None:
    budget = full(LimitBeliefs("m", tokens=60_000, requests=None, cap_tokens=10_000))
    budget.reserve(0, budget.price(NAMED), 0, prices=NAMED)
    assert budget.charged_last_minute(0) == 119 + FIRST_TOKENS[ReferenceKind.FILE]
    assert budget.record_answer(0, 500, answer(), TokenUsage(200, 10)) == FIRST_TOKENS[ReferenceKind.FILE] - 100
    assert budget.charged_last_minute(500) == 219


def test_the_end_of_a_call_tells_nothing_of_a_charge_that_its_answer_does_not_tell() -> None:
    budget = full(SETTINGS)
    budget.reserve(0, 400, 0)
    assert budget.record_answer(0, 500, answer()) == 0
