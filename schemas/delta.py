"""Deltas of a streamed answer: how they are merged, and what text they add.

A delta of a chat completion is the list `choices` of its chunk; one of a response is its event. Merging deltas is
associative, so a merged batch has the same content as its deltas one by one. Nothing here raises for any JSON.
"""

from collections.abc import Callable
from typing import Any, Final

Delta = list[Any] | dict[str, Any]
"""A delta as it stands in a chunk: choices of a chat completion, or an event of a response."""

Head = dict[str, Any]
"""What a stream says of its answer beside deltas, as it stands in a chunk (`headrace.schemas.chunk`)."""

SAID_ONCE: Final = frozenset({"id", "index", "name", "object", "role", "type"})
"""Members that are sent whole; servers that repeat them send the same value again."""

_TEXTS: Final = frozenset(
    f"response.{kind}.delta"
    for kind in (
        "output_text",
        "refusal",
        "function_call_arguments",
        "custom_tool_call_input",
        "mcp_call_arguments",
        "code_interpreter_call_code",
        "reasoning_text",
        "reasoning_summary_text",
    )
)
"""Events with a text in their member `delta` that can be appended; audio, for one, cannot be merged."""


def merged(one: Delta, next_one: Delta) -> Delta | None:
    """Merge two deltas into one; None if they must stay two."""
    if isinstance(one, list) and isinstance(next_one, list):
        return grown_choices(one, next_one)
    if isinstance(one, dict) and isinstance(next_one, dict) and _is_same_text(one, next_one):
        return {name: _joined(value, next_one[name], name) for name, value in one.items()}
    return None


def _is_same_text(one: dict[str, Any], next_one: dict[str, Any]) -> bool:
    if one.get("type") not in _TEXTS or one.keys() != next_one.keys():
        return False
    if not isinstance(one.get("delta"), str) or not isinstance(next_one.get("delta"), str):
        return False
    return all(value == next_one[name] for name, value in one.items() if name not in {"delta", "logprobs"})


def _joined(value: Any, next_value: Any, name: str) -> Any:
    return _grown(value, next_value) if name in {"delta", "logprobs"} else value


def merged_heads(one: Head, next_one: Head) -> Head:
    """Merge two heads of one stream: the items of both, and of everything else the first value."""
    whole = {**next_one, **one}
    if "items" in one and "items" in next_one:
        whole["items"] = [*one["items"], *next_one["items"]]
    return whole


def text_of(delta: Delta | None, *, choice: int = 0) -> str:
    """Return the text that a delta adds to the answer; of a chat completion, to that choice."""
    if isinstance(delta, list):
        told = [each.get("delta") for each in delta if isinstance(each, dict) and index_of(each) == choice]
        return "".join(text for each in told if isinstance(each, dict) and isinstance(text := each.get("content"), str))
    if isinstance(delta, dict) and delta.get("type") == "response.output_text.delta":
        text = delta.get("delta")
        return text if isinstance(text, str) else ""
    return ""


# ------------------------------------------------------------------ putting together


def grown_choices(known: list[Any], told: list[Any]) -> list[Any]:
    """Merge choices of a chat completion: deltas and logprobs grow, other members take the last value."""
    return _grown_list(known, told, _grown_choice)


def _grown_choice(known: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    whole = known | {name: value for name, value in told.items() if value is not None or name not in known}
    for name in ("delta", "logprobs"):
        if name in whole:
            whole[name] = _grown(known.get(name), told.get(name))
    return whole


def _grown(known: Any, told: Any) -> Any:
    """Merge a value with its continuation: append texts and lists, merge objects member by member."""
    if known is None or told is None:
        return told if known is None else known
    if isinstance(known, str) and isinstance(told, str):
        return known + told
    if isinstance(known, list) and isinstance(told, list):
        return _grown_list(known, told, _grown_object)
    if isinstance(known, dict) and isinstance(told, dict):
        return _grown_object(known, told)
    return told


def _grown_object(known: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """Merge member by member; members that are sent whole keep their first value."""
    whole = dict(known)
    for name, value in told.items():
        whole[name] = (whole.get(name) or value) if name in SAID_ONCE else _grown(whole.get(name), value)
    return whole


def _grown_list(
    known: list[Any], told: list[Any], joined: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
) -> list[Any]:
    """Merge objects with an `index` into the one at that index; append everything else."""
    whole = list(known)
    places = {place: at for at, each in enumerate(whole) if (place := index_of(each)) is not None}
    for each in told:
        place = index_of(each)
        if place is not None and place in places:
            whole[places[place]] = joined(whole[places[place]], each)
            continue
        if place is not None:
            places[place] = len(whole)
        whole.append(each)
    return whole


def index_of(value: Any) -> int | None:
    """Return the `index` of an object, or None."""
    place = value.get("index") if isinstance(value, dict) else None
    return place if isinstance(place, int) and not isinstance(place, bool) else None
