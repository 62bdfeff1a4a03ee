"""Charge laws, as values: the tokens that OpenAI takes from its token bucket for one call.

A charge is neither a tokenizer's count nor the bill. It differs by endpoint, changed over the years, and differs from
the documentation (facts/openai.md §2); hence laws are plain functions of a request's `RequestSize`. The server does not
state which of them holds: a request carries the prices of all that may, and evidence tells them apart
(`headrace.broker.core.pricing.tariff`). Streaming, tools of chat, response formats, tool calls and audio cost nothing
at admission. An image is charged a flat sum there, whatever it costs when billed; its base64 does not count as text.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from headrace.broker.core.endpoints import ENDPOINT_TABLE, EndpointFacts, Law, Shape, facts_of
from headrace.broker.core.pricing.images import image_tokens, pixels
from headrace.broker.core.pricing.references import Reference

IMAGE_CHARGE: Final = 765  # each, whatever the image is billed as
LEGACY_OUTPUT_TOKENS: Final = 16  # the value of an unstated max_tokens until 2025-03
RESPONSES_OVERHEAD: Final = 19
RESPONSES_OVERHEAD_WITH_TOOLS: Final = 217
MESSAGE_FRAMING_TOKENS: Final = 3  # around each message, and once more before the answer
ROLE_TOKENS: Final = 1  # of a message that the body only implies: a lone string, and instructions
PRICE_MAX: Final = 10**12
"""The highest price of a call, and the highest figure of a body that is believed.

