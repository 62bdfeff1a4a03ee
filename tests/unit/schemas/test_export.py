"""The released schemas are what the code says, and no change breaks a reader of them."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from headrace.schemas.asyncapi import asyncapi_document, moved_channels
from headrace.schemas.export import (
    COMMITTED,
    SHAPES,
    BreakingChange,
    breaking_changes,
    export_schemas,
    release_schemas,
    schema_of,
)

Schema = dict[str, Any]


def test_the_committed_files_are_what_the_code_says(tmp_path: Path) -> None:
    written = export_schemas(tmp_path)
    assert {path.name for path in written} == {path.name for path in COMMITTED.iterdir()}
    for path in written:
        assert json.loads(path.read_text()) == json.loads((COMMITTED / path.name).read_text()), path.name


@pytest.mark.parametrize("name", SHAPES)
def test_no_released_schema_was_broken(name: str) -> None:
    released = json.loads((COMMITTED / f"{name}.json").read_text())
    assert breaking_changes(released, schema_of(SHAPES[name])) == []
    jsonschema.Draft202012Validator.check_schema(released)


def removed(schema: Schema) -> None:
    del schema["properties"]["tenant"]


def renamed(schema: Schema) -> None:
    schema["properties"]["customer"] = schema["properties"].pop("tenant")


def retyped(schema: Schema) -> None:
    schema["properties"]["stream"]["type"] = "string"


def newly_required(schema: Schema) -> None:
    schema["required"].append("tenant")


def without_null(schema: Schema) -> None:
    schema["properties"]["tenant"]["anyOf"].pop()


def without_a_word(schema: Schema) -> None:
    schema["properties"]["endpoint"]["enum"].remove("embeddings")


def closed(schema: Schema) -> None:
    schema["additionalProperties"] = False


def shortened(schema: Schema) -> None:
    schema["properties"]["id"]["maxLength"] = 64


def listed(schema: Schema) -> None:
    schema["properties"]["id"]["enum"] = ["a"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (removed, "tenant was removed or renamed"),
        (renamed, "tenant was removed or renamed"),
        (retyped, "stream was retyped: type 'boolean' became 'string'"),
        (newly_required, "tenant is newly required"),
        (without_null, "tenant was retyped: the alternative null is gone"),
        (without_a_word, "endpoint was narrowed: 'embeddings' is no longer allowed"),
        (closed, "the value was closed: fields it does not know are refused now"),
        (shortened, "id was narrowed: maxLength became 64"),
        (listed, "id was narrowed: it became a list of words"),
    ],
)
def test_a_planted_breaking_change_is_found(change: Callable[[Schema], None], sentence: str) -> None:
    old = schema_of(SHAPES["request"])
    new = copy.deepcopy(old)
    change(new)
    assert breaking_changes(old, new) == [sentence]


def test_a_change_inside_a_nested_shape_is_found() -> None:
    old = schema_of(SHAPES["completed"])
    new = copy.deepcopy(old)
    del new["$defs"]["Timings"]["properties"]["queue_ms"]
    assert breaking_changes(old, new) == ["timings.queue_ms was removed or renamed"]
    new = copy.deepcopy(old)
    new["$defs"]["Usage"]["properties"]["input_tokens"]["type"] = "string"
    assert breaking_changes(old, new) == ["usage was retyped: the alternative Usage is gone"]


def test_what_readers_can_bear_is_no_break() -> None:
    old = schema_of(SHAPES["request"])
    new = copy.deepcopy(old)
    new["properties"]["colour"] = {"type": "string"}
    new["properties"]["endpoint"]["enum"].append("images")
    new["properties"]["id"]["maxLength"] = 256
    new["properties"]["tenant"]["description"] = "another text"
    assert breaking_changes(old, new) == []


def test_a_release_does_not_overwrite_what_it_would_break(tmp_path: Path) -> None:
    release_schemas(tmp_path)
    released = json.loads((tmp_path / "chunk.json").read_text())
    released["properties"]["lost"] = {"type": "string"}
    (tmp_path / "chunk.json").write_text(json.dumps(released))
    with pytest.raises(BreakingChange, match=r"chunk: lost was removed or renamed"):
        release_schemas(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda said: said["channels"].pop("chunks"), "channel chunks was removed or renamed"),
        (
            lambda said: said["channels"]["results"].update(address="generation.outcomes"),
            "channel results moved from generation.results to generation.outcomes",
        ),
        (
            lambda said: said["channels"]["results"]["messages"].pop("failed"),
            "channel results carries no failed any more",
        ),
        (lambda said: said["operations"].pop("send-failures"), "operation send-failures was removed or reversed"),
    ],
)
def test_no_reader_or_writer_may_be_left_on_a_channel_that_is_gone(
    change: Callable[[Schema], Any], sentence: str
) -> None:
    new = asyncapi_document()
    change(new)
    assert moved_channels(asyncapi_document(), new) == [sentence]


def test_a_release_with_channels_moved_writes_nothing(tmp_path: Path) -> None:
    release_schemas(tmp_path)
    released = json.loads((tmp_path / "asyncapi.json").read_text())
    released["channels"]["lost"] = released["channels"]["results"]
    (tmp_path / "asyncapi.json").write_text(json.dumps(released))
    with pytest.raises(BreakingChange, match=r"asyncapi: channel lost was removed or renamed"):
        release_schemas(tmp_path)
    assert "lost" in json.loads((tmp_path / "asyncapi.json").read_text())["channels"]


def test_topics_may_be_sized_otherwise_and_more_may_come() -> None:
    more = asyncapi_document(lanes=("urgent", "standard", "bulk", "slow"))
    more["channels"]["results"]["bindings"]["kafka"]["partitions"] = 99
    assert moved_channels(asyncapi_document(), more) == []


def test_a_request_as_the_contract_shows_it_agrees_with_its_schema() -> None:
    request = {
        "id": "lead-8841-email", "endpoint": "chat.completions", "body": {"model": "gpt-4o-mini"}, "tenant": "acme",
        "deadline": "2026-12-01T09:00:00Z", "stream": False, "reply_to": None, "template": "first-touch",
        "metadata": {"lead": 8841},
    }  # fmt: skip
    jsonschema.validate(request, schema_of(SHAPES["request"]))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**request, "id": "ü"}, schema_of(SHAPES["request"]))


def test_the_asyncapi_document_points_at_the_files_beside_it() -> None:
    document = json.loads((COMMITTED / "asyncapi.json").read_text())
    payloads = {
        message["payload"]["$ref"] for message in document["components"]["messages"].values() if "payload" in message
    }
    assert payloads == {f"./{name}.json" for name in SHAPES}
    assert document["channels"]["results"]["address"] == "generation.results"
