"""Writes the part of helm/headrace/values.schema.json that describes `config`, from the settings themselves.

    python helm/write_config_schema.py

So helm refuses a setting that is misspelt, out of bounds or of the wrong type, before anything is rolled out.
The rest of that file is written by hand. Mistakes that JSON Schema could only refuse in cryptic words (patterns,
secrets in the wrong place) pass here and are refused by templates/_refusals.tpl, or by Headrace at its start.
A test compares the file with what this script would write.
"""
# ruff: noqa: INP001  # a script beside the chart it writes for, imported only by its test

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_origin

from headrace.broker.settings.group import Group
from headrace.broker.settings.known import secret_keys
from headrace.broker.settings.whole import Settings

SCHEMA: Final = Path(__file__).parent / "headrace" / "values.schema.json"
_SIZE: Final = {"type": ["integer", "string"]}
"""A number of bytes, or text with a unit, which Headrace reads itself."""
_KEPT: Final = ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "minItems", "items")


def config_schema() -> dict[str, Any]:
    """The schema of `config`: every group, closed to unknown keys. Nothing is required, all has a default."""
    groups = {name: _top(name, field.annotation) for name, field in Settings.model_fields.items()}
    return {"type": "object", "additionalProperties": False, "properties": groups}


def _top(name: str, annotation: Any) -> dict[str, Any]:
    if get_origin(annotation) is not Mapping:
        return _group(annotation)
    named = _group(get_args(annotation)[1])
    if name == "lanes":  # `bulk: false` takes a default lane away
        named["type"] = ["object", "boolean"]
    return {"type": "object", "additionalProperties": named}


def _group(group: type[Group]) -> dict[str, Any]:
    said = group.model_json_schema()
    definitions = said.get("$defs", {})
    secrets = secret_keys(group)
    properties: dict[str, Any] = {}
    for key, field in group.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            properties[key] = _group(field.annotation)
        elif key in secrets:
            properties |= {key: {}, f"{key}_file": {"type": "string"}}
        else:
            properties[key] = _value(said["properties"][key], definitions)
    if group is Settings.model_fields["kafka"].annotation:  # in a settings file it may be a list as well
        properties["bootstrap_servers"] = {"type": ["string", "array"], "items": {"type": "string"}}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _value(said: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """One value: alternatives become a list of types, since helm would print those one below the other."""
    said = definitions.get(said.get("$ref", "").rpartition("/")[2], said)
    choices = said.get("anyOf", [said])
    if any("pattern" in choice and choice["type"] == "string" for choice in choices) and len(choices) > 1:
        return dict(_SIZE)
    found: dict[str, Any] = {}
    types: list[str] = []
    for choice in choices:
        types.append(choice.get("type", "string"))
        found |= {key: choice[key] for key in _KEPT if key in choice}
    found["type"] = types[0] if len(types) == 1 else types
    if "enum" in found and "null" in types:
        found["enum"] = [*found["enum"], None]
    return found


def written() -> str:
    """The whole file."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    schema["properties"]["config"] = config_schema()
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(written(), encoding="utf-8")
    sys.stdout.write(f"{SCHEMA.name} written\n")
