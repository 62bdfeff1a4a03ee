"""Finish reason of an answer, in one word: refused, cut short, filtered, waiting for tools, or whole.

Chat completions and responses state it in different places, and a refusal is stated beside a `finish_reason` of `stop`.
A stream has been assembled before it comes here. An answer that states no reason, or an unknown word, has none.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from schemas.outcome import Finish

_REASONS: Final = {
    "stop": Finish.STOP,
    "length": Finish.LENGTH,
    "content_filter": Finish.CONTENT_FILTER,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,  # its name before there were tools
}
_INCOMPLETE: Final = {
    "max_output_tokens": Finish.LENGTH,
    "max_messages": Finish.LENGTH,
    "content_filter": Finish.CONTENT_FILTER,
}
_ENDED: Final = frozenset({"completed", "incomplete"})
"""Statuses of a response that holds an answer; `failed` arrives as an error."""
_CALLS: Final = frozenset(
    {"function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"}
)
"""Tools that the caller runs. OpenAI runs the others itself, and a shell of its own: then the output is present too."""

_GRAVEST: Final = (Finish.REFUSAL, Finish.CONTENT_FILTER, Finish.LENGTH, Finish.TOOL_CALLS, Finish.STOP)
"""Order of precedence among several choices that ended differently."""


def finish_of(endpoint: str, response: Mapping[str, object]) -> Finish | None:
    """Return how the answer of a call ended; None if it does not say, as embeddings never do."""
    match endpoint:
        case "chat.completions":
            ends = {_of_choice(choice) for choice in _objects(response.get("choices"))}
            return None if None in ends else next((finish for finish in _GRAVEST if finish in ends), None)
        case "responses":
            return _of_response(response)
        case _:
            return None


def is_unfinished(endpoint: str, response: Mapping[str, object]) -> bool:
    """Whether a response itself says that it is no answer (yet): queued, in progress, cancelled, or a future status.

    This is the one place that decides it, streamed or not and whatever was asked: such a call is a failed attempt of a
    server in trouble, counted, and Failed (`exhausted`) after `retry.attempts_max`. A response that states no status,
    as some servers leave it out, is an answer.
    """
    status = response.get("status")
    is_response = endpoint == "responses" or response.get("object") == "response"
    return is_response and isinstance(status, str) and status not in _ENDED


def _of_choice(choice: Mapping[str, object]) -> Finish | None:
    message, reason = choice.get("message"), choice.get("finish_reason")
    if isinstance(message, Mapping) and message.get("refusal"):
        return Finish.REFUSAL
    return _REASONS.get(_text(reason))


def _of_response(response: Mapping[str, object]) -> Finish | None:
    status, items = response.get("status"), _objects(response.get("output"))
    if _text(status) not in _ENDED:
        return None
    parts = [part for item in items for part in _objects(item.get("content"))]
    if any(part.get("type") == "refusal" for part in parts):
        return Finish.REFUSAL
    if status == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
        return _INCOMPLETE.get(_text(reason))
    done = {_text(item.get("call_id")) for item in items if _text(item.get("type")).endswith("_output")}
    waits = any(_text(item.get("type")) in _CALLS and _text(item.get("call_id")) not in done for item in items)
    return Finish.TOOL_CALLS if waits else Finish.STOP


def _objects(value: object) -> Sequence[Mapping[str, object]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
