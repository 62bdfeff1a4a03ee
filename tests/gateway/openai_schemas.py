"""OpenAI's published schemas of what the gateway answers, and judgement by them.

`openai_schemas.json` beside this file is a part of OpenAI's OpenAPI document (the repository openai/openai-openapi,
which has it under the MIT licence): the schemas named below and all that they refer to, without descriptions. To take
it anew: `python -m tests.gateway.openai_schemas openapi.json`.
"""

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

FILE = Path(__file__).with_name("openai_schemas.json")
CHAT = "CreateChatCompletionResponse"
CHAT_CHUNK = "CreateChatCompletionStreamResponse"
RESPONSE = "Response"
RESPONSE_EVENT = "ResponseStreamEvent"
EMBEDDINGS = "CreateEmbeddingResponse"
MODELS = "ListModelsResponse"
MODEL = "Model"
ERROR = "ErrorResponse"
ROOTS = (CHAT, CHAT_CHUNK, RESPONSE, RESPONSE_EVENT, EMBEDDINGS, MODELS, MODEL, ERROR)
_POINTER = "#/components/schemas/"
_PROSE = frozenset({"description", "example", "examples", "title", "externalDocs"})


def extracted(document: dict[str, Any]) -> dict[str, Any]:
    """The schemas of an OpenAPI document that the roots need."""
    every, needed, waiting = document["components"]["schemas"], dict[str, Any](), list(ROOTS)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = _bare(every[name])
            waiting += [each.removeprefix(_POINTER) for each in _pointers(needed[name])]
    source = f"openai/openai-openapi (MIT licence), version {document['info']['version']}"
    return {"$comment": source, "components": {"schemas": dict(sorted(needed.items()))}}


def _bare(value: Any, *, names: bool = False) -> Any:
    """A schema without prose, in which `nullable` (of OpenAPI 3.0) is spelled as JSON Schema has it.

    With `names` the value's members are names of properties, not keywords.
    """
    if isinstance(value, list):
        return [_bare(each) for each in value]
    if not isinstance(value, dict):
        return value
    bare = {
        name: _bare(each, names=name == "properties" and not names)
        for name, each in value.items()
        if names or (name not in _PROSE and not name.startswith("x-"))
    }
    if not names and bare.pop("nullable", False):
        return {"anyOf": [bare, {"type": "null"}]}
    return bare


def _pointers(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from _pointers(each)
    elif isinstance(value, list):
        for each in value:
            yield from _pointers(each)


@cache
def _validator(name: str) -> Any:
    document = json.loads(FILE.read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator({**document, "$ref": _POINTER + name})


def faults(name: str, value: Any) -> list[str]:
    """What of a value contradicts the schema of this name: the deepest faults of each branch, with their places."""
    return [
        f"{'.'.join(map(str, each.absolute_path))}: {each.message[:300]}"
        for top in _validator(name).iter_errors(value)
        for each in _deepest(top)
    ]


def _deepest(error: Any) -> Iterator[Any]:
    """The faults that lie deepest within the branches of a choice: the branch that fits best."""
    if not error.context:
        yield error
        return
    branches: dict[Any, list[Any]] = {}
    for each in error.context:
        branches.setdefault(each.schema_path[0], []).append(each)
    best = min(branches.values(), key=lambda found: (_is_other_kind(found), len(found)))
    for each in best:
        yield from _deepest(each)


def _is_other_kind(found: list[Any]) -> bool:
    """Whether a branch is for another kind of object, as its `type` says."""
    return any(list(each.path) == ["type"] for each in found)


if __name__ == "__main__":
    told = extracted(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    FILE.write_text(json.dumps(told, ensure_ascii=False, indent=None, separators=(",", ":")) + "\n", encoding="utf-8")
