"""Prompts as one text, in the order in which OpenAI builds them: tools, schema, instructions, messages.

A body may be any JSON. What is kept is bounded; what is left out still counts by its bytes. Images count a flat number
of tokens, and are represented by a digest, so that the same image is the same text.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

PROMPT_BYTES_MAX: Final = 64 * 1024
"""UTF-8 kept of a prompt: about 16,000 tokens in any script, more than ten times what OpenAI's caching begins with."""
VALUES_MAX: Final = 50_000
"""Values of a body that are read: more than fit the text that is kept, unless most of them are empty."""
IMAGE_BYTES: Final = 765 * 4
"""Weight of an image, in bytes of text with as many tokens."""
_IMAGES: Final = frozenset({"image_url", "input_image", "input_audio", "input_file", "file"})
_INSTRUCTING: Final = frozenset({"system", "developer"})
_SCHEMAS: Final = ("response_format", "text")
_DONE: Final = object()


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt of one request.

    Attributes:
        text: Its parts, each ended by a line break; at most `PROMPT_BYTES_MAX` of UTF-8.
        kept_bytes: UTF-8 bytes of `text`.
        bytes_total: Those of the whole prompt.
        instructions: Characters of `text` up to the end of the instructions.
        definitions: Characters of `text` up to the end of tools and schemas.
    """

    text: str
    kept_bytes: int
    bytes_total: int
    instructions: int
    definitions: int = 0


def prompt_of(body: Mapping[str, Any]) -> Prompt:
    """Return the prompt of a request's body. Never raises, whatever JSON it is."""
    kept: list[str] = []
    room, chars, total, instructions, definitions = PROMPT_BYTES_MAX, 0, 0, 0, 0
    for text, kind in _parts(body):
        written = text.encode(errors="replace")
        total += len(written) + 1 if not text.startswith("\0") else IMAGE_BYTES
        if room > 0:
            kept.append(written[: room - 1].decode(errors="ignore") + "\n")
            room -= min(room, len(written) + 1)
            chars += len(kept[-1])
        if kind is not _Part.MESSAGE:
            instructions = chars
        if kind is _Part.DEFINITION:
            definitions = chars
    joined = "".join(kept)
    return Prompt(joined, len(joined.encode()), total, instructions, definitions)


class _Part(Enum):
    """What a text of a body belongs to."""

    DEFINITION = auto()
    INSTRUCTION = auto()
    MESSAGE = auto()


def _parts(body: Mapping[str, Any]) -> Iterator[tuple[str, _Part]]:
    """Yield the texts in order, and what each belongs to."""
    walk = _Walk()
    for name in ("tools", "functions", *_SCHEMAS):
        yield from ((text, _Part.DEFINITION) for text in walk.texts(body.get(name)))
    yield from ((text, _Part.INSTRUCTION) for text in walk.texts(body.get("instructions")))
    items = body.get("messages", body.get("input"))
    for item in items if isinstance(items, list) else [items]:
        role = item.get("role") if isinstance(item, Mapping) else None
        kind = _Part.INSTRUCTION if isinstance(role, str) and role in _INSTRUCTING else _Part.MESSAGE
        yield from ((text, kind) for text in walk.texts(item))
        if not walk.steps_left:
            return


class _Walk:
    """Reading of a body's values, at most `VALUES_MAX` of them, without recursion."""

    def __init__(self) -> None:
        self.steps_left = VALUES_MAX

    def texts(self, value: Any) -> Iterator[str]:
        """Yield the texts below a value in order; an image as a digest that begins with NUL."""
        stack: list[Iterator[Any]] = [iter((value,))]
        while stack and self.steps_left:
            self.steps_left -= 1
            current = next(stack[-1], _DONE)
            if current is _DONE:
                stack.pop()
            elif isinstance(current, str):
                if current:
                    yield current.lstrip("\0") or " "
            elif isinstance(current, Mapping):
                if _is_image(current):
                    yield _digest_of(current)
                else:
                    stack.append(iter(_fields(current)))
            elif isinstance(current, list | tuple):
                stack.append(iter(current))
            elif current is not None and not isinstance(current, bool):
                yield str(current) if isinstance(current, float) else _number(current)


def _is_image(mapping: Mapping[str, Any]) -> bool:
    kind = mapping.get("type")
    return isinstance(kind, str) and kind in _IMAGES


def _fields(mapping: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what of an object is text: of a message its content, of anything else names and values."""
    if isinstance(mapping.get("role"), str) and "content" in mapping:
        yield mapping["content"]
        yield mapping.get("tool_calls")
        return
    if mapping.get("type") in ("text", "input_text", "output_text") and "text" in mapping:
        yield mapping["text"]
        return
    for name, value in mapping.items():
        yield name
        yield value


def _number(value: Any) -> str:
    """Return a whole number as text; a huge one, whose digits would take long, by its size."""
    return str(value) if isinstance(value, int) and value.bit_length() < 4_096 else "(number)"


def _digest_of(image: Mapping[str, Any]) -> str:
    """Return a text that stands for an image or a file."""
    digest = hashlib.blake2b(digest_size=8)
    for text in _strings_below(image):
        digest.update(text.encode(errors="replace"))
    return "\0image " + digest.hexdigest()


def _strings_below(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        current = stack.pop()
        if isinstance(current, str):
            yield current
        elif isinstance(current, Mapping):
            stack.extend(current.values())
        elif isinstance(current, list | tuple):
            stack.extend(current)
