"""What would leave the request, or read what the account has stored, is refused unless it is allowed by name."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import tool_param

from headrace.broker.core.ticket import Candidate
from headrace.broker.service.intake.outreach import reaching
from tests.unit.service.intake.test_pricer import WALL, pricer, record

MCP = {"type": "mcp", "server_label": "x", "server_url": "https://elsewhere.example/sse", "headers": {"k": "v"}}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {"tools": {"type": "mcp"}}}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["mcp", "function"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["tools", "type", "input", "environment"]) | st.text(max_size=3), inner)
    ),
    max_leaves=20,
)


def refusal(body: dict[str, Any], endpoint: str = "responses", allow: tuple[str, ...] = ()) -> tuple[str, str] | None:
    taken = record(endpoint=endpoint, body={"model": "gpt-4o", "input": "x"} | body)
    _, known = pricer(tools={"allow": allow}).read("standard", taken, WALL)
    assert isinstance(known, Candidate)
    return known.refusal


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"tools": [MCP]}, "mcp"),
        ({"tools": [{"type": "mcp", "connector_id": "connector_gmail", "authorization": "t"}]}, "mcp"),
        ({"tools": [FUNCTION, {"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "file_search"),
        ({"tools": [{"type": "web_search"}]}, "web_search"),
        ({"tools": [{"type": "web_search_preview_2025_03_11"}]}, "web_search_preview_2025_03_11"),
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "code_interpreter"),
        ({"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}, "shell"),
        ({"tools": [{"type": "shell"}]}, "shell"),
        ({"tools": [{"type": "telepathy_2027"}]}, "telepathy_2027"),
        ({"tools": [{"google_search": {}}]}, "untyped"),
        ({"tools": ["mcp"]}, "untyped"),
        ({"tools": MCP}, "mcp"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "namespace", "tools": [MCP]}]}]}, "mcp"),
        ({"input": [{"type": "additional_tools", "role": "developer", "tools": [MCP]}]}, "mcp"),
        ({"input": [{"type": "tool_search_output", "tools": [MCP]}]}, "mcp"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:60],
)
def test_what_reaches_beyond_a_request_is_refused_until_it_is_allowed_by_name(body: dict[str, Any], kind: str) -> None:
    assert refusal(body) == ("rejected", f"{kind!r} is not on this dispatcher's list tools.allow.")
    assert refusal(body, allow=(kind,)) is None
    assert refusal(body, allow=("*",)) is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"tools": [MCP]}, "mcp"),
        ({"web_search_options": {}}, "web_search"),
        ({"data_sources": [{"type": "azure_search", "parameters": {"endpoint": "https://x"}}]}, "data_sources"),
        ({"dataSources": [{}]}, "data_sources"),
    ],
    ids=["mcp", "web_search", "data_sources", "older_data_sources"],
)
def test_a_chat_has_ways_of_its_own(body: dict[str, Any], kind: str) -> None:
    assert refusal(body, "chat.completions") == ("rejected", f"{kind!r} is not on this dispatcher's list tools.allow.")
    assert refusal(body, "chat.completions", (f"{kind[:3]}*",)) is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tools": []},
        {"tools": None, "prompt": None},
        {"tools": [FUNCTION, {"type": "custom", "name": "c"}]},
        {"tools": [{"type": "namespace", "name": "n", "tools": [FUNCTION]}, {"type": "tool_search"}]},
        {"tools": [{"type": "local_shell"}, {"type": "shell", "environment": {"type": "local"}}]},
        {"tools": [{"type": "computer"}, {"type": "apply_patch"}, {"type": "image_generation"}]},
        {"previous_response_id": "resp_1", "input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]}]},
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_what_the_producer_carries_out_itself_needs_no_permission(body: dict[str, Any]) -> None:
    assert refusal(body) is None


def test_a_long_or_hostile_type_is_named_briefly_and_by_its_escapes() -> None:
    told = refusal({"tools": [{"type": "\u202e\x1b[31m" + "x" * 100_000}]})
    assert told is not None
    assert told[1].isprintable()
    assert len(told[1]) < 160


def test_each_type_of_tool_that_the_sdk_knows_has_been_thought_of() -> None:
    """A new one fails here first: decide whether anything of it is carried out elsewhere, then say so in the docs."""
    known = {
        "FunctionToolParam", "FileSearchToolParam", "ComputerToolParam", "ComputerUsePreviewToolParam", "Mcp",
        "WebSearchToolParam", "CodeInterpreter", "ProgrammaticToolCalling", "ImageGeneration", "LocalShell",
        "FunctionShellToolParam", "CustomToolParam", "NamespaceToolParam", "ToolSearchToolParam",
        "WebSearchPreviewToolParam", "ApplyPatchToolParam",
    }  # fmt: skip
    assert {one.__name__ for one in get_args(tool_param.ToolParam)} == known


@pytest.mark.slow
@given(JSON, JSON)
def test_no_body_makes_it_raise(tools: Any, items: Any) -> None:
    assert all(isinstance(kind, str) for kind in reaching({"tools": tools, "input": items}))
