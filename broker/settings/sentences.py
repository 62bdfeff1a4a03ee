"""Pydantic's errors as sentences: which key, from where, and what is expected there.

A value is never repeated when it could be a secret: those of secret keys, and everything that is not a plain scalar.
"""

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from headrace.broker.settings.group import ContradictionsError
from headrace.broker.settings.known import group_at, nearest_key, secret_keys
from headrace.broker.settings.lanes import LANE_DEFAULTS
from headrace.broker.settings.mistakes import Mistake
from headrace.broker.settings.origins import Leaves, Path, dotted, named, origin_of, origins_of
from headrace.schemas.complaint import EXPECTED_OF_SCALARS
from headrace.schemas.nearest import listed, nearest

_EXPECTED = EXPECTED_OF_SCALARS | {
    "byte_size": 'a size such as "64MiB", or bytes',
    "byte_size_unit": 'a size such as "64MiB", or bytes',
    "greater_than": "more than {gt:g}",
    "less_than": "less than {lt:g}",
    "literal_error": "one of {expected}",
    "string_pattern_mismatch": "letters, digits, dots, - and _ only",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "too_short": "a list of at least {min_length}",
    "truth_value": "a value, not true or false",
    "tuple_type": 'a list such as ["a", "b"]',
}
_TABLE_TYPES = frozenset({"model_type", "dict_type", "mapping_type", "model_attributes_type"})


def mistakes_in(error: ValidationError, given: Leaves) -> list[Mistake]:
    """Return everything that `error` found, each as one sentence without a full stop."""
    return [mistake for found in error.errors(include_url=False) for mistake in _mistakes(found, given)]


def _mistakes(found: ErrorDetails, given: Leaves) -> list[Mistake]:
    path = tuple(str(part) for part in found["loc"])
    context = found.get("ctx", {})
    if isinstance(context.get("error"), ContradictionsError):
        return _contradictions(path, context["error"], given)
    if found["type"] == "truth_value":
        path = (*path, context["key"])
    if found["type"] == "missing":
        origins = tuple(origins_of([path[:-1]], given)[:1])
        if path[:1] == ("lanes",) and path[2:] == ("order",):
            return [Mistake(_new_lane(path, named(origins)), (path,), origins, follows=True)]
        return [Mistake(f"{dotted(path)} is missing{named(origins)}", (path,), origins, follows=True)]
    origin = origin_of(path, given)
    origins = (origin,) if origin else ()
    return [Mistake(_sentence(path, named(origins), found), (path,), origins)]


def _sentence(path: Path, place: str, found: ErrorDetails) -> str:
    context = found.get("ctx", {})
    if found["type"] == "extra_forbidden":
        return f"{dotted(path)}{place} is not a setting: the nearest is {nearest_key(path)}"
    if found["type"] == "value_error":
        return f"{dotted(path)}{place} {context['error']}"
    if found["type"] in _TABLE_TYPES:
        return f"{dotted(path)}{place} must be a table of settings"
    bounds = {key: int(one) if isinstance(one, float) and one.is_integer() else one for key, one in context.items()}
    expected = _EXPECTED.get(found["type"], found["msg"]).format(**bounds)
    return f"{dotted(path)}{_shown(path, found['input'])}{place} must be {expected}"


def _new_lane(path: Path, place: str) -> str:
    """Describe a lane without an order: it may be a new one, or a misspelt known one."""
    near = nearest(path[1], LANE_DEFAULTS)
    meant = f"did you mean {near}?" if near else f"there are {listed(LANE_DEFAULTS)}"
    return f"{dotted(path[:-1])}{place} is a new lane without an order: give it one, or correct its name ({meant})"


def _contradictions(table: Path, error: ContradictionsError, given: Leaves) -> list[Mistake]:
    mistakes = []
    for found in error.found:
        keys = tuple((*table, *key) for key in found.keys)
        origins = tuple(origins_of(keys, given))
        head = f"{dotted(table)}: " if table else ""
        mistakes.append(Mistake(f"{head}{found.sentence}{named(origins)}", keys, origins, follows=True))
    return mistakes


def _shown(path: Path, value: Any) -> str:
    group = group_at(path[:-1])
    is_secret = group is not None and path[-1] in secret_keys(group)
    if is_secret or isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return ""
    return f" = {value!r}"
