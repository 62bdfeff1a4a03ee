"""Growth of an answer in JSON: by which delta a part of it becomes a longer part, or the whole.

Parts and deltas have the form of a chat completion's choices: texts and lists grow at their end, objects member by
member, lists of objects with an `index` by that index (`headrace.schemas.delta`, which merges what is split here).
"""

from typing import Any

from headrace.schemas.delta import SAID_ONCE, index_of


class AnswersDiffer(Exception):  # noqa: N818 — a finding, not a fault: two attempts answered differently
    """What was told is not a beginning of the answer."""


def rest(whole: Any, told: Any, *, is_over: bool) -> Any:
    """Return the delta by which `told` grows to `whole`; None if it has nothing to add.

    Unless the answer `is_over`, `whole` may be the shorter one: what is there must then agree.

    Raises:
        AnswersDiffer: Neither grows to the other.
    """
    if told is None:
        return whole
    if whole is None:
        return _unless(is_over and bool(told))
    if isinstance(whole, dict) and isinstance(told, dict):
        return _rest_of_object(whole, told, is_over=is_over)
    if isinstance(whole, list) and isinstance(told, list) and any(index_of(each) is not None for each in told):
        return _rest_by_index(whole, told, is_over=is_over)
    if isinstance(whole, str | list) and isinstance(told, type(whole)) and whole[: len(told)] == told:
        return whole[len(told) :] or None
    is_ahead = isinstance(told, str | list) and isinstance(whole, type(told)) and told[: len(whole)] == whole
    return _unless(whole != told and (is_over or not is_ahead))


def _unless(contradicts: bool) -> None:  # noqa: FBT001 — the finding itself
    if contradicts:
        raise AnswersDiffer


def _rest_of_object(whole: dict[str, Any], told: dict[str, Any], *, is_over: bool) -> dict[str, Any] | None:
    if is_over and any(value and name not in whole for name, value in told.items()):
        raise AnswersDiffer
    grown: dict[str, Any] = {}
    for name, value in whole.items():
        known = told.get(name)
        if name in SAID_ONCE and known:
            _unless(bool(value) and value != known)
        elif (more := rest(value, known, is_over=is_over)) is not None:
            grown[name] = more
    return grown or None


def _rest_by_index(whole: list[Any], told: list[Any], *, is_over: bool) -> list[Any] | None:
    """Return what is missing of the objects at each index, with the index in each of them."""
    known, grown = {index_of(each): each for each in told}, []
    for each in whole:
        _unless(index_of(each) is None)
        more = rest(each, known.pop(index_of(each), None), is_over=is_over)
        if more is not None:
            grown.append({"index": index_of(each), **more})
    _unless(is_over and bool(known))
    return grown or None


def unsaid(delta: Any, told: Any) -> Any:
    """Return a delta without what is sent whole and was told before: a reader that appends would have it twice."""
    if isinstance(delta, dict) and isinstance(told, dict):
        return {
            name: unsaid(value, told.get(name))
            for name, value in delta.items()
            if name == "index" or name not in SAID_ONCE or not told.get(name)
        }
    if isinstance(delta, list) and isinstance(told, list):
        known = {index_of(each): each for each in told}
        return [each if index_of(each) is None else unsaid(each, known.get(index_of(each))) for each in delta]
    return delta
