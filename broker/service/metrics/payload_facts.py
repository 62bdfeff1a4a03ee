"""Facts of a payload that label a metric: its model, its service tier, its trace, its billed tokens."""

from collections.abc import Mapping

from headrace.broker.service.payloads import Payload
from headrace.schemas.outcome import Usage
from headrace.schemas.request_codec import DecodedRequest


def model_of(cargo: Payload) -> str:
    """Return the model a record asks for, or an empty text."""
    return (cargo.content.request.model or "") if isinstance(cargo.content, DecodedRequest) else ""


def tier_asked(cargo: Payload) -> str:
    """Return the service tier a record asks for, or an empty text."""
    return cargo.content.request.tier if isinstance(cargo.content, DecodedRequest) else ""


def exemplar_of(cargo: Payload) -> str | None:
    """Return the trace id to note beside a measurement; None: it is not traced, or not exported."""
    return None if cargo.trace is None else cargo.trace.exemplar


def usage_kinds(usage: Usage | None) -> Mapping[str, int]:
    """Return billed tokens by kind."""
    if usage is None:
        return {}
    return {
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "cached": usage.cached_tokens,
        "reasoning": usage.reasoning_tokens,
    }
