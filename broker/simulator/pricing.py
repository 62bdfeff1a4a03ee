"""Tokens charged for a call at admission, written from the recorded headers and not from the core's laws.

OpenAI does not debit what a tokenizer counts. The laws below reproduce the recorded `limit - remaining` (the facts'
§2): bytes of message text divided by four, plus a count of messages, plus a term that changed in March 2025. Malformed
bodies are priced too, since a 400 is charged; anything but text counts nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from headrace.broker.simulator.pictures import picture_tokens

IMAGE_TOKENS: Final = 765
LEGACY_MAX_TOKENS: Final = 16  # the default the legacy law assumed when a request named none
RESPONSES_EXTRA: Final = 19
RESPONSES_EXTRA_WITH_TOOLS: Final = 217
WORDS_DEPTH_MAX: Final = 50


class Endpoint(StrEnum):
    """The endpoints served, by the path below /v1."""

    CHAT = "chat/completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"


class ChatLaw(StrEnum):
    """Charge law of Chat Completions; the other endpoints have one law each.

    `USAGE` concerns Responses as well: the input is charged at admission, the output when the call ends (the facts'
    §2.2, inferred there).
    """

    CHAT_2025 = "chat-2025"
    CHAT_LEGACY = "chat-legacy"
    DOCUMENTED = "documented"
    USAGE = "usage"


@dataclass(frozen=True, slots=True)
class Size:
    """Input of the laws. A benchmark makes one with `Size.chat` or gives `input_tokens` alone.

    `input_tokens` are those of the text, `picture_tokens` those billed for the pictures beside it.
    """

    input_tokens: int
    text_bytes: int = 0
    messages: int = 1
    choices: int = 1
    images: int = 0
    answer_max: int | None = None
    function_tools: bool = False
    picture_tokens: int = 0

    @classmethod
    def chat(cls, text_bytes: int, *, messages: int = 1, choices: int = 1, answer_max: int | None = None) -> "Size":
        """Size a chat of `messages` messages with `text_bytes` bytes of text together."""
        input_tokens = 3 + 4 * messages + _quarters(text_bytes)
        return cls(input_tokens, text_bytes, messages, choices, answer_max=answer_max)


def charge_of(endpoint: Endpoint, body: Mapping[str, Any], law: ChatLaw) -> int:
    """Return the tokens the bucket loses when `body` is admitted, never less than 1."""
    return charge_at(endpoint, size_of(endpoint, body), law)


def charge_at(endpoint: Endpoint, size: Size, law: ChatLaw) -> int:
    """Return the same for a call of which only the size is known."""
    match endpoint:
        case Endpoint.CHAT:
            charge = _chat_charge(size, law)
        case Endpoint.RESPONSES:
            pictures = size.picture_tokens if law is ChatLaw.USAGE else IMAGE_TOKENS * size.images
            charge = size.input_tokens + pictures + _responses_extra(size)
        case Endpoint.EMBEDDINGS:
            charge = size.input_tokens
    return max(1, charge)


def settlement_of(endpoint: Endpoint, size: Size, output_tokens: int, law: ChatLaw) -> int:
    """Return the tokens debited at the call's end: under `USAGE` its output, less what was charged for it before."""
    if law is not ChatLaw.USAGE:
        return 0
    match endpoint:
        case Endpoint.CHAT:
            return output_tokens
        case Endpoint.RESPONSES:
            return max(0, output_tokens - _responses_extra(size))
        case Endpoint.EMBEDDINGS:
            return 0


def input_tokens_of(endpoint: Endpoint, body: Mapping[str, Any]) -> int:
    """Return the input usage to report: an estimate by bytes, since no tokenizer is loaded here."""
    size = size_of(endpoint, body)
    return size.input_tokens + size.picture_tokens


def size_of(endpoint: Endpoint, body: Mapping[str, Any]) -> Size:
    """Measure a body, which may be malformed, for the laws."""
    match endpoint:
        case Endpoint.CHAT:
            messages = _messages(body.get("messages"))
            pictures = [picture for message in messages for picture in _pictures(message.get("content"))]
            text_bytes = [_text_bytes(message.get("content")) for message in messages]
            return Size(
                input_tokens=3 + sum(4 + _quarters(count) for count in text_bytes) + _beside(endpoint, body),
                text_bytes=sum(text_bytes),
                messages=len(messages),
                choices=_whole(body.get("n")) or 1,
                images=len(pictures),
                answer_max=_whole(body.get("max_tokens")) or _whole(body.get("max_completion_tokens")),
                picture_tokens=sum(picture_tokens(body.get("model"), picture) for picture in pictures),
            )
        case Endpoint.RESPONSES:
            items = _messages(body.get("input"))
            pictures = [picture for item in items for picture in _pictures(item.get("content"))]
            return Size(
                input_tokens=_responses_input(body),
                images=len(pictures),
                function_tools=_has_function_tools(body),
                picture_tokens=sum(picture_tokens(body.get("model"), picture) for picture in pictures),
            )
        case Endpoint.EMBEDDINGS:
            return Size(input_tokens=_embedding_input(body.get("input")))


