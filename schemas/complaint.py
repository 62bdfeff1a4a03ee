"""Validation errors as one sentence each, which names our field and repeats nothing of the given value.

pydantic's own wording never reaches a producer, an outcome or a terminal. The same sentence comes from
`GenerationClient`, from `headrace submit` and from a dispatcher's Failed outcome.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from headrace.schemas.nearest import listed, nearest

EXPECTED_OF_SCALARS: Final = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than_equal": "at least {ge}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_type": "a whole number",
    "less_than_equal": "at most {le}",
    "string_type": "text",
}
"""What pydantic expected of one value, by the type of its error; settings are refused in the same words."""
_EXPECTED: Final = EXPECTED_OF_SCALARS | {
    "dict_type": "a JSON object",
    "greater_than": "more than {gt}",
    "less_than": "less than {lt}",
    "list_type": "a list",
    "mapping_type": "a JSON object",
    "model_attributes_type": "a JSON object",
    "model_type": "a JSON object",
    "string_pattern_mismatch": "1 to 249 letters, digits, dots, - and _",
    "string_too_long": "text of at most {max_length} characters",
    "too_long": "shorter: at most {max_length}",
    "too_short": "longer: at least {min_length}",
    "tuple_type": "a list",
}
_OTHERWISE: Final = "something else"
_OF_OURS: Final = "Value error, "
_NUMBERS: Final = (int, float)
_KINDS: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    tuple: "a list",
    dict: "an object",
}
_QUOTED: Final = re.compile(r"'([^']*)'")


def sentence_of(error: ValidationError, subject: str = "request") -> str:
    """Describe the first error, with our field's name and nothing of the value; `subject` is what was validated."""
    first = error.errors(include_url=False)[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "missing":
        return f"The field {field} is {'missing' if len(first['loc']) == 1 else 'not valid: a part of it is missing'}."
    head = f"The field {field} is not valid" if field else f"The {subject} is not valid"
    return f"{head}: {_complaint(first)}."


def _complaint(first: ErrorDetails) -> str:
    kind, given = first["type"], first["input"]
    if first["msg"].startswith(_OF_OURS):
        return first["msg"].removeprefix(_OF_OURS)
    if kind == "json_invalid":
        return "it is not JSON"
    if kind == "literal_error":
        return must_be_one_of(_QUOTED.findall(first["ctx"]["expected"]), given)
    if kind == "string_too_short" and not given:
        return "it must not be empty"
    is_other = kind.endswith(("_type", "_parsing")) and not isinstance(given, float)
    told = f", not {kind_of(given)}" if is_other or kind == "string_type" else ""
    return f"it must be {expected_in(first)}{told}{_mend(kind, given)}"


def expected_in(first: ErrorDetails) -> str:
    """Describe the expected value; the text follows "must be"."""
    return _EXPECTED.get(first["type"], _OTHERWISE).format(**first.get("ctx", {}))


def must_be_one_of(names: Collection[str], given: Any) -> str:
    """Return `it must be responses or embeddings (did you mean embeddings?)`; it follows a colon."""
    near = nearest(given, names) if isinstance(given, str) else None
    return f"it must be {listed(names, last='or')}" + (f" (did you mean {near}?)" if near else "")


def _mend(kind: str, given: Any) -> str:
    if kind == "string_type" and type(given) in _NUMBERS:
        return ": put it in quotes"
    if kind == "dict_type" and isinstance(given, str) and given.lstrip().startswith("{"):
        return ": leave out the quotes around it"
    return ""


def kind_of(given: Any) -> str:
    """Name a value's JSON type, without the value."""
    return _KINDS.get(type(given), "something that JSON does not have")
