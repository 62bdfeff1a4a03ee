"""Reach of a request beyond itself: other hosts, and what the account has stored at OpenAI.

A tool that is carried out at OpenAI sends parts of a prompt, and whatever the model makes of it, to a server that the
producer names (`mcp`, Azure's `data_sources`) or to the web; or it reads files and vector stores that belong to the
whole account, not to a tenant. Such a tool is refused unless `tools.allow` names it. Tools that the producer carries
out itself, and those that stay between model and prompt, pass. A type that this release does not know is refused as
well: a needless refusal costs one sentence and one setting, whereas a prompt that has left cannot be recalled.

Not checked: `previous_response_id`, `conversation`, `item_reference` and file ids, which name stored data by ids that
cannot be guessed; URLs of images and files, which OpenAI fetches and to which nothing is sent.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

_STAYS: Final = frozenset(
    {
        "function",
        "custom",
        "namespace",  # of functions; its other contents are checked
        "tool_search",  # among the tools that the request brings
        "apply_patch",
        "local_shell",
        "computer",
        "computer_use_preview",
        "image_generation",
    }
)
"""Types of tools (openai 3.57, types.responses.ToolParam) that neither run anything at other hosts nor read stored
data."""

_BY_FIELD: Final = {
    "web_search_options": "web_search",  # of a chat completion
    "data_sources": "data_sources",  # Azure: a search service whose address and key the producer names
    "dataSources": "data_sources",
    "prompt": "prompt",  # a template stored in the account, whose tools are not visible here
}
UNTYPED: Final = "untyped"


def reaching(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the kinds of tool by which a body reaches beyond the request; a kind may occur twice."""
    for field, kind in _BY_FIELD.items():
        if body.get(field) is not None:
            yield kind
    given = [body.get("tools")]
    items = body.get("input")
    if isinstance(items, list):  # items of the types additional_tools and tool_search_output bring tools, too
        given += [item.get("tools") for item in items if isinstance(item, dict)]
    while given:
        tools = given.pop()
        for tool in tools if isinstance(tools, list) else [] if tools is None else [tools]:
            kind = _kind_of(tool)
            if kind not in _STAYS:
                yield kind
            if isinstance(tool, dict):
                given.append(tool.get("tools"))


def _kind_of(tool: Any) -> str:
    if not isinstance(tool, dict):
        return UNTYPED
    kind, environment = tool.get("type"), tool.get("environment")
    if kind == "shell" and isinstance(environment, dict) and environment.get("type") == "local":
        return "local_shell"  # the same tool under its newer name: the producer runs it
    return kind if isinstance(kind, str) else UNTYPED
