"""Prompts and answers as attributes, for operators that switch `tracing.content` on: bounded JSON of the GenAI form.

Only text is exported: a picture, a sound or a tool's argument is named by its type. What exceeds the bound is cut, so
that one request cannot fill the exporter's memory.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

CONTENT_CHARS_MAX: Final = 16_384
"""Characters of text in one attribute."""
MESSAGES_MAX: Final = 100


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
    for message in given[:MESSAGES_MAX]:
        parts: list[dict[str, str]] = []
        for kind, text in _parts(message):
            parts.append({"type": kind, "content": text[:left]} if kind == "text" else {"type": kind})
            left -= len(text[:left])
        said = message.get("role") if isinstance(message, Mapping) else None
        told.append({"role": said if isinstance(said, str) else role, "parts": parts})
    return json.dumps(told, ensure_ascii=True)


def _parts(message: object) -> Iterator[tuple[str, str]]:
    """Yield type and text of each part of a message; of anything but text the type alone."""
    content = message.get("content") if isinstance(message, Mapping) else message
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            yield "text", part
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            yield "text", part["text"]
        elif isinstance(part, Mapping):
            yield str(part.get("type", "other"))[:64], ""