def text_of(endpoint: Endpoint, body: Mapping[str, Any]) -> str:
    """Join all text of the prompt, for `filler_text` to read."""
    if endpoint is Endpoint.CHAT:
        contents = [message.get("content") for message in _messages(body.get("messages"))]
    else:
        given = body.get("input")
        contents = [item.get("content") for item in _messages(given)] if isinstance(given, list) else [given]
        contents.insert(0, body.get("instructions"))
    return "\n".join(text for content in contents for text in _texts(content))


def _chat_charge(size: Size, law: ChatLaw) -> int:
    text_tokens = _quarters(size.text_bytes) + size.messages + IMAGE_TOKENS * size.images
    match law:
        case ChatLaw.CHAT_2025:
            return text_tokens + size.choices
        case ChatLaw.CHAT_LEGACY:
            return text_tokens + (size.answer_max or LEGACY_MAX_TOKENS) * size.choices
        case ChatLaw.DOCUMENTED:
            return max((size.answer_max or 0) * size.choices, text_tokens)
        case ChatLaw.USAGE:
            return size.input_tokens + size.picture_tokens


def _responses_extra(size: Size) -> int:
    return RESPONSES_EXTRA_WITH_TOOLS if size.function_tools else RESPONSES_EXTRA


def _responses_input(body: Mapping[str, Any]) -> int:
    """Estimate the input as a chat's: a lone string and instructions are messages as well."""
    given, instructions = body.get("input"), body.get("instructions")
    contents = [item.get("content") for item in _messages(given)]
    contents += [text for text in (given, instructions) if isinstance(text, str)]
    return 3 + sum(4 + _quarters(_text_bytes(content)) for content in contents) + _beside(Endpoint.RESPONSES, body)


def _beside(endpoint: Endpoint, body: Mapping[str, Any]) -> int:
    """Estimate the tokens of the words in tools and in the schema of a structured output."""
    place, name = ("response_format", "json_schema") if endpoint is Endpoint.CHAT else ("text", "format")
    wanted = body.get(place)
    schema = wanted.get(name) if isinstance(wanted, Mapping) else None
    if endpoint is Endpoint.RESPONSES:
        schema = schema.get("schema") if isinstance(schema, Mapping) else None
    words = [*_words(body.get("tools")), *_words(schema)]
    return sum(_quarters(len(word.encode("utf-8", "surrogatepass"))) for word in words)


def _words(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield names and texts in a JSON value, except those nested very deeply."""
    if isinstance(value, str):
        yield value
    elif depth < WORDS_DEPTH_MAX and isinstance(value, Mapping | list):
        yield from value if isinstance(value, Mapping) else ()
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _words(inner, depth + 1)


def _embedding_input(given: Any) -> int:
    """Strings: characters / 4, halves rounded down as in most recorded rows; arrays of token ids: their exact count."""
    if isinstance(given, str):
        return (len(given) + 1) // 4
    if not isinstance(given, list):
        return 0
    chars = sum(len(item) for item in given if isinstance(item, str))
    ids = sum(1 for item in given if isinstance(item, int)) + sum(len(item) for item in given if isinstance(item, list))
    return (chars + 1) // 4 + ids


def _messages(given: Any) -> list[Mapping[str, Any]]:
    return [item for item in given if isinstance(item, Mapping)] if isinstance(given, list) else []


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]


def _text_bytes(content: Any) -> int:
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in _texts(content))


def _pictures(content: Any) -> list[Mapping[str, Any]]:
    parts = _messages(content)
    return [part for part in parts if part.get("type") in ("image_url", "input_image")]


def _has_function_tools(body: Mapping[str, Any]) -> bool:
    return any(tool.get("type") == "function" for tool in _messages(body.get("tools")))


def _quarters(count: int) -> int:
    return -(-count // 4)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
