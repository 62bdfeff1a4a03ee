"""Assembly of a stream's events into the answer that the same call would have had without streaming. No I/O.

The events are OpenAI's: chunks of a chat completion, or events of a response. Whatever they are, nothing here raises;
anything else is skipped, as a reader of the SDK would skip it.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol, assert_never

from headrace.broker.core.endpoints import Shape, facts_of
from headrace.schemas.delta import Delta, Head, grown_choices, index_of

_ENDINGS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_FOLD_EVERY: Final = 64
"""Deltas assembled at once: one by one, a long answer would be copied for each of its words."""
CHOICES_MAX: Final = 128
"""OpenAI's own maximum (`n`); a choice beyond it is ignored, else each event could bring one more to be copied."""
_EACH_BYTES: Final = 8
"""Weight of a value beside its text."""
_REPEATED: Final = frozenset({"input", "instructions", "metadata", "output", "prompt", "text", "tools", "usage"})
"""Members of a response that its first event repeats from the request, or that are still empty in it."""
_LONG: Final = frozenset({"encrypted_content", "result"})
_ENDS_OF_A_CHOICE: Final = frozenset({"finish_reason", "logprobs"})


class StreamAssembly(Protocol):
    """An answer being assembled."""

    def add(self, event: object) -> Delta | None:
        """Add an event; return the part worth publishing, or None."""

    def head(self) -> Head:
        """Return what the stream has said of its answer beside deltas, since it was last asked; empty if nothing."""

    def is_error(self, event: object) -> bool:
        """Whether the event says that no more will come, where the SDK passes such an event on."""

    def whole(self) -> dict[str, Any] | None:
        """Return the answer, or None while its end has not come."""

    def weight(self) -> int:
        """Return the approximate size of the parts so far, in bytes: a stream's events may be endless."""


def asking_for_a_stream(endpoint: str, body: Mapping[str, object]) -> dict[str, object]:
    """Return the body that requests the same answer as a stream; for a chat completion, with its usage at the end."""
    streamed: dict[str, object] = {**body, "stream": True}
    options, ours = body.get("stream_options"), facts_of(endpoint).stream_options
    if ours and (options is None or isinstance(options, Mapping)):
        streamed["stream_options"] = {**(options or {}), **ours}
    return streamed


def assembly(endpoint: str) -> StreamAssembly:
    """Create an assembly for an answer of this endpoint."""
    shape = facts_of(endpoint).shape
    match shape:
        case Shape.CHAT | Shape.VECTORS:  # vectors are not streamed
            return ChatAssembly()
        case Shape.RESPONSE:
            return ResponseAssembly()
        case _:
            assert_never(shape)


class ChatAssembly:
    """Assembly of a chat completion."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: list[Any] = []
        self._fresh: list[Any] = []
        self._is_head_told = False

    def add(self, event: object) -> Delta | None:
        """See `StreamAssembly.add`: the choices, without empty parts."""
        if not isinstance(event, dict):
            return None
        for name, value in event.items():
            if name not in {"choices", "object", "obfuscation"} and (value or name not in self._head):
                self._head[name] = value
        given = event.get("choices")
        choices = [_told(each) for each in given if _is_choice(each)] if isinstance(given, list) else []
        self._fresh.extend(choices)
        if len(self._fresh) >= _FOLD_EVERY:
            self._fold()
        return [less for each in choices if (less := _worth_telling(each)) is not None] or None

    def head(self) -> Head:
        """See `StreamAssembly.head`: the members beside the choices, once; the usage comes at the end."""
        if self._is_head_told:
            return {}
        self._is_head_told = True
        return {name: value for name, value in self._head.items() if name != "usage"}

    def is_error(self, event: object) -> bool:
        """See `StreamAssembly.is_error`: vLLM sends an error's fields bare."""
        return isinstance(event, dict) and "choices" not in event and event.get("object") == "error"

    def whole(self) -> dict[str, Any] | None:
        """See `StreamAssembly.whole`: it is complete when each choice has its finish reason."""
        self._fold()
        choices = sorted(self._choices, key=lambda choice: choice["index"])
        if not choices or not all(choice.get("finish_reason") for choice in choices):
            return None
        return {
            "id": None,
            "object": "chat.completion",
            **self._head,
            "choices": [_choice(choice) for choice in choices],
        }

    def weight(self) -> int:
        """See `StreamAssembly.weight`."""
        self._fold()
        return weight_of([self._head, self._choices])

    def _fold(self) -> None:
        self._choices = grown_choices(self._choices, grown_choices([], self._fresh))
        self._fresh.clear()


