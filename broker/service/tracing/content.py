"""Prompts and answers as attributes, for operators that switch `tracing.content` on: bounded JSON of the GenAI form.

Only text is exported: a picture, a sound or a tool's argument is named by its type. What exceeds the bound is cut, so
that one request cannot fill the exporter's memory.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

CONTENT_CHARS_MAX: Final = 16_384
"""Characters of text in one attribute."""
MESSAGES_MAX: Final = 100
PARTS_MAX: Final = 100
"""Parts of all messages in one attribute: a body may have 200,000, and each costs 30 characters without text."""
NAME_CHARS_MAX: Final = 64
"""Characters of a role or of a part's type: a producer may write anything there."""
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""Control characters, of which JSON makes six characters each."""


def input_messages(body: Mapping[str, Any]) -> str:
    """Return `gen_ai.input.messages` of a request's body."""
    given = body.get("messages", body.get("input"))
    before = [{"role": "system", "content": body["instructions"]}] if isinstance(body.get("instructions"), str) else []
    listed = given if isinstance(given, list) else [given]
    return _messages([*before, *listed], "user")


def output_messages(answer: Mapping[str, Any]) -> str:
    """Return `gen_ai.output.messages` of an answer."""
    choices = answer.get("choices")
    if isinstance(choices, list):
        return _messages([each.get("message") for each in choices if isinstance(each, Mapping)], "assistant")
    output = answer.get("output")
    return _messages(output if isinstance(output, list) else [], "assistant")


def _messages(given: Sequence[object], role: str) -> str:
    left, told = CONTENT_CHARS_MAX, []
    free = PARTS_MAX
    for message in given[:MESSAGES_MAX]:
        parts: list[dict[str, str]] = []
        for kind, text in islice(_parts(message), free):
            parts.append({"type": kind, "content": _UNSEEN.sub(" ", text[:left])} if kind == "text" else {"type": kind})
            left -= len(text[:left])
        free -= len(parts)
        told.append(
            {"role": _name(message.get("role"), role) if isinstance(message, Mapping) else role, "parts": parts}
        )
    return json.dumps(told, ensure_ascii=False).encode(errors="replace").decode()


def _parts(message: object) -> Iterator[tuple[str, str]]:
    """Yield type and text of each part of a message; of anything but text the type alone."""
    content = message.get("content") if isinstance(message, Mapping) else message
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            yield "text", part
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            yield "text", part["text"]
        elif isinstance(part, Mapping):
            yield _name(part.get("type"), "other"), ""


def _name(given: object, otherwise: str) -> str:
    return given[:NAME_CHARS_MAX] if isinstance(given, str) else otherwise
