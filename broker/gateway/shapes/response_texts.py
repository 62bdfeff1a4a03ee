"""Texts of a response that grow by deltas: where each kind stands in an output item, and how its events are spelled."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class TextKind:
    """One kind of text.

    Attributes:
        name: As in the events `response.<name>.delta` and `response.<name>.done`.
        item_type: Type of the items that have it.
        field: Member that holds the text, in the part or in the item; the `done` event has it, too.
        parts: Member of the item that lists its parts; None: the item has one text of the kind, in itself.
        part_type: Type of such a part.
        place: Member of an event with the part's place in that list.
        opening: Kind of event that opens and closes a part, `response.<opening>.added` and `.done`.
        empty: The part as it opens, beside its type and empty text.
    """

    name: str
    item_type: str
    field: str
    parts: str | None = None
    part_type: str = ""
    place: str = ""
    opening: str = ""
    empty: Mapping[str, Any] | None = None

    def opened_part(self) -> dict[str, Any]:
        """Return a part of this kind as it opens."""
        return {"type": self.part_type, **(self.empty or {}), self.field: ""}


_CONTENT: Final[dict[str, Any]] = {"parts": "content", "place": "content_index", "opening": "content_part"}
_ROWS: Final = (
    TextKind(
        "output_text",
        "message",
        "text",
        part_type="output_text",
        empty={"annotations": [], "logprobs": []},
        **_CONTENT,
    ),
    TextKind("refusal", "message", "refusal", part_type="refusal", **_CONTENT),
    TextKind("reasoning_text", "reasoning", "text", part_type="reasoning_text", **_CONTENT),
    TextKind(
        "reasoning_summary_text",
        "reasoning",
        "text",
        parts="summary",
        part_type="summary_text",
        place="summary_index",
        opening="reasoning_summary_part",
    ),
    TextKind("function_call_arguments", "function_call", "arguments"),
    TextKind("custom_tool_call_input", "custom_tool_call", "input"),
    TextKind("mcp_call_arguments", "mcp_call", "arguments"),
    TextKind("code_interpreter_call_code", "code_interpreter_call", "code"),
)
TEXT_KINDS: Final[Mapping[str, TextKind]] = {kind.name: kind for kind in _ROWS}
_PART_LISTS: Final = ("summary", "content")
"""Lists of parts in an item, in the order in which they are written."""
_OPENINGS: Final = {
    "summary": ("summary_index", "reasoning_summary_part"),
    "content": ("content_index", "content_part"),
}
_TOOLS_OF_OPENAI: Final = frozenset(
    {"code_interpreter_call", "file_search_call", "image_generation_call", "mcp_call", "web_search_call"}
)
"""Items of tools that OpenAI runs; their progress has events of its own."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an item, or the item's own text.

    Attributes:
        kind: Kind of its text; None if it has none that grows.
        place: The event's members that say where it is, beside the item.
        opening: See `TextKind.opening`; empty for an item's own text.
        value: The object that holds the text.
    """

    kind: TextKind | None
    place: Mapping[str, int]
    opening: str
    value: Mapping[str, Any]

    @property
    def text(self) -> str | None:
        """The text; None if it has none that grows."""
        text = self.value.get(self.kind.field) if self.kind else None
        return text if isinstance(text, str) else None

    @property
    def slot(self) -> tuple[str, int]:
        """Name of its text within the item: the kind and the place."""
        return (self.kind.name if self.kind else "", next(iter(self.place.values()), 0))


def parts_of(item: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the parts of an output item in order, and its own text if it has one."""
    for kind in _ROWS:
        if kind.parts is None and kind.item_type == item.get("type"):
            yield Part(kind, {}, "", item)
    for name in _PART_LISTS:
        place, opening = _OPENINGS[name]
        given = item.get(name)
        for number, part in enumerate(given if isinstance(given, list) else ()):
            if isinstance(part, dict):
                yield Part(_kind_of(item, part, name), {place: number}, opening, part)


def _kind_of(item: Mapping[str, Any], part: Mapping[str, Any], parts: str) -> TextKind | None:
    of_item = (kind for kind in _ROWS if kind.parts == parts and kind.item_type == item.get("type"))
    return next((kind for kind in of_item if kind.part_type == part.get("type")), None)


def opened(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an output item as it opens: in progress, without texts and results."""
    begun = {name: value for name, value in item.items() if name != "encrypted_content"}
    if "status" in item or item.get("type") == "message":
        begun["status"] = "in_progress"
    kinds = [kind for kind in _ROWS if kind.item_type == item.get("type")]
    empty: dict[str, Any] = {kind.field: "" for kind in kinds if kind.parts is None}
    empty |= {
        kind.parts: [] for kind in kinds if kind.parts and (kind.parts in item or kind.part_type != "reasoning_text")
    }
    results = {name: None for name in ("result", "output", "outputs", "results") if name in item}
    return begun | results | empty


def progress(item: Mapping[str, Any], *, is_done: bool) -> str | None:
    """Return the event's type for the beginning or the end of a tool that OpenAI runs; None for other items."""
    kind = item.get("type")
    if not isinstance(kind, str) or kind not in _TOOLS_OF_OPENAI:
        return None
    if not is_done:
        return f"response.{kind}.in_progress"
    return f"response.{kind}.{'failed' if kind == 'mcp_call' and item.get('error') else 'completed'}"
