"""Answers whose body is a whole JSON document: what OpenAI answered, with headers of ours beside it."""

from headrace.broker.gateway.shapes.failures import error_of
from headrace.schemas.cloudevents import json_bytes
from headrace.schemas.outcome import Failed, Outcome

JSON_TYPE = "application/json"
EVENTS_TYPE = "text/event-stream; charset=utf-8"


def outcome_headers(outcome: Outcome, given_id: str) -> dict[str, str]:
    """Return the headers of any answer made of an outcome.

    `x-request-id` is OpenAI's own id of the last call, by which its support finds the call; it is absent if OpenAI gave
    none. The others say which id the request has for its client, on which lane it waited, how long, how many calls were
    made for it, and what the last of them cost.
    """
    waited_ms = outcome.timings.queue_ms
    micro_usd = None if outcome.cost is None else outcome.cost.micro_usd
    told = {
        "x-request-id": outcome.upstream_request_id,
        "x-headrace-id": given_id,
        "x-headrace-lane": outcome.lane,
        "x-headrace-wait-ms": None if waited_ms is None else str(waited_ms),
        "x-headrace-attempts": str(outcome.attempts),
        "x-headrace-cost-micro-usd": None if micro_usd is None else f"{micro_usd:.6f}".rstrip("0").rstrip("."),
    }
    return {name: value for name, value in told.items() if value is not None}


def answer(outcome: Outcome, given_id: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and JSON body of a whole answer: OpenAI's body as it came, or the error object."""
    headers = outcome_headers(outcome, given_id)
    if isinstance(outcome, Failed):
        error = error_of(outcome)
        return error.status, headers | error.headers, json_bytes(error.body())
    return 200, headers, json_bytes(outcome.response)