No limit ever pays that amount, and anything computed from it downstream fits a float, 64 bits and a line of the log.
"""

_RESPONSE: Final = Shape.RESPONSE  # module names: several comparisons a request, each cheaper before Python 3.12
_VECTORS: Final = Shape.VECTORS


class RequestSize(NamedTuple):
    """The quantities of a request that the laws need.

    Attributes:
        content_bytes: UTF-8 bytes of the texts that count, without roles and names; for texts to embed, characters.
        messages: Messages, input items, or inputs to embed.
        choices: Answers requested (`n`).
        images: Images in the input.
        output_tokens_max: The largest cap on the output that the body states.
        input_tokens: A tokenizer's count of the whole input.
        function_tools: Whether a function tool is offered.
        embedding_tokens: Tokens that came as token arrays, counted exactly; None if all input is text.
        image_tokens: The most that the images are billed as.
    """

    content_bytes: int
    messages: int
    choices: int
    images: int
    output_tokens_max: int | None
    input_tokens: int
    function_tools: bool
    embedding_tokens: int | None
    image_tokens: int = 0


class Unshown(NamedTuple):
    """What a body only names, and what the laws charge for the input that it shows.

    Attributes:
        references: As in `headrace.broker.core.pricing.references`; at least one.
        billed: The input that the body shows, as it is billed.
        inputs: The input's part of the charge by each law: what is not shown adds to it, not to a cap beside it.
    """

    references: tuple[Reference, ...]
    billed: int
    inputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prices:
    """The charge of one call at its admission, by each law that may hold for its endpoint.

    Attributes:
        endpoint: As in `EndpointFacts.name`.
        laws: As in `EndpointFacts.laws`; the only one, if an operator has named it.
        tokens: The charge by each of them, at least 1.
        covered: Tokens of the output that `usage` has charged at admission already.
        unshown: Input that the body does not show, which `tokens` leave out; None: the body names none.
        uncapped: Answers without a cap on their output, as many as `n` asks for; 0 if the body states a cap.
        input_tokens: The input that the body shows, as it is billed.
        images: In the input.
        template: Mark of its model and prompt template, whose outputs have lengths of their own; empty: none is named.
    """

    endpoint: str
    laws: tuple[Law, ...]
    tokens: tuple[int, ...]
    covered: int = 0
    unshown: Unshown | None = None
    uncapped: int = 0
    input_tokens: int = 0
    images: int = 0
    template: bytes = b""

    @classmethod
    def flat(cls, tokens: int, law: Law = Law.DOCUMENTED, endpoint: str = "") -> "Prices":
        """Return prices with a single law: an operator has chosen it, or none is known."""
        return cls(endpoint, (law,), (tokens,))

    def with_input(self, tokens: int) -> "Prices":
        """Return the prices of the same call with the input that its body does not show: `tokens` of it."""
        if self.unshown is None:
            return self
        charges = tuple(
            [
                max(shown, min(PRICE_MAX, part + tokens))
                for shown, part in zip(self.tokens, self.unshown.inputs, strict=True)
            ]
        )
        return replace(self, tokens=charges, unshown=None)


def charge(law: Law, size: RequestSize) -> int:
    """Return the tokens that `law` charges at the admission of one call of any endpoint, 1 to `PRICE_MAX`."""
    return max(1, min(PRICE_MAX, _LAWS[law](size)))


def prices(
    endpoint: str,
    size: RequestSize,
    law: Law | None = None,
    references: tuple[Reference, ...] = (),
    template: bytes = b"",
) -> Prices:
    """Return the charge by each law that may hold for the endpoint; only by `law`, if an operator has named one.

    `references` name input that the body does not show; `template` is as in `Prices`.
    """
    facts = facts_of(endpoint)
    laws = facts.laws if law is None else (law,)
    covered = _responses_overhead(size) if facts.shape is _RESPONSE else 0
    at_admission = tuple(
        [min(PRICE_MAX, charge(possible, size) + (covered if possible is Law.USAGE else 0)) for possible in laws]
    )
    unshown = None
    if references:
        inputs = (
            min(PRICE_MAX, _estimate(size)) if possible is Law.DOCUMENTED else tokens
            for possible, tokens in zip(laws, at_admission, strict=True)
        )
        unshown = Unshown(references, min(PRICE_MAX, _usage(size)), tuple(inputs))
    uncapped = size.choices if size.output_tokens_max is None and facts.output_caps else 0
    billed = min(PRICE_MAX, _usage(size))
    images = min(PRICE_MAX, size.images)
    return Prices(facts.name, laws, at_admission, covered, unshown, uncapped, billed, images, template)


def measure(endpoint: str, body: Mapping[str, object], input_tokens: int) -> RequestSize:
    """Return the size of a request body, which may be any JSON that a producer sent: meaningless fields count 0."""
    facts = facts_of(endpoint)
    items, embeds = _items(facts, body), facts.shape is _VECTORS
    pictures = [picture for item in items for picture in _pictures(item)]
    vectors = [vector for item in items if (vector := _vector(item))] if embeds else []
    return RequestSize(
        content_bytes=sum(map(len if embeds else _utf8_bytes, _contents(facts, body))),
        messages=len(items),
        choices=_whole(body.get("n")) or 1,
        images=len(pictures),
        output_tokens_max=max(
            (tokens for name in _OUTPUT_CAPS if (tokens := _whole(body.get(name))) is not None), default=None
        ),
        input_tokens=max(0, input_tokens),
        function_tools=any(_text_at(tool, "type") == "function" for tool in _sequence(body.get("tools"))),
        embedding_tokens=sum(map(len, vectors)) if vectors else None,
        image_tokens=sum(_billed(_text_at(body, "model") or "", picture) for picture in pictures),
    )


def beyond_any_limit(body: Mapping[str, object]) -> str | None:
    """Return what in a body asks for more than any limit could pay, as part of a sentence; None if nothing does."""
    for name in _AMOUNTS:
        value = body.get(name)
        if isinstance(value, int | float) and value > PRICE_MAX:
            return f"body.{name}"
    for name in _OUTPUT_CAPS:
        if (_whole(body.get(name)) or 0) * (_whole(body.get("n")) or 1) > PRICE_MAX:
            return f"body.{name} times body.n"
    return None


def texts(endpoint: str, body: Mapping[str, object]) -> Iterator[str]:
    """Yield the texts that a tokenizer should count; add `framing_tokens` for the tokens between them.

    Tools and the schema of a structured output are billed as input, and so Responses charges for them; chat does only
    where its usage is charged. Their names and values are a fair estimate of a rendering that OpenAI does not publish.
    """
    facts = facts_of(endpoint)
    yield from _contents(facts, body)
    for item in _items(facts, body):
        yield from filter(None, (_text_at(item, "role"), _text_at(item, "name")))
    if facts.shape is not _VECTORS:
        yield from _strings(body.get("tools"))
        yield from _strings(_schema(facts, body))


def framing_tokens(endpoint: str, body: Mapping[str, object]) -> int:
    """Return the tokens around the texts: exact for chat and for Responses without tools (facts/openai.md §7)."""
    facts = facts_of(endpoint)
    if facts.shape is _VECTORS:
        return 0
    items = _items(facts, body)
    named = sum(1 for item in items if _text_at(item, "name"))
    if facts.shape is not _RESPONSE:
        return MESSAGE_FRAMING_TOKENS * (len(items) + 1) + named
    lone, instructed = isinstance(body.get(facts.input_field), str), isinstance(body.get("instructions"), str)
    return MESSAGE_FRAMING_TOKENS * (len(items) + instructed + 1) + ROLE_TOKENS * (lone + instructed) + named


def _chat_2025(size: RequestSize) -> int:
    return _estimate(size) + size.choices


def _chat_legacy(size: RequestSize) -> int:
    tokens_max = LEGACY_OUTPUT_TOKENS if size.output_tokens_max is None else size.output_tokens_max
    return _estimate(size) + tokens_max * size.choices


def _documented(size: RequestSize) -> int:
    return max((size.output_tokens_max or 0) * size.choices, _estimate(size))


def _responses(size: RequestSize) -> int:
    return size.input_tokens + IMAGE_CHARGE * size.images + _responses_overhead(size)


def _responses_overhead(size: RequestSize) -> int:
    return RESPONSES_OVERHEAD_WITH_TOOLS if size.function_tools else RESPONSES_OVERHEAD


def _usage(size: RequestSize) -> int:
    return size.input_tokens + size.image_tokens


def _embeddings(size: RequestSize) -> int:
    """Divide the characters by four, halves rounded down, as in most recordings."""
    return (size.content_bytes + 1) // 4 + (size.embedding_tokens or 0)


def _estimate(size: RequestSize) -> int:
    return _quarter(size.content_bytes) + size.messages + IMAGE_CHARGE * size.images


_LAWS: Final[Mapping[Law, Callable[[RequestSize], int]]] = {
    Law.CHAT_2025: _chat_2025,
    Law.CHAT_LEGACY: _chat_legacy,
    Law.DOCUMENTED: _documented,
    Law.RESPONSES: _responses,
    Law.EMBEDDINGS: _embeddings,
    Law.USAGE: _usage,
}
_OUTPUT_CAPS: Final = tuple(name for facts in ENDPOINT_TABLE.values() for name in facts.output_caps)
_AMOUNTS: Final = (*_OUTPUT_CAPS, "n", "best_of", "dimensions", "top_logprobs", "max_tool_calls")
_IMAGE_PARTS: Final = frozenset({"image_url", "input_image", "computer_screenshot"})


def _items(facts: EndpointFacts, body: Mapping[str, object]) -> Sequence[object]:
    """Return messages of chat, input items of Responses, or inputs to embed."""
    value = body.get(facts.input_field)
    is_lone = facts.takes_lone_input and (isinstance(value, str) or bool(_vector(value)))
    return (value,) if is_lone else _sequence(value)


def _schema(facts: EndpointFacts, body: Mapping[str, object]) -> object:
    """Return the schema of a structured output; None without one."""
    value: object = body
    for name in facts.schema_path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _contents(facts: EndpointFacts, body: Mapping[str, object]) -> Iterator[str]:
    if facts.shape is _RESPONSE and isinstance(instructions := body.get("instructions"), str):
        yield instructions
    for item in _items(facts, body):
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            for name in facts.item_texts:
                yield from _part_texts(item.get(name))


def _part_texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in _sequence(content):
        if isinstance(part, str):
            yield part
        elif (text := _text_at(part, "text")) is not None:
            yield text


def _pictures(item: object) -> Iterator[Mapping[str, object]]:
    """Yield the parts of an item that are images, including those that a tool returned.

    A screenshot is the whole output of a tool.
    """
    for name in ("content", "output"):
        value = item.get(name) if isinstance(item, Mapping) else None
        for part in (value,) if isinstance(value, Mapping) else _sequence(value):
            if isinstance(part, Mapping) and _text_at(part, "type") in _IMAGE_PARTS:
                yield part


def _billed(model: str, picture: Mapping[str, object]) -> int:
    """Return the billed tokens of an image.

    Chat has the URL and the detail in an object of their own, Responses beside the type.
    """
    image_url = picture.get("image_url")
    fields = image_url if isinstance(image_url, Mapping) else picture
    url = _text_at(fields, "url") if fields is image_url else _text_at(picture, "image_url")
    return image_tokens(model, _text_at(fields, "detail"), pixels(url or ""))


def _strings(value: object) -> Iterator[str]:
    """Yield every string in a JSON value, names included.

    The stack is our own, since nesting may exceed Python's.
    """
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, Mapping):
            waiting += [*node.values(), *node.keys()]
        else:
            waiting += _sequence(node)


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _vector(value: object) -> Sequence[object]:
    """Return a text given as token numbers; empty for anything else."""
    numbers = _sequence(value)
    return numbers if all(isinstance(number, int) for number in numbers) else ()


def _text_at(value: object, name: str) -> str | None:
    text = value.get(name) if isinstance(value, Mapping) else None
    return text if isinstance(text, str) else None


def _whole(value: object) -> int | None:
    """Return a positive whole number, also one written as 500.0, capped at `PRICE_MAX`; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return min(PRICE_MAX, int(value)) if value > 0 and value == value // 1 else None


def _utf8_bytes(text: str) -> int:
    """Return the bytes on the wire; a lone surrogate, which JSON can carry, counts as the three that it would take."""
    return len(text) if text.isascii() else len(text.encode("utf-8", errors="surrogatepass"))


def _quarter(size_bytes: int) -> int:
    return -(-size_bytes // 4)
