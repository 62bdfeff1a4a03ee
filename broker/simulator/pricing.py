"""What a call costs in tokens at admission, written from the recorded headers and not from the core's laws.

OpenAI does not debit what a tokenizer counts. The laws below reproduce the recorded `limit - remaining` (the facts'
§2): bytes of message text divided by four, plus a count of messages, plus a term that changed in March 2025. Bodies
that are malformed are priced too, since a 400 is charged; what is not text counts nothing.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

IMAGE_TOKENS: Final = 765
LEGACY_MAX_TOKENS: Final = 16  # the default the legacy law assumed when a request named none
RESPONSES_EXTRA: Final = 19
RESPONSES_EXTRA_WITH_TOOLS: Final = 217


class Endpoint(StrEnum):
    """The endpoints served, by the path below /v1."""

    CHAT = "chat/completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"


class Law(StrEnum):
    """How Chat Completions are charged; the other endpoints have one law each."""

    CHAT_2025 = "chat-2025"
    CHAT_LEGACY = "chat-legacy"
    DOCUMENTED = "documented"


def charge_of(endpoint: Endpoint, body: Mapping[str, Any], law: Law) -> int:
    """Tokens the bucket loses when `body` is admitted, never less than 1."""
    match endpoint:
        case Endpoint.CHAT:
            charge = _chat_charge(body, law)
        case Endpoint.RESPONSES:
            charge = input_tokens_of(endpoint, body) + (
                RESPONSES_EXTRA_WITH_TOOLS if _has_function_tools(body) else RESPONSES_EXTRA
            )
        case Endpoint.EMBEDDINGS:
            charge = input_tokens_of(endpoint, body)
    return max(1, charge)


def input_tokens_of(endpoint: Endpoint, body: Mapping[str, Any]) -> int:
    """The usage to report for the input: an estimate by bytes, since no tokenizer is loaded here."""
    match endpoint:
        case Endpoint.CHAT:
            messages = _messages(body.get("messages"))
            return 3 + sum(4 + _quarters(_text_bytes(message.get("content"))) for message in messages)
        case Endpoint.RESPONSES:
            return _responses_input(body)
        case Endpoint.EMBEDDINGS:
            return _embedding_input(body.get("input"))


def text_of(endpoint: Endpoint, body: Mapping[str, Any]) -> str:
    """All text of the prompt, for the copywriter to read."""
    if endpoint is Endpoint.CHAT:
        contents = [message.get("content") for message in _messages(body.get("messages"))]
    else:
        given = body.get("input")
        contents = [item.get("content") for item in _messages(given)] if isinstance(given, list) else [given]
        contents.insert(0, body.get("instructions"))
    return "\n".join(text for content in contents for text in _texts(content))


def _chat_charge(body: Mapping[str, Any], law: Law) -> int:
    messages = _messages(body.get("messages"))
    text_bytes = sum(_text_bytes(message.get("content")) for message in messages)
    images = sum(_images(message.get("content")) for message in messages)
    choices = _whole(body.get("n")) or 1
    answer_max = _whole(body.get("max_tokens")) or _whole(body.get("max_completion_tokens"))
    match law:
        case Law.CHAT_2025:
            return _quarters(text_bytes) + len(messages) + choices + IMAGE_TOKENS * images
        case Law.CHAT_LEGACY:
            answer = (answer_max or LEGACY_MAX_TOKENS) * choices
            return _quarters(text_bytes) + len(messages) + answer + IMAGE_TOKENS * images
        case Law.DOCUMENTED:
            estimate = _quarters(text_bytes) + len(messages) + IMAGE_TOKENS * images
            return max((answer_max or 0) * choices, estimate)


def _responses_input(body: Mapping[str, Any]) -> int:
    given = body.get("input")
    contents = [item.get("content") for item in _messages(given)] if isinstance(given, list) else [given]
    text_bytes = sum(_text_bytes(content) for content in contents) + _text_bytes(body.get("instructions"))
    images = sum(_images(content) for content in contents)
    return _quarters(text_bytes) + IMAGE_TOKENS * images


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


def _images(content: Any) -> int:
    if not isinstance(content, list):
        return 0
    return sum(1 for part in content if isinstance(part, Mapping) and part.get("type") in {"image_url", "input_image"})


def _has_function_tools(body: Mapping[str, Any]) -> bool:
    return any(tool.get("type") == "function" for tool in _messages(body.get("tools")))


def _quarters(count: int) -> int:
    return -(-count // 4)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
