"""An answer split into deltas of one word each, as a stream of it would deliver them."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.broker.adapters.openai.stream_assembly import assembly
from headrace.broker.core.endpoints import Shape, facts_of
from headrace.schemas.delta import Delta, Head

_WORD = re.compile(r"\S+\s*|\s+")


def deltas_of(endpoint: str, body: Mapping[str, Any] | str) -> list[tuple[Head, Delta]]:
    """Return the deltas of the model's texts in `body`, each with the head before it; none if it has no such text."""
    answer, told = _parsed(body), assembly(endpoint)
    events = _response_events(answer) if facts_of(endpoint).shape is Shape.RESPONSE else _chat_events(answer)
    return [(told.head(), delta) for event in events if (delta := told.add(event)) is not None]


def _parsed(body: Mapping[str, Any] | str) -> Mapping[str, Any]:
    try:
        answer = json.loads(body) if isinstance(body, str) else body
    except ValueError:
        return {}
    return answer if isinstance(answer, Mapping) else {}


def _chat_events(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {name: value for name, value in answer.items() if name not in {"choices", "usage"}}
    choices = [choice for choice in answer.get("choices") or () if isinstance(choice, Mapping)]
    for choice in choices:
        message = choice.get("message") or {}
        for name in ("content", "refusal"):
            for word in _WORD.findall(message.get(name) or ""):
                yield {"choices": [{"index": choice.get("index"), "delta": {name: word}}]}
        if message.get("tool_calls"):
            calls = [{"index": number, **call} for number, call in enumerate(message["tool_calls"])]
            yield {"choices": [{"index": choice.get("index"), "delta": {"tool_calls": calls}}]}
    for choice in choices:
        yield {"choices": [{"index": choice.get("index"), "finish_reason": choice.get("finish_reason")}]}


def _response_events(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "response.created", "response": {**answer, "status": "in_progress"}}
    for number, item in enumerate(answer.get("output", ())):
        opened = {name: value for name, value in item.items() if name not in {"arguments", "content", "summary"}}
        yield {"type": "response.output_item.added", "output_index": number, "item": opened}
        for place, part in enumerate(item.get("content") or ()):
            for word in _WORD.findall(part.get("text") or ""):
                where = {"item_id": item.get("id"), "output_index": number, "content_index": place}
                yield {"type": "response.output_text.delta", **where, "delta": word}
