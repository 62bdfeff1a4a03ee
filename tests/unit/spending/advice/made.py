"""Outcomes and requests of one template, and what the advisor finds in them."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.advice.prices import price
from headrace.broker.spending.advice.advisor import Advisor
from headrace.broker.spending.advice.finding import AdviceFinding, Waste
from headrace.schemas.outcome import Cost, Timings, Usage
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import DecodedRequest
from headrace.schemas.spending import AdvisedOutcome

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
FILLER = "the mill wheel turns at the rate the water of the headrace brings to its buckets "


def text(chars: int, mark: str = "") -> str:
    """A text of so many characters without the end of a sentence, which only the mark tells from others."""
    return (mark + FILLER * (chars // len(FILLER) + 1))[:chars]


def answered(number: int, **given: Any) -> AdvisedOutcome:
    """An outcome; each is a second after the one before."""
    usage = given.pop("usage", None) or Usage(
        input_tokens=given.pop("input", 1_000),
        output_tokens=given.pop("output", 200),
        cached_tokens=given.pop("cached", 0),
    )
    called = given.pop("called_at", NOON + timedelta(seconds=number))
    fields: dict[str, Any] = {
        "status": "completed",
        "id": f"lead-{number}",
        "lane": "standard",
        "template": "welcome",
        "model": "gpt-4o",
        "attempts": 1,
        "usage": usage,
        "finish": "stop",
        "charge_tokens": 1_000,
        "tier_served": "default",
        "timings": Timings(submitted_at=called, called_at=called, finished_at=called + timedelta(seconds=2)),
    }
    fields |= given
    if "cost" not in fields:
        fields["cost"] = price(fields["model"] or "", fields["tier_asked"] if fields.get("tier_asked") else "", usage)
    return AdvisedOutcome.model_validate(fields)


def asked(number: int, content: Any = "hello", **given: Any) -> DecodedRequest:
    """A request; further arguments go into its body."""
    template, deadline = given.pop("template", "welcome"), given.pop("deadline", None)
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]} | given
    return DecodedRequest(GenerationRequest(id=f"lead-{number}", body=body, template=template, deadline=deadline))


def advised(
    outcomes: Iterable[AdvisedOutcome],
    requests: Iterable[DecodedRequest] = (),
    *,
    show_prompts: bool = False,
    prices: Callable[[str, str, Usage], Cost | None] | None = price,
    lane_deadlines_s: Mapping[str, float] | None = None,
) -> list[AdviceFinding]:
    """What is found in them."""
    advisor = Advisor(price=prices, lane_deadlines_s=lane_deadlines_s)
    for outcome in outcomes:
        advisor.outcome(outcome)
    for request in requests:
        advisor.request(request, "standard")
    return advisor.findings(show_prompts=show_prompts)


def only(found: list[AdviceFinding], kind: Waste) -> AdviceFinding:
    """The one finding, which is of this kind."""
    assert [each.kind for each in found] == [kind]
    return found[0]
