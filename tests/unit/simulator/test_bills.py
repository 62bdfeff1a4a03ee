"""Bills: what each answer that was sent said of its model, tier and tokens."""

from collections import deque
from typing import Any

import pytest

from headrace.broker.simulator.bills import AnswerBill, Bills

DETAILS = {"cached_tokens": 3, "cache_write_tokens": 2, "image_tokens": 1}


@pytest.mark.parametrize(
    "usage",
    [
        {
            "prompt_tokens": 9,
            "completion_tokens": 4,
            "prompt_tokens_details": DETAILS,
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
        {
            "input_tokens": 9,
            "output_tokens": 4,
            "input_tokens_details": DETAILS,
            "output_tokens_details": {"reasoning_tokens": 5},
        },
    ],
)
def test_a_bill_has_one_set_of_names_for_all_endpoints(usage: dict[str, Any]) -> None:
    bills = Bills()
    bills.add("lead-1", "req_1", "chat/completions", {"model": "gpt-x", "service_tier": "flex", "usage": usage})
    assert list(bills) == [AnswerBill("lead-1", "req_1", "chat/completions", "gpt-x", "flex", 9, 4, 3, 2, 1, 5)]


def test_what_an_answer_does_not_say_is_none_or_nothing() -> None:
    bills = Bills()
    bills.add("lead-1", "req_1", "embeddings", {"model": "e", "usage": {"prompt_tokens": 9, "total_tokens": 9}})
    bills.add("lead-2", "req_2", "embeddings", {})
    assert [bill.as_json() for bill in bills][1] == AnswerBill("lead-2", "req_2", "embeddings", "", "", 0, 0).as_json()
    assert next(iter(bills)) == AnswerBill("lead-1", "req_1", "embeddings", "e", "", 9, 0)


def test_the_oldest_are_forgotten_and_counted() -> None:
    bills = Bills(deque(maxlen=2))
    for number in range(5):
        bills.add(f"lead-{number}", "", "", {})
    assert [bill.request_id for bill in bills] == ["lead-3", "lead-4"]
    assert (len(bills), bills.forgotten) == (2, 3)
