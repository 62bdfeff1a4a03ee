"""Requests of OpenAI's clients as bodies for a lane, and the refusal of what Headrace cannot serve.

Everything that only OpenAI can judge is passed on as it came, unknown members too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from headrace.broker.core.endpoints import ENDPOINT_TABLE, Shape, facts_of
from headrace.broker.gateway.shapes.chat_stream import ChatStream
from headrace.broker.gateway.shapes.errors import invalid_json, invalid_request
from headrace.broker.gateway.shapes.response_stream import ResponseStream
from headrace.broker.gateway.shapes.stream import StreamShape
from headrace.schemas.refusals import MODEL_NAME_MAX
from headrace.schemas.request import FORBIDDEN_BODY_KEYS, UNSTREAMED

BASE_PATH: Final = "/v1"
ENDPOINT_OF_PATH: Final[Mapping[str, str]] = {BASE_PATH + facts.path: name for name, facts in ENDPOINT_TABLE.items()}
"""Endpoint by the path of its HTTP requests, such as `/v1/chat/completions`."""


@dataclass(frozen=True, slots=True)
class LaneBody:
    """A request of a client, as a lane takes it.

    Attributes:
        body: For the request's `body`; without `stream`, which stands beside it.
        stream: Whether the client reads the answer as server-sent events.
        include_usage: Whether a chat completion's stream ends with its usage.
    """

    endpoint: str
    body: dict[str, Any]
    model: str
    stream: bool = False
    include_usage: bool = False

    def shape(self, given_id: str) -> StreamShape:
        """Return the stream of the answer."""
        if facts_of(self.endpoint).shape is Shape.RESPONSE:
            return ResponseStream(given_id, self.body)
        return ChatStream(given_id, include_usage=self.include_usage)


def lane_body(endpoint: str, given: object) -> LaneBody:
    """Convert the JSON body of an HTTP request.

    Raises:
        ApiError: 400; it names the parameter at fault.
    """
    if not isinstance(given, dict):
        raise invalid_json()
    for name in FORBIDDEN_BODY_KEYS:
        if name in given:
            raise invalid_request(f"Unrecognized request argument supplied: {name}", param=name)
    model = _model(given)
    stream = _flag(given, "stream")
    if stream and endpoint in UNSTREAMED:
        raise invalid_request(f"The answer of {endpoint} cannot be streamed.", param="stream")
    if facts_of(endpoint).shape is Shape.RESPONSE and _flag(given, "background"):
        message = "background is not supported: send the request with the header `Prefer: respond-async` instead."
        raise invalid_request(message, param="background", code="unsupported_parameter")
    options = given.get("stream_options")
    if options is not None and not stream and endpoint not in UNSTREAMED:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise invalid_request(message, param="stream_options")
    body = {name: value for name, value in given.items() if name != "stream"}
    include_usage = isinstance(options, Mapping) and options.get("include_usage") is True
    return LaneBody(endpoint, body, model, stream, include_usage)


def _model(given: Mapping[str, Any]) -> str:
    model = given.get("model")
    if model is None or model == "":
        raise invalid_request("you must provide a model parameter", param="model")
    if not isinstance(model, str) or not model.strip():
        raise invalid_request("The model must be the name of a model.", param="model", code="invalid_type")
    if len(model) > MODEL_NAME_MAX:
        message = f"The name of a model has at most {MODEL_NAME_MAX} characters."
        raise invalid_request(message, param="model", code="string_above_max_length")
    return model


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid_request(f"Invalid type for '{name}': expected a boolean.", param=name, code="invalid_type")
    return bool(value)
