"""JSON Schemas of the wire for readers in other languages, and the rule by which they may change.

The exported files are in `schemas/json` and in the package. A reader written against them must be able to read what a
later release writes, so a field may be added, and none may be removed, renamed, retyped, or newly required.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from headrace.schemas.asyncapi import asyncapi_document, moved_channels
from headrace.schemas.chunk import Chunk
from headrace.schemas.control import Cancel
from headrace.schemas.failure import RetryableFailure
from headrace.schemas.ledger import LedgerValue
from headrace.schemas.outcome import Completed, Failed
from headrace.schemas.request import GenerationRequest
from headrace.schemas.spending import TotalValue

COMMITTED = Path(__file__).parent / "json"
"""Directory of the released files."""

SHAPES: Mapping[str, type[BaseModel]] = {
    "request": GenerationRequest,
    "completed": Completed,
    "failed": Failed,
    "retryable": RetryableFailure,
    "chunk": Chunk,
    "control": Cancel,
    "total": TotalValue,
    "ledger": LedgerValue,
}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(shape: type[BaseModel]) -> dict[str, Any]:
    """Build the JSON Schema of one shape for readers: open, with fields that have a default not required."""
    return {"$schema": _DIALECT, **shape.model_json_schema(mode="validation")}


def export_schemas(directory: Path) -> list[Path]:
    """Write one `<name>.json` for each shape and `asyncapi.json`; return the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    documents = {name: schema_of(shape) for name, shape in SHAPES.items()} | {"asyncapi": asyncapi_document()}
    written = []
    for name, document in documents.items():
        path = directory / f"{name}.json"
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(path)
    return written


class BreakingChange(ValueError):  # noqa: N818  # the finding, not a malfunction
    """A change of a released schema that would break its readers."""


def release_schemas(directory: Path = COMMITTED) -> list[Path]:
    """Write the files of this release over those of the last.

    Raises:
        BreakingChange: Nothing was written; the sentences name each break.
    """
    found = [
        f"{name}: {sentence}"
        for name, shape in SHAPES.items()
        if (path := directory / f"{name}.json").exists()
        for sentence in breaking_changes(_read(path), schema_of(shape))
    ]
    if (path := directory / "asyncapi.json").exists():
        found += [f"asyncapi: {sentence}" for sentence in moved_channels(_read(path), asyncapi_document())]
    if found:
        raise BreakingChange("; ".join(found))
    return export_schemas(directory)


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def breaking_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describe each change by which a value that one schema allows is invalid for the other's readers.

    Fields removed (a rename is a removal), retyped or newly required, and alternatives taken away. Added fields and
    added alternatives of an open list of words are not.
    """
    return list(dict.fromkeys(_Comparison(old, new).of(old, new, "")))


_TYPING = ("type", "format", "pattern", "const")
_SMALLER = ("maxLength", "maximum", "maxItems")
_LARGER = ("minLength", "minimum", "minItems")


class _Comparison:
    """Comparison of two documents with references into themselves."""

    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self._old = old
        self._new = new

    def of(self, old: Mapping[str, Any], new: Mapping[str, Any], at: str) -> list[str]:
        old, new = _resolved(old, self._old), _resolved(new, self._new)
        place = at or "the value"
        found = [
            f"{place} was retyped: {name} {old.get(name)!r} became {new.get(name)!r}"
            for name in _TYPING
            if old.get(name) != new.get(name)
        ]
        found += self._bounds(old, new, place)
        found += self._fields(old, new, at)
        found += self._alternatives(old, new, at)
        for name in ("items", "additionalProperties"):
            if isinstance(old.get(name), Mapping) and isinstance(new.get(name), Mapping):
                found += self.of(old[name], new[name], f"{at}[]")
        if old.get("additionalProperties", True) is not False and new.get("additionalProperties") is False:
            found.append(f"{place} was closed: fields it does not know are refused now")
        return found

    def _bounds(self, old: Mapping[str, Any], new: Mapping[str, Any], place: str) -> list[str]:
        narrower = [name for name in _SMALLER if name in new and new[name] < old.get(name, float("inf"))]
        narrower += [name for name in _LARGER if name in new and new[name] > old.get(name, float("-inf"))]
        found = [f"{place} was narrowed: {name} became {new[name]}" for name in narrower]
        if "enum" in new and "enum" not in old:
            found.append(f"{place} was narrowed: it became a list of words")
        gone = set(old.get("enum", ())) - set(new.get("enum", old.get("enum", ())))
        return found + [f"{place} was narrowed: {word!r} is no longer allowed" for word in sorted(gone)]

    def _fields(self, old: Mapping[str, Any], new: Mapping[str, Any], at: str) -> list[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        found = []
        for name, field in before.items():
            path = f"{at}.{name}" if at else name
            if name in after:
                found += self.of(field, after[name], path)
            else:
                found.append(f"{path} was removed or renamed")
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            path = f"{at}.{name}" if at else name
            found.append(f"{path} is newly required")
        return found

    def _alternatives(self, old: Mapping[str, Any], new: Mapping[str, Any], at: str) -> list[str]:
        """Find alternatives of before for which no alternative of now is a compatible change."""
        place = at or "the value"
        before, after = old.get("anyOf"), new.get("anyOf")
        if before is None and after is None:
            return []
        if before is None or after is None:
            return [f"{place} was retyped: its alternatives changed"]
        return [
            f"{place} was retyped: the alternative {_named(_resolved(one, self._old))} is gone"
            for one in before
            if all(self.of(one, other, at) for other in after)
        ]


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target: Any = document
    for step in str(reference).removeprefix("#/").split("/"):
        target = target[step]
    siblings = {name: value for name, value in schema.items() if name != "$ref"}
    return {**target, **siblings}


def _named(schema: Mapping[str, Any]) -> str:
    return str(schema.get("title") or schema.get("type") or "without a type")
