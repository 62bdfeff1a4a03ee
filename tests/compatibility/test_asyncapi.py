"""The exported AsyncAPI document, read by AsyncAPI's own parser."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace.schemas.export import COMMITTED, SHAPES, export_schemas, schema_of
from tests.compatibility.machine import node_package, run

HERE = Path(__file__).parent / "asyncapi"


@pytest.fixture(scope="module")
def parser() -> Path:
    return node_package(HERE)


def parsed(parser: Path, document: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(run(parser, "node", "check.mjs", str(document)))
    return said


def test_the_released_document_is_valid_and_its_messages_are_the_schemas_beside_it(parser: Path) -> None:
    said = parsed(parser, COMMITTED / "asyncapi.json")
    assert (said["version"], said["complaints"]) == ("3.0.0", [])
    carried = {each["name"]: each["fields"] for messages in said["channels"].values() for each in messages}
    assert carried.pop("dead-letter") == [], "its value is whatever the original's was"
    assert carried == {name: list(schema_of(shape)["properties"]) for name, shape in SHAPES.items()}


def test_the_parser_refuses_a_document_that_points_at_nothing(parser: Path, tmp_path: Path) -> None:
    export_schemas(tmp_path)
    (tmp_path / "completed.json").unlink()
    with pytest.raises(AssertionError, match=r"completed\.json"):
        parsed(parser, tmp_path / "asyncapi.json")
