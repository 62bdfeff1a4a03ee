"""What a request is told that it did wrong: 400s and 404s in OpenAI's words, where they are recorded."""

from collections.abc import Mapping
from typing import Any

from broker.simulator import wording
from broker.simulator.books import IdCount
from broker.simulator.pricing import Endpoint
from broker.simulator.reply import Reply


def complaint_about(endpoint: Endpoint, body: Mapping[str, Any], count: IdCount) -> Reply | None:
    """The 400 about a body that was charged already, or None if it can be answered."""
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
    if streamed is not None and not isinstance(streamed, bool):
        return bad_request("Invalid type for 'stream': expected a boolean.", count, code="invalid_type", param="stream")
    return None


def unknown_model(endpoint: Endpoint, model: str, count: IdCount) -> Reply:
    """A model that is not served."""
    if endpoint is Endpoint.RESPONSES:
        return Reply(400, wording.unknown_model_body(model, param="model"), count=count)
    return Reply(404, wording.unknown_model_body(model), count=count)


def bad_request(message: str, count: IdCount, *, code: str | None = None, param: str | None = None) -> Reply:
    """A 400."""
    return Reply(400, wording.error_body(message, "invalid_request_error", code=code, param=param), count=count)
