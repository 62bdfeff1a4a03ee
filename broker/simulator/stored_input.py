"""Input that calls only name: former responses, conversations, stored prompts and files, as a server keeps them.

A response and a conversation carry what was billed for them so far; what stands behind the id of a prompt or a file is
drawn from the id, around the numbers of the behaviour `stored-input`. An unknown id carries nothing.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.enforcement import StoredInput
from headrace.broker.simulator.pricing import Endpoint

KEPT_MAX: Final = 100_000  # responses and conversations; the oldest are forgotten

_Key = tuple[str, str]


class StoredState:
    """What a server keeps between calls."""

    def __init__(self, behaviours: Sequence[Behaviour]) -> None:
        played = [each for each in behaviours if isinstance(each, StoredInput)]
        self._sizes = played[-1] if played else StoredInput(0, 0)
        self._kept: OrderedDict[_Key, int] = OrderedDict()

    def reset(self) -> None:
        """Forget all responses and conversations."""
        self._kept.clear()

    def tokens_of(self, endpoint: Endpoint, body: Mapping[str, Any]) -> int:
        """Return the input tokens that a call carries beside its body."""
        tokens = 0
        if endpoint is Endpoint.RESPONSES:
            tokens += sum(self._kept.get(key, 0) for key in _named(body))
            if prompt := _text(body.get("prompt"), "id"):
                tokens += _drawn(f"{prompt} {_text(body['prompt'], 'version')}", self._sizes.prompt)
        files = body.get("messages" if endpoint is Endpoint.CHAT else "input")
        return tokens + sum(_drawn(file, self._sizes.file) for file in _files(files))

    def keep(self, endpoint: Endpoint, body: Mapping[str, Any], answer: Mapping[str, Any] | str) -> None:
        """Keep what the next call carries that names this answer or its conversation."""
        if endpoint is not Endpoint.RESPONSES or isinstance(answer, str):
            return
        keys = [key for key in _named(body) if key[0] == "conversation"]
        if body.get("store") is not False:
            keys.append(("response", str(answer["id"])))
        for key in keys:
            self._kept[key] = int(answer["usage"]["total_tokens"])
            self._kept.move_to_end(key)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)


def _named(body: Mapping[str, Any]) -> Iterator[_Key]:
    before, conversation = body.get("previous_response_id"), body.get("conversation")
    if isinstance(before, str):
        yield "response", before
    if identity := conversation if isinstance(conversation, str) else _text(conversation, "id"):
        yield "conversation", identity


def _files(items: Any) -> Iterator[str]:
    for item in items if isinstance(items, list) else ():
        content = item.get("content") if isinstance(item, Mapping) else None
        for part in content if isinstance(content, list) else ():
            kind = _text(part, "type")
            if kind in {"file", "input_file"}:
                place = part.get("file") if kind == "file" else part
                if identity := _text(place, "file_id") or _text(place, "file_url"):
                    yield identity


def _text(value: Any, name: str) -> str:
    text = value.get(name) if isinstance(value, Mapping) else None
    return text if isinstance(text, str) else ""


def _drawn(identity: str, tokens: int) -> int:
    """Draw from half to one and a half of `tokens`, the same for the same id."""
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).digest()
    return tokens // 2 + int.from_bytes(digest[:4], "big") % (tokens + 1)
