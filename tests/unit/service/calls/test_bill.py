from typing import Any

import pytest

from headrace.broker.service.calls.bill import USAGE_TOKENS_MAX, usage_of
from headrace.schemas.outcome import Usage


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
