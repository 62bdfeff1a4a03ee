"""Arrivals of a run: requests with an instant, described in both vocabularies, the core's and the simulator's.

Each of the two prices a request by its own code, as the dispatcher and OpenAI do, so a request has two sizes.
"""

from typing import Final, NamedTuple

from headrace.broker.core.endpoints import DEFAULT_ENDPOINT, ENDPOINT_TABLE
from headrace.broker.core.pricing.laws import RequestSize
from headrace.broker.core.pricing.references import Reference
from headrace.broker.simulator.pricing import Endpoint
from headrace.broker.simulator.pricing import Size as AskedSize

NEVER_MS: Final = 1 << 50

ENDPOINTS: Final = {facts.name: Endpoint(facts.path.removeprefix("/")) for facts in ENDPOINT_TABLE.values()}
"""The simulator's name of each endpoint."""


class Arrival(NamedTuple):
    """One request.

    Attributes:
        at_ms: When its record is in Kafka, in the run's time.
        lane: Its lane.
        model: The requested model.
        size: Input of the core's laws.
        asked: Input of the simulator's laws.
        partition: Of its lane's topic.
        endpoint: A name of `ENDPOINTS`.
        output_tokens: Tokens of its answer.
        deadline_ms: When its answer becomes useless, in the run's time.
        tier: The service tier it asks for; empty: it names none.
        references: Input that its body only names; `asked` holds it.
        answer_mark: The mark of its answer, by which later requests name it.
        template: Its prompt template; empty: it names none.
    """

    at_ms: int
    lane: str
    model: str
    size: RequestSize
    asked: AskedSize
    partition: int = 0
    endpoint: str = DEFAULT_ENDPOINT
    output_tokens: int = 0
    deadline_ms: int = NEVER_MS
    tier: str = ""
    references: tuple[Reference, ...] = ()
    answer_mark: bytes = b""
    template: str = ""


def chat_sizes(
    text_bytes: int, *, messages: int = 1, choices: int = 1, answer_max: int | None = None
) -> tuple[RequestSize, AskedSize]:
    """Return both sizes of a chat with `text_bytes` bytes of text in all messages together."""
    asked = AskedSize.chat(text_bytes, messages=messages, choices=choices, answer_max=answer_max)
    return RequestSize(text_bytes, messages, choices, 0, answer_max, asked.input_tokens, False, None), asked


def embedding_sizes(text_bytes: int, *, inputs: int = 1) -> tuple[RequestSize, AskedSize]:
    """Return both sizes of a call that embeds `text_bytes` bytes of plain text."""
    tokens = (text_bytes + 1) // 4
    return RequestSize(text_bytes, inputs, 1, 0, None, tokens, False, None), AskedSize(input_tokens=tokens)


def responses_sizes(input_tokens: int, *, function_tools: bool = False) -> tuple[RequestSize, AskedSize]:
    """Return both sizes of a call to the Responses API with `input_tokens` tokens of input."""
    size = RequestSize(4 * input_tokens, 1, 1, 0, None, input_tokens, function_tools, None)
    return size, AskedSize(input_tokens=input_tokens, function_tools=function_tools)
