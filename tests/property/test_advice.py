"""The advice takes any request and any outcome: it never raises, shows no prompt, and ends in time."""

import json
import math
import random
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
from headrace.schemas.spent_json import TOKENS_MAX

MARK = "zqxjkv"
TEXTS = (f"{MARK}\ud800", f"{MARK}. " * 50, f"\0image {MARK}", "\n", " " * 300, "", "é。", "low", "2026-11-28")
NAMES = ("role", "content", "type", "text", "name", "image_url", MARK)
FIELDS = (
    "messages", "input", "instructions", "tools", "functions", "response_format", "text", "max_tokens",
    "max_output_tokens", "max_completion_tokens", "n", "prompt_cache_key", "service_tier", "model",
)  # fmt: skip
NUMBERS = (0, 1, -1, 16, 300, 2**31, 2**63, 10**30, -(10**12), 0.5, -1.8e308, math.inf, math.nan)
COUNTS = (0, 1, 5, 300, 4_000, 2**63, -1, -(2**40))
TOKENS = (0, 1, 5, 300, 4_000, TOKENS_MAX)
"""Others are refused where outcomes are read."""
WORDS = ("", "bulk", "flex", "\ud800", "x" * 2_000, None)
OUTCOME = {
    "reason": ("deadline_exceeded", "exhausted", None, "\ud800"),
    "finish": ("length", "stop", None),
    "charge_tokens": (*COUNTS, None),
    "attempts": COUNTS,
    "request_digest": TEXTS,
    "lane": WORDS,
    "tier_asked": WORDS,
    "tier_served": WORDS,
}


def value_of(rng: random.Random, depth: int = 4) -> Any:
    """Any JSON value, and some that JSON has no form for."""
    kind = rng.randrange(6 if depth else 4)
    if kind < 2:
        return rng.choice(TEXTS)
    if kind < 4:
        return rng.choice((*NUMBERS, None, True, False))
    size = rng.randrange(4)
    if kind == 4:
        return [value_of(rng, depth - 1) for _ in range(size)]
    return {name: value_of(rng, depth - 1) for name in rng.sample(NAMES, size)}


def body_of(rng: random.Random) -> dict[str, Any]:
    """A body with some of the fields that are looked at."""
    return {name: value_of(rng) for name in rng.sample(FIELDS, rng.randrange(len(FIELDS)))}


def outcome_of(rng: random.Random) -> dict[str, Any]:
    """The fields of an outcome, whatever they say."""
    fields: dict[str, Any] = {name: rng.choice(values) for name, values in OUTCOME.items() if rng.random() < 0.7}
    fields["status"] = rng.choice(("completed", "failed"))
    fields["model"] = rng.choice(("gpt-4o", "gpt-5", "gpt-4", "x", None))
    if rng.random() < 0.8:
        fields["usage"] = {name: rng.choice(TOKENS) for name in ("input_tokens", "output_tokens", "cached_tokens")}
    if rng.random() < 0.5:
        fields["cost"] = {"micro_usd": rng.choice((0.0, 15_000.5, -1.0, 1e308, math.inf, math.nan, None))}
    return fields


def request_of(number: int, body: dict[str, Any], template: str | None) -> DecodedRequest:
    """A request with a body that need not be valid."""
    request = GenerationRequest.model_construct(id=f"lead-{number}", body=body, template=template)
    return DecodedRequest(request)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["welcome", None]))
def test_any_bodies_and_outcomes_lead_to_findings_without_prompts(seed: int, template: str | None) -> None:
    rng, advisor = random.Random(seed), Advisor(price=price)
    bodies = [body_of(rng) for _ in range(rng.randint(1, 6))]
    for number in range(40):
        body, fields = rng.choice(bodies), outcome_of(rng)
        advisor.outcome(AdvisedOutcome.model_validate(fields | {"id": f"lead-{number}", "template": template}))
        advisor.request(request_of(number, body, template), "bulk")
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