def _is_choice(value: object) -> bool:
    place = index_of(value)
    return place is not None and 0 <= place < CHOICES_MAX


def _told(choice: dict[str, Any]) -> dict[str, Any]:
    """Normalise a choice of a chunk; a `delta` that is not an object counts as empty."""
    delta = choice.get("delta")
    return {**choice, "delta": delta if isinstance(delta, dict) else {}}


def _worth_telling(choice: dict[str, Any]) -> dict[str, Any] | None:
    """Return the parts that add to the answer; None for the role alone, which opens every choice."""
    delta = {name: value for name, value in choice["delta"].items() if value and name != "role"}
    ends = {name: value for name, value in choice.items() if value and name in _ENDS_OF_A_CHOICE}
    return {"index": choice["index"], "delta": delta, **ends} if delta or ends else None


def _choice(told: dict[str, Any]) -> dict[str, Any]:
    """Convert to the form of a complete answer: a message instead of a delta, and tool calls without their index."""
    rest = {name: value for name, value in told.items() if name not in {"index", "delta", "logprobs", "finish_reason"}}
    message = {"role": "assistant", "content": None, "refusal": None, **told["delta"]}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        placed = sorted(calls, key=lambda call: index_of(call) or 0)
        message["tool_calls"] = [_without_index(call) for call in placed]
    return {
        "index": told["index"],
        "message": message,
        "logprobs": told.get("logprobs"),
        "finish_reason": told["finish_reason"],
        **rest,
    }


def _without_index(call: Any) -> Any:
    return {name: value for name, value in call.items() if name != "index"} if isinstance(call, dict) else call


class ResponseAssembly:
    """Assembly of a response: the last event holds it whole."""

    def __init__(self) -> None:
        self._whole: dict[str, Any] | None = None
        self._response: Head = {}
        self._opened: list[Any] = []

    def add(self, event: object) -> Delta | None:
        """See `StreamAssembly.add`: deltas, and the opening of an item that has a name, such as a function call."""
        if not isinstance(event, dict) or not isinstance(kind := event.get("type"), str):
            return None
        response = event.get("response")
        if kind in _ENDINGS and isinstance(response, dict):
            self._whole = response
        elif kind == "response.created" and isinstance(response, dict):
            self._response = {"response": {name: response[name] for name in response if name not in _REPEATED}}
        item = event.get("item")
        if kind == "response.output_item.added" and isinstance(item, dict):
            self._opened.append({"output_index": event.get("output_index"), "item": _lean(item)})
        opens = kind == "response.output_item.added" and isinstance(item, dict) and bool(item.get("name"))
        if not opens and not kind.endswith(".delta"):
            return None
        return {name: value for name, value in event.items() if name not in {"obfuscation", "sequence_number"}}

    def head(self) -> Head:
        """See `StreamAssembly.head`: the response as it began, once, and the items opened."""
        head = {**self._response, **({"items": self._opened} if self._opened else {})}
        self._response, self._opened = {}, []
        return head

    def is_error(self, event: object) -> bool:
        """See `StreamAssembly.is_error`: the documented event has its fields beside its type."""
        return isinstance(event, dict) and event.get("type") == "error"

    def whole(self) -> dict[str, Any] | None:
        """See `StreamAssembly.whole`."""
        return self._whole

    def weight(self) -> int:
        """See `StreamAssembly.weight`: the answer comes in one event, which the reader bounds."""
        return weight_of(self._opened) if self._opened else 0


def _lean(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as it is opened, without what may be long; the answer has it."""
    return {name: value for name, value in item.items() if name not in _LONG}


def weight_of(value: object) -> int:
    """Estimate the memory of a JSON value: texts by their length, names too, and a constant for each value."""
    weight, waiting = 0, [value]
    while waiting:
        each = waiting.pop()
        weight += _EACH_BYTES
        if isinstance(each, str):
            weight += len(each)
        elif isinstance(each, dict):
            weight += sum(map(len, each))
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
    return weight
