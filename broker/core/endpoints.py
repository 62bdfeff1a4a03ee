"""Table of OpenAI's endpoints: one row for each, with all that tells it from the others.

A new endpoint needs a row here and its name in `headrace.schemas.request.Endpoint`, since schemas import nothing of
ours; if it cannot stream, also in `UNSTREAMED` there. A law of its own is a member of `Law`, computed in
`headrace.broker.core.pricing.laws` and named in `headrace.broker.settings.limits.ChargeLaw`. If its requests or answers
have a form of their own, that is a new `Shape`: mypy then names the places that match on it (`assert_never`), a search
for `Shape.` finds the others, and `headrace.schemas.delta` merges the deltas of its stream. The simulator shares no
code with this table; `headrace.broker.simulator.pricing.Endpoint` must serve the path, or the planner cannot start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Final


class Law(StrEnum):
    """The rule by which a call is charged; `headrace.broker.core.pricing.laws` computes it."""

    CHAT_2025 = "chat-2025"
    CHAT_LEGACY = "chat-legacy"
    DOCUMENTED = "documented"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    USAGE = "usage"  # the input at admission, the output when the call ends


class Shape(Enum):
    """The form of an endpoint's requests and answers."""

    CHAT = "chat"  # messages; choices, each with its finish reason
    RESPONSE = "response"  # instructions and input items; output items under one status
    VECTORS = "vectors"  # texts or token numbers; a vector for each, and no text


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    """One row.

    Attributes:
        name: As in a request's `endpoint`; calls of one endpoint are charged by one law.
        path: Below the base URL.
        shape: The form of its requests and answers.
        laws: The charge laws that may hold, as a rule the dearest first.
        recorded_law: The law that recorded answers support (facts/openai.md §2).
        answer_field: The list that an answer holds, whatever else a server writes or leaves out.
        input_field: Field of the body that holds the messages, input items or inputs.
        takes_lone_input: Whether a string or a list of token numbers may stand there for a list of one item.
        item_texts: Fields of an item that hold text.
        schema_path: Where the body has the schema of a structured output.
        output_caps: Fields of the body that cap the output's tokens.
        usage_input: Field of the answer's `usage` with the input's tokens; `<field>_details` has more of them.
        usage_output: Likewise, with the output's tokens.
        finish_reasons: The API's word for why an answer ended, and ours (`headrace.schemas.outcome.Finish`).
        is_streamed: Whether the answer can come as a stream.
        stream_options: What a request for a stream adds to `stream_options`.
    """

    name: str
    path: str
    shape: Shape
    laws: tuple[Law, ...]
    recorded_law: Law
    answer_field: str
    input_field: str = "input"
    takes_lone_input: bool = True
    item_texts: tuple[str, ...] = ("content",)
    schema_path: tuple[str, ...] = ("text", "format", "schema")
    output_caps: tuple[str, ...] = ()
    usage_input: str = "prompt_tokens"
    usage_output: str = "completion_tokens"
    finish_reasons: Mapping[str, str] = field(default_factory=dict)
    is_streamed: bool = True
    stream_options: Mapping[str, object] = field(default_factory=dict)


_ROWS: Final = (
    EndpointFacts(
        name="chat.completions",
        path="/chat/completions",
        shape=Shape.CHAT,
        laws=(Law.CHAT_LEGACY, Law.DOCUMENTED, Law.CHAT_2025, Law.USAGE),
        recorded_law=Law.CHAT_2025,
        answer_field="choices",
        input_field="messages",
        takes_lone_input=False,
        schema_path=("response_format", "json_schema"),
        output_caps=("max_tokens", "max_completion_tokens"),
        finish_reasons={
            "stop": "stop",
            "length": "length",
            "content_filter": "content_filter",
            "tool_calls": "tool_calls",
            "function_call": "tool_calls",  # its name before there were tools
        },
        stream_options={"include_usage": True},
    ),
    EndpointFacts(
        name="responses",
        path="/responses",
        shape=Shape.RESPONSE,
        laws=(Law.DOCUMENTED, Law.RESPONSES, Law.USAGE),
        recorded_law=Law.RESPONSES,
        answer_field="output",
        item_texts=("content", "output", "arguments"),  # of a message, of a tool's result, of a call to a tool
        output_caps=("max_output_tokens",),
        usage_input="input_tokens",
        usage_output="output_tokens",
        finish_reasons={  # why it is incomplete; a complete one has stopped or waits for tools
            "max_output_tokens": "length",
            "max_messages": "length",
            "content_filter": "content_filter",
        },
    ),
    EndpointFacts(
        name="embeddings",
        path="/embeddings",
        shape=Shape.VECTORS,
        laws=(Law.DOCUMENTED, Law.EMBEDDINGS, Law.USAGE),
        recorded_law=Law.EMBEDDINGS,
        answer_field="data",
        is_streamed=False,
    ),
)
ENDPOINT_TABLE: Final[Mapping[str, EndpointFacts]] = {facts.name: facts for facts in _ROWS}
"""The rows by name; an answer's usage is looked for under every row's fields, in this order."""

DEFAULT_ENDPOINT: Final = "chat.completions"

UNKNOWN_ENDPOINT: Final = EndpointFacts(
    name="other",
    path="",
    shape=Shape.CHAT,
    laws=(Law.DOCUMENTED,),
    recorded_law=Law.DOCUMENTED,
    answer_field="",
)
"""Stands for any endpoint without a row: it is measured like a chat about `input`, and charged as documented."""


def facts_of(endpoint: str) -> EndpointFacts:
    """Return the row of an endpoint, or `UNKNOWN_ENDPOINT`."""
    return ENDPOINT_TABLE.get(endpoint, UNKNOWN_ENDPOINT)
