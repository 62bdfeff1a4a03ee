"""Prices that no limit could pay, and what bodies do not show."""

from typing import Any

import pytest

from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.laws import (
    PRICE_MAX,
    RequestSize,
    Unshown,
    beyond_any_limit,
    measure,
    prices,
)
from headrace.broker.core.pricing.references import Reference, ReferenceKind
from tests.unit.core.pricing.test_laws import HUGE


@pytest.mark.parametrize("endpoint", ["chat.completions", "responses", "embeddings", "unknown"])
@pytest.mark.parametrize("huge", HUGE)
def test_no_price_is_beyond_what_a_float_a_struct_and_a_log_line_take(endpoint: str, huge: Any) -> None:
    body = dict.fromkeys(("max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of"), huge)
    found = measure(endpoint, body, 10**15)
    assert max(found.choices, found.output_tokens_max or 0) <= PRICE_MAX
    for law in (None, *Law):
        priced = prices(endpoint, found, law)
        assert all(1 <= tokens <= PRICE_MAX for tokens in priced.tokens)


@pytest.mark.parametrize(
    "name", ["max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of", "dimensions", "top_logprobs"]
)
@pytest.mark.parametrize("huge", HUGE)
def test_an_amount_that_no_limit_could_pay_is_named(name: str, huge: Any) -> None:
    assert beyond_any_limit({name: huge}) == f"body.{name}"


def test_a_product_that_no_limit_could_pay_is_named() -> None:
    assert beyond_any_limit({"max_tokens": 10**7, "n": 10**6}) == "body.max_tokens times body.n"
    assert beyond_any_limit({"max_tokens": 10**6, "n": 10**6}) is None


@pytest.mark.parametrize("odd", [None, True, -1, -(10**400), "9" * 400, [10**400], {"n": 10**400}, 0, 1.5, 10**12])
def test_what_is_odd_or_merely_dear_is_left_to_the_limits_and_to_openai(odd: Any) -> None:
    assert beyond_any_limit(dict.fromkeys(("max_tokens", "n", "seed"), odd) | {"n": 1}) is None
    assert beyond_any_limit({"seed": 10**400}) is None


NAMED = (Reference(ReferenceKind.FILE, b"12345678"),)


def test_input_that_a_body_only_names_adds_to_the_input_and_not_to_a_cap_beside_it() -> None:
    size = RequestSize(400, 1, 1, 0, 5_000, 107, function_tools=False, embedding_tokens=None, image_tokens=3)
    asked = prices("responses", size, references=NAMED)
    assert asked.laws == (Law.DOCUMENTED, Law.RESPONSES, Law.USAGE)
    assert asked.tokens == (5_000, 126, 129), "what is not shown is left out"
    assert asked.unshown == Unshown(NAMED, 110, (101, 126, 129))
    assert asked.with_input(1_000).tokens == (5_000, 1_126, 1_129)
    assert asked.with_input(9_000).tokens == (9_101, 9_126, 9_129)
    assert asked.with_input(10**13).tokens == (PRICE_MAX,) * 3
    assert asked.with_input(9_000).unshown is None


def test_input_of_a_body_that_names_none_is_all_there_is() -> None:
    asked = prices("responses", RequestSize(400, 1, 1, 0, None, 107, function_tools=False, embedding_tokens=None))
    assert asked.unshown is None
    assert asked.with_input(5_000) is asked


@pytest.mark.parametrize(("endpoint", "uncapped"), [("chat.completions", 3), ("responses", 3), ("embeddings", 0)])
def test_answers_without_a_cap_are_counted_where_an_endpoint_has_caps(endpoint: str, uncapped: int) -> None:
    size = RequestSize(400, 1, 3, 0, None, 107, function_tools=False, embedding_tokens=None)
    assert prices(endpoint, size).uncapped == uncapped
    assert prices(endpoint, size._replace(output_tokens_max=5)).uncapped == 0
