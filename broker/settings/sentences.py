"""What pydantic found wrong, as one sentence: which key, from where, and what is expected there.

A value is never repeated when it could be a secret: those of secret keys, and whatever is not a plain scalar.
"""

from typing import Any

from pydantic import ValidationError

from broker.settings.known import group_at, nearest, secret_keys
from broker.settings.origins import Leaves, Path, dotted, origin_of

_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "byte_size": 'a size such as "64MiB", or bytes',
    "byte_size_unit": 'a size such as "64MiB", or bytes',
    "finite_number": "a number that is finite",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_type": "a whole number",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le}",
    "literal_error": "one of {expected}",
    "string_pattern_mismatch": "letters, digits, dots, - and _ only",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "string_type": "text",
    "too_short": "a list of at least {min_length}",
    "truth_value": "a value, not true or false",
    "tuple_type": 'a list such as ["a", "b"]',
}
_TABLE_TYPES = frozenset({"model_type", "dict_type", "mapping_type", "model_attributes_type"})


def sentence(error: ValidationError, given: Leaves) -> str:
    """The first finding of `error` as one sentence without a full stop."""
    first = error.errors(include_url=False)[0]
    path = tuple(str(part) for part in first["loc"])
    context = first.get("ctx", {})
    if first["type"] == "truth_value":
        path = (*path, context["key"])
    origin = origin_of(path[:-1] if first["type"] == "missing" else path, given)
    place = f" (from {origin})" if origin else ""
    if first["type"] == "extra_forbidden":
        return f"{dotted(path)}{place} is no setting: the nearest is {nearest(path)}"
    if first["type"] == "missing":
        return f"{dotted(path)} is missing{place}"
    if first["type"] == "value_error":
        return _with_key(path, place, str(context["error"]))
    if first["type"] in _TABLE_TYPES:
        return f"{dotted(path)}{place} must be a table of settings"
    expected = _EXPECTED.get(first["type"], first["msg"]).format(**context)
    return f"{dotted(path)}{_shown(path, first['input'])}{place} must be {expected}"


def _with_key(path: Path, place: str, message: str) -> str:
    if not path:
        return message
    is_table = group_at(path) is not None
    return f"{dotted(path)}: {message}" if is_table else f"{dotted(path)}{place} {message}"


def _shown(path: Path, value: Any) -> str:
    group = group_at(path[:-1])
    is_secret = group is not None and path[-1] in secret_keys(group)
    if is_secret or isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return ""
    return f" = {value!r}"
