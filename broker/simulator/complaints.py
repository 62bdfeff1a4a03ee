"""Client errors of a request: 400s and 404s in OpenAI's words, where they are recorded."""

from collections.abc import Mapping
from typing import Any, Final

from headrace.broker.simulator import wording
from headrace.broker.simulator.accounting import IdCount
from headrace.broker.simulator.pricing import Endpoint, input_tokens_of
from headrace.broker.simulator.reply import Reply

INPUTS_MAX: Final = 2_048
INPUT_TOKENS_MAX: Final = 8_192
SUM_TOKENS_MAX: Final = 300_000


def complaint_about(endpoint: Endpoint, body: Mapping[str, Any], count: IdCount) -> Reply | None:
    """Return the 400 for a body that was charged already, or None if it can be answered."""
    needed = "messages" if endpoint is Endpoint.CHAT else "input"
    if not body.get(needed):
        message = f"Missing required parameter: '{needed}'."
        return bad_request(message, count, code="missing_required_parameter", param=needed)
    if endpoint is Endpoint.CHAT and not isinstance(body[needed], list):
        message = "Invalid type for 'messages': expected an array of objects."
        return bad_request(message, count, code="invalid_type", param=needed)
    streamed = body.get("stream")
    if endpoint is Endpoint.EMBEDDINGS and streamed is not None:
        return bad_request("Unrecognized request argument supplied: stream", count)
    if endpoint is Endpoint.EMBEDDINGS and (beyond := _beyond(body["input"], count)) is not None:
        return beyond
    if streamed is not None and not isinstance(streamed, bool):
        return bad_request("Invalid type for 'stream': expected a boolean.", count, code="invalid_type", param="stream")
    return None


def _beyond(given: Any, count: IdCount) -> Reply | None:
    """Return the 400 for more or longer texts to embed than allowed; only the wording about the sum is recorded."""
    inputs = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
    tokens = [input_tokens_of(Endpoint.EMBEDDINGS, {"input": one}) for one in inputs]
    if len(inputs) > INPUTS_MAX:
        message = f"Invalid 'input': array too long. Expected at most {INPUTS_MAX} items, but got {len(inputs)}."
        return bad_request(message, count, code="array_above_max_length", param="input")
    if max(tokens) > INPUT_TOKENS_MAX:
        message = f"This model's maximum context length is {INPUT_TOKENS_MAX} tokens. One input has {max(tokens)}."
        return bad_request(message, count, code="context_length_exceeded", param="input")
    if sum(tokens) > SUM_TOKENS_MAX:
        kind = "max_tokens_per_request"
        message = f"Requested {sum(tokens)} tokens, max {SUM_TOKENS_MAX} tokens per request"
        return Reply(400, wording.error_body(message, kind, code=kind), count=count)
    return None


def unknown_model(endpoint: Endpoint, model: str, count: IdCount) -> Reply:
    """Build the reply for a model that is not served."""
    if endpoint is Endpoint.RESPONSES:
        return Reply(400, wording.unknown_model_body(model, param="model"), count=count)
    return Reply(404, wording.unknown_model_body(model), count=count)


def bad_request(message: str, count: IdCount, *, code: str | None = None, param: str | None = None) -> Reply:
    """Build a 400."""
    return Reply(400, wording.error_body(message, "invalid_request_error", code=code, param=param), count=count)
