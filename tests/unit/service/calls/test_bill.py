from typing import Any

import pytest

from headrace.broker.service.calls.bill import USAGE_TOKENS_MAX, note_bill, usage_of
from headrace.broker.service.payloads import Payload
from headrace.schemas.outcome import Usage
from headrace.schemas.request_codec import DecodedRequest
from tests.unit.service.publication_rig import Rig


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "total_tokens": 13,
                "prompt_tokens_details": {"cached_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            Usage(input_tokens=9, output_tokens=4, total_tokens=13, cached_tokens=5, reasoning_tokens=2),
        ),
        (
            {
                "input_tokens": 9,
                "output_tokens": 4,
                "total_tokens": 13,
                "input_tokens_details": {"cached_tokens": 5},
                "output_tokens_details": {"reasoning_tokens": 2},
            },
            Usage(input_tokens=9, output_tokens=4, total_tokens=13, cached_tokens=5, reasoning_tokens=2),
        ),
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(input_tokens=8, total_tokens=8)),
        ({"prompt_tokens": 8, "completion_tokens": 1}, Usage(input_tokens=8, output_tokens=1, total_tokens=9)),
        ({"prompt_tokens": -1, "completion_tokens": True, "total_tokens": "9"}, Usage()),
        ({"prompt_tokens": 1.5, "prompt_tokens_details": [1]}, Usage()),
        (
            {
                "prompt_tokens": None,
                "prompt_tokens_details": None,
                "completion_tokens": None,
                "input_tokens": 9,
                "input_tokens_details": {"cached_tokens": 5},
                "output_tokens": 4,
            },
            Usage(input_tokens=9, output_tokens=4, total_tokens=13, cached_tokens=5),
        ),
        ({}, Usage()),
        (None, None),
        ([], None),
        ("many", None),
    ],
)
def test_usage_is_told_under_one_set_of_names(usage: object, expected: Usage | None) -> None:
    assert usage_of({"usage": usage}) == expected


def test_an_answer_without_usage_has_none() -> None:
    assert usage_of({}) is None


@pytest.mark.parametrize("tokens", [10**400, 10**12, USAGE_TOKENS_MAX + 1, -1, True, 1.5, "12", None, [], {}])
def test_numbers_of_tokens_that_cannot_be_are_none(tokens: object) -> None:
    """Sums, metrics and the charge law would carry them on: a metric takes no more than 308 digits."""
    usage = usage_of({"usage": {"prompt_tokens": tokens, "completion_tokens": tokens, "total_tokens": tokens}})
    assert usage == Usage()
    details = {"prompt_tokens_details": {"cached_tokens": tokens}, "completion_tokens_details": tokens}
    assert usage_of({"usage": details}) == Usage()


def usage(**told: Any) -> Usage:
    read = usage_of({"usage": told})
    assert read is not None
    return read


def test_a_total_is_what_the_answer_says_or_else_the_sum() -> None:
    assert usage(prompt_tokens=10, completion_tokens=5, total_tokens=17).total_tokens == 17
    assert usage(prompt_tokens=10, completion_tokens=5).total_tokens == 15
    assert usage(input_tokens=10, output_tokens=5, total_tokens=0).total_tokens == 15


@pytest.mark.parametrize(("told", "kept"), [(1, 1), (USAGE_TOKENS_MAX, USAGE_TOKENS_MAX), (USAGE_TOKENS_MAX + 1, 0)])
def test_a_number_of_tokens_is_believed_up_to_a_bound(told: int, kept: int) -> None:
    assert usage(prompt_tokens=told).input_tokens == kept
    assert usage(prompt_tokens=-told).input_tokens == 0


@pytest.mark.parametrize(
    "usage",
    [
        {
            "prompt_tokens": 90,
            "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2, "image_tokens": 3},
        },
        {"input_tokens": 90, "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2, "image_tokens": 3}},
    ],
)
def test_parts_of_the_input_are_told_under_one_set_of_names(usage: dict[str, Any]) -> None:
    told = usage_of({"usage": usage})
    assert told == Usage(input_tokens=90, total_tokens=90, cached_tokens=1, cache_write_tokens=2, image_tokens=3)


def noted(body: dict[str, Any], *, answered: bool = False) -> Payload:
    cargo = Rig().request(body={"model": "gpt-asked"})
    assert isinstance(cargo.content, DecodedRequest)
    note_bill(cargo, cargo.content.request, body, answered=answered)
    return cargo


def test_an_answer_is_billed_whether_or_not_it_states_tokens() -> None:
    cargo = noted({"model": "gpt-served", "service_tier": "flex", "usage": {"prompt_tokens": 9}}, answered=True)
    assert (cargo.paid, cargo.model_served, cargo.tier_served) == (True, "gpt-served", "flex")
    assert cargo.usage == Usage(input_tokens=9, total_tokens=9)
    assert (noted({}, answered=True).paid, noted({}, answered=True).usage) == (True, None)


@pytest.mark.parametrize(("usage", "paid"), [({"total_tokens": 1}, True), ({"total_tokens": 0}, False), (None, False)])
def test_what_is_no_answer_is_billed_if_it_states_tokens(usage: object, paid: bool) -> None:  # noqa: FBT001  # a table
    cargo = noted({"status": "failed", "error": {"code": "server_error"}, "usage": usage})
    assert cargo.paid is paid
    assert cargo.model_served == ("gpt-asked" if paid else "")


@pytest.mark.parametrize(
    ("named", "kept"), [("x" * 300, "x" * 256), (7, "gpt-asked"), (None, "gpt-asked"), ("", "gpt-asked")]
)
def test_a_model_is_what_the_answer_names_within_bounds_else_the_one_asked_for(named: object, kept: str) -> None:
    assert noted({"model": named}, answered=True).model_served == kept


def test_where_neither_names_a_model_it_has_no_name() -> None:
    cargo = Rig().request(body={})
    assert isinstance(cargo.content, DecodedRequest)
    note_bill(cargo, cargo.content.request, {}, answered=True)
    assert cargo.model_served == ""


def test_the_next_call_forgets_the_bill() -> None:
    cargo = noted({"model": "gpt-served", "service_tier": "flex", "usage": {"prompt_tokens": 9}}, answered=True)
    cargo.forget_bill()
    assert (cargo.paid, cargo.usage, cargo.model_served, cargo.tier_served) == (False, None, "", "")
