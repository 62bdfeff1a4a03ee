"""Finish reason of an answer, in one word: refused, cut short, filtered, waiting for tools, or whole.

Chat completions and responses state it in different places, and a refusal is stated beside a `finish_reason` of `stop`.
A stream has been assembled before it comes here. An answer that states no reason, or an unknown word, has none.
"""

from collections.abc import Mapping, Sequence
from typing import Final, assert_never

from headrace.broker.core.endpoints import EndpointFacts, Shape, facts_of
from headrace.schemas.outcome import Finish

ENDED: Final = frozenset({"completed", "incomplete"})
"""Statuses of a response that holds an answer; `failed` arrives as an error."""
_CALLS: Final = frozenset(
    {"function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"}
)
"""Tools that the caller runs. OpenAI runs the others itself, and a shell of its own: then the output is present too."""

_GRAVEST: Final = (Finish.REFUSAL, Finish.CONTENT_FILTER, Finish.LENGTH, Finish.TOOL_CALLS, Finish.STOP)
"""Order of precedence among several choices that ended differently."""


def finish_of(endpoint: str, response: Mapping[str, object]) -> Finish | None:
    """Return how the answer of a call ended; None if it does not say, as embeddings never do."""
    facts = facts_of(endpoint)
    match facts.shape:
        case Shape.CHAT:
            ends = {_of_choice(choice, facts) for choice in _objects(response.get(facts.answer_field))}
            return None if None in ends else next((finish for finish in _GRAVEST if finish in ends), None)
        case Shape.RESPONSE:
            return _of_response(response, facts)
        case Shape.VECTORS:
            return None
        case _:
            assert_never(facts.shape)


def is_unfinished(endpoint: str, response: Mapping[str, object]) -> bool:
    """Whether a response itself says that it is no answer (yet): queued, in progress, cancelled, or a future status.

    This is the one place that decides it, streamed or not and whatever was asked: such a call is a failed attempt of a
    server in trouble, counted, and Failed (`exhausted`) after `retry.attempts_max`. A response that states no status,
    as some servers leave it out, is an answer.
    """
    status = response.get("status")
    is_response = facts_of(endpoint).shape is Shape.RESPONSE or response.get("object") == "response"
    return is_response and isinstance(status, str) and status not in ENDED


def _of_choice(choice: Mapping[str, object], facts: EndpointFacts) -> Finish | None:
    message, reason = choice.get("message"), choice.get("finish_reason")
    if isinstance(message, Mapping) and message.get("refusal"):
        return Finish.REFUSAL
    return _finish(reason, facts)


def _of_response(response: Mapping[str, object], facts: EndpointFacts) -> Finish | None:
    status, items = response.get("status"), _objects(response.get(facts.answer_field))
    if _text(status) not in ENDED:
        return None
    parts = [part for item in items for part in _objects(item.get("content"))]
    if any(part.get("type") == "refusal" for part in parts):
        return Finish.REFUSAL
    if status == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
        return _finish(reason, facts)
    done = {_text(item.get("call_id")) for item in items if _text(item.get("type")).endswith("_output")}
    waits = any(_text(item.get("type")) in _CALLS and _text(item.get("call_id")) not in done for item in items)
    return Finish.TOOL_CALLS if waits else Finish.STOP


def _finish(reason: object, facts: EndpointFacts) -> Finish | None:
    known = facts.finish_reasons.get(_text(reason))
    return None if known is None else Finish(known)


def _objects(value: object) -> Sequence[Mapping[str, object]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
