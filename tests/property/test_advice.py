"""The advice takes any request and any outcome: it never raises, shows no prompt, and ends in time."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.advice.prices import price
from headrace.broker.spending.advice.advisor import Advisor
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import DecodedRequest
from headrace.schemas.spending import AdvisedOutcome

MARK = "zqxjkv"
TEXTS = st.text(max_size=40) | st.sampled_from([f"{MARK}\ud800", f"{MARK}. " * 50, f"\0image {MARK}", "\n", " " * 300])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "name", "image_url", MARK]), inner)
    ),
    max_leaves=12,
)
BODIES = st.dictionaries(
    st.sampled_from(
        [
            "messages", "input", "instructions", "tools", "functions", "response_format", "text", "max_tokens",
            "max_output_tokens", "max_completion_tokens", "n", "prompt_cache_key", "service_tier", "model",
        ]
    ),
    VALUES,
)  # fmt: skip
COUNTS = st.integers(min_value=-(2**63), max_value=2**63)
USAGE = ("input_tokens", "output_tokens", "cached_tokens")
OUTCOMES = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["completed", "failed"]),
        "model": st.sampled_from(["gpt-4o", "gpt-5", "gpt-4", "x", None]),
    },
    optional={
        "reason": st.sampled_from(["deadline_exceeded", "exhausted", None]),
        "finish": st.sampled_from(["length", "stop", None]),
        "usage": st.fixed_dictionaries({}, optional=dict.fromkeys(USAGE, COUNTS)),
        "charge_tokens": COUNTS | st.none(),
        "attempts": COUNTS,
        "cost": st.fixed_dictionaries({"micro_usd": st.floats() | st.none()}),
        "request_digest": TEXTS,
        "lane": TEXTS,
        "tier_asked": TEXTS,
        "tier_served": TEXTS,
    },
)


def request_of(number: int, body: dict[str, Any], template: str | None) -> DecodedRequest:
    """A request with a body that need not be valid."""
    request = GenerationRequest.model_construct(id=f"lead-{number}", body=body, template=template)
    return DecodedRequest(request)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(BODIES, OUTCOMES), min_size=1, max_size=12), st.sampled_from(["welcome", None]))
def test_any_bodies_and_outcomes_lead_to_findings_without_prompts(
    calls: list[tuple[dict[str, Any], dict[str, Any]]], template: str | None
) -> None:
    advisor = Advisor(price=price)
    for copy in range(8):
        for number, (body, outcome) in enumerate(calls):
            fields = outcome | {"id": f"lead-{copy}-{number}", "template": template}
            advisor.outcome(AdvisedOutcome.model_validate(fields))
            advisor.request(request_of(0, body, template), "bulk")
            advisor.request(
                DecodedRequest(
                    GenerationRequest.model_construct(id=f"lead-{copy}-{number}", body=body, template=template)
                )
            )
    assert MARK not in json.dumps([each.as_json() for each in advisor.findings()])
    advisor.findings(show_prompts=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    ["a" * 10_000_000, " " * 10_000_000, ". " * 5_000_000, "é\n" * 3_000_000, ["x", 1] * 1_000_000, [[[]]] * 1_000_000],
    ids=["letters", "blanks", "sentences", "lines", "values", "lists"],
)
def test_prompts_of_ten_megabytes_take_a_second_each_at_most(content: Any) -> None:
    advisor, begun = Advisor(price=price), time.process_time()
    usage = {"input_tokens": 2_500_000, "output_tokens": 10}
    for number in range(10):
        advisor.outcome(
            AdvisedOutcome.model_validate(
                {"id": f"lead-{number}", "status": "completed", "model": "gpt-4o", "usage": usage}
            )
        )
        advisor.request(request_of(number, {"model": "gpt-4o", "input": content}, None))
    advisor.findings()
    assert time.process_time() - begun < 10


def test_nesting_of_any_depth_does_not_raise() -> None:
    value: Any = MARK
    for _ in range(50_000):
        value = {"content": [value]}
    advisor = Advisor()
    advisor.request(request_of(1, {"messages": value, "tools": value, "input": value, "text": value}, "welcome"))
    assert advisor.findings() == []
