"""References of a request body: the ids by which it names input that it does not contain.

OpenAI bills the conversation behind a `previous_response_id`, a stored prompt or a file as input, and charges it at
admission (facts/openai.md §2.2), while the body holds an id alone. An id is any JSON that a producer sent; here it is
reduced to eight bytes, and of the references of one body only the first `REFERENCES_MAX` are kept: of its state, its
tools and its items, in this order.
"""

import hashlib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import chain
from typing import Final, NamedTuple

from headrace.broker.core.endpoints import Shape, facts_of

REFERENCES_MAX: Final = 16
"""References of one body that are priced: each costs some microseconds whenever the request is priced."""
MARK_BYTES: Final = 8
_END_CHARS: Final = 512  # of a longer id both ends are hashed: a file in the body may have megabytes
_STORES_MAX: Final = 16


class ReferenceKind(StrEnum):
    """Kind of input that a body only names."""

    RESPONSE = "response"  # what a former response was given and wrote
    CONVERSATION = "conversation"  # likewise, of all responses in it
    PROMPT = "prompt"  # a stored template, in one version
    FILE = "file"  # by id or URL, or as the bytes of a document
    IMAGE = "image"  # by the id of its file; its price is that of the largest image already
    ITEM = "item"  # a single item of a former response
    TOOL = "tool"  # carried out at OpenAI: what it finds is read as input


class Reference(NamedTuple):
    """One reference: its kind, and a hash of what it names."""

    kind: ReferenceKind
    mark: bytes


Named = tuple[ReferenceKind, str]
_TOOLS: Final = ("file_search", "web_search", "mcp", "code_interpreter")  # a type may have a date behind that
_BY_ID: Final = ("file_id", "file_url", "file_data")


def references(endpoint: str, body: Mapping[str, object]) -> tuple[Reference, ...]:
    """Return the distinct references of a body, at most `REFERENCES_MAX`; values of a wrong type name nothing."""
    facts = facts_of(endpoint)
    if facts.shape is Shape.VECTORS:
        return ()
    found = _of_items(body.get(facts.input_field))
    if "tools" in body or "web_search_options" in body:  # before items: a call with a tool is no evidence of a law
        found = chain(_of_tools(body), found)
    if facts.shape is Shape.RESPONSE:
        found = chain(_of_state(body), found)
    return _first(found)


def _first(found: Iterator[Named]) -> tuple[Reference, ...]:
    """Return the first distinct ones, at most `REFERENCES_MAX`; what is named again is not hashed again."""
    distinct: dict[Named, None] = {}
    for kind, text in found:
        distinct[kind, _ends(text)] = None
        if len(distinct) == REFERENCES_MAX:
            break
    return tuple([Reference(kind, _mark(text)) for kind, text in distinct])


def response_mark(endpoint: str, response: Mapping[str, object]) -> bytes:
    """Return the mark under which later requests may name an answer; empty: none may, or it has no id."""
    if facts_of(endpoint).shape is not Shape.RESPONSE or response.get("store") is False:
        return b""
    identity = _field(response, "id")
    return _mark(_ends(identity)) if identity else b""


def _of_state(body: Mapping[str, object]) -> Iterator[Named]:
    """Yield what a body of the Responses API names beside its input."""
    if identity := _text(body.get("previous_response_id")):
        yield ReferenceKind.RESPONSE, identity
    conversation = body.get("conversation")
    if identity := _text(conversation) or _field(conversation, "id"):
        yield ReferenceKind.CONVERSATION, identity
    prompt = body.get("prompt")
    if identity := _field(prompt, "id"):
        yield ReferenceKind.PROMPT, f"{identity} {_field(prompt, 'version')}"


def _of_items(items: object) -> Iterator[Named]:
    """Yield what messages and input items name: files, images and items of former responses."""
    for item in items if isinstance(items, list | tuple) else ():
        if not isinstance(item, Mapping):
            continue
        if item.get("type") == "item_reference" and (identity := _field(item, "id")):
            yield ReferenceKind.ITEM, identity
        if "audio" in item and (identity := _field(item["audio"], "id")):  # an answer that was spoken
            yield ReferenceKind.ITEM, identity
        for name in ("content", "output"):
            parts = item.get(name)
            for part in parts if isinstance(parts, list | tuple) else ():
                if isinstance(part, Mapping) and (named := _of_part(part)) is not None:
                    yield named


def _of_part(part: Mapping[str, object]) -> Named | None:
    kind = part.get("type")
    if kind == "input_image":
        identity = _text(part.get("file_id"))
        return (ReferenceKind.IMAGE, identity) if identity else None
    file = part if kind == "input_file" else part.get("file") if kind == "file" else None
    if isinstance(file, Mapping):
        for name in _BY_ID:
            if identity := _text(file.get(name)):
                return ReferenceKind.FILE, identity
    return None


def _of_tools(body: Mapping[str, object]) -> Iterator[Named]:
    """Yield the tools that are carried out at OpenAI, each with the stores or the server that it asks."""
    if isinstance(body.get("web_search_options"), Mapping):
        yield ReferenceKind.TOOL, "web_search"
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list | tuple) else ():
        kind = _field(tool, "type")
        if isinstance(tool, Mapping) and kind.startswith(_TOOLS):
            stores = tool.get("vector_store_ids")
            names = [_text(name) for name in stores[:_STORES_MAX]] if isinstance(stores, list | tuple) else []
            server = _field(tool, "server_url") or _field(tool, "connector_id")
            yield ReferenceKind.TOOL, " ".join((kind, server, *names))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _field(value: object, name: str) -> str:
    return _text(value.get(name)) if isinstance(value, Mapping) else ""


def _ends(text: str) -> str:
    """Return a text, or what tells a very long one apart."""
    return text if len(text) <= 2 * _END_CHARS else f"{len(text)} {text[:_END_CHARS]}{text[-_END_CHARS:]}"


def _mark(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", errors="surrogatepass"), digest_size=MARK_BYTES).digest()
