"""A response as a stream of events, in OpenAI's shape: created, items with their parts and texts, the whole at the end.

The `done` events of an item need its final form, so they come with the outcome, as does anything that no delta tells.
"""

from collections.abc import Mapping
from typing import Any, Final

from headrace.broker.gateway.shapes.attempt_order import AttemptOrder
from headrace.broker.gateway.shapes.errors import ApiError
from headrace.broker.gateway.shapes.failures import error_of
from headrace.broker.gateway.shapes.growth import Contradiction, rest
from headrace.broker.gateway.shapes.response_texts import TEXT_KINDS, Part, TextKind, opened, parts_of, progress
from headrace.broker.gateway.shapes.stream import event_frame, restarted
from headrace.schemas.chunk import Chunk
from headrace.schemas.delta import index_of
from headrace.schemas.outcome import Failed, Outcome

_ADDED: Final = "response.output_item.added"
_BEGUN: Final[dict[str, Any]] = {
    "status": "in_progress",
    "output": [],
    "usage": None,
    "incomplete_details": None,
    "error": None,
}
_REPEATED: Final[dict[str, Any]] = {
    "instructions": None,
    "metadata": {},
    "text": {"format": {"type": "text"}},
    "tools": [],
}
"""Members of a response that repeat the request, and what they are where it does not name them."""


class _Odd(Exception):  # noqa: N818 — a finding: the chunk is left to the outcome
    """An event that does not fit what was heard before it."""


class ResponseStream:
    """A `StreamShape` of a response; `asked` is the body of its request, which the first events repeat."""

    def __init__(self, given_id: str, asked: Mapping[str, Any]) -> None:
        self.has_ended = False
        self.has_begun = False
        self._given_id = given_id
        self._asked = asked
        self._order = AttemptOrder()
        self._number = 0
        self._id: object = None
        self._items: dict[int, dict[str, Any]] = {}  # as opened at OpenAI, by their place
        self._told: dict[int, dict[str, Any]] = {}  # as opened to the client
        self._texts: dict[int, dict[tuple[str, int], str]] = {}
        self._logprobs: dict[tuple[int, int], list[Any]] = {}

    def add(self, chunk: Chunk) -> list[bytes]:
        """See `StreamShape.add`: what does not fit is left to the outcome."""
        if self.has_ended or not self._order.takes(chunk):
            return []
        try:
            return self._heard(chunk)
        except _Odd:
            self._order.give_up()
            return []
        except Contradiction:
            return self.fail(restarted(self._given_id))

    def _heard(self, chunk: Chunk) -> list[bytes]:
        head, event, frames = chunk.head or {}, chunk.delta, list[bytes]()
        response = head.get("response")
        if chunk.seq == 0:
            if not isinstance(response, dict) or not response.get("id"):
                raise _Odd
            if self.has_begun:  # items of another response have other ids
                raise Contradiction
            repeated = {name: self._asked.get(name, empty) for name, empty in _REPEATED.items()}
            frames += self._begin(response | repeated)
        items = head.get("items")
        for each in items if isinstance(items, list) else ():
            self._note(each)
        if not isinstance(event, dict):
            return frames
        if event.get("type") == _ADDED:
            self._note(event)
            return frames + self._open_up_to(event.get("output_index"))
        name = str(event.get("type")).removeprefix("response.").removesuffix(".delta")
        kind = TEXT_KINDS.get(name)
        return frames if kind is None else frames + self._delta(kind, event)

    def _note(self, opening: object) -> None:
        place = opening.get("output_index") if isinstance(opening, dict) else None
        item = opening.get("item") if isinstance(opening, dict) else None
        if isinstance(item, dict) and index_of({"index": place}) is not None:
            self._items.setdefault(int(str(place)), item)

    def _open_up_to(self, at: object) -> list[bytes]:
        """Return the events that open this item and those before it: accumulators append items."""
        if not isinstance(at, int) or any(each not in self._items for each in range(at + 1)):
            raise _Odd
        return [frame for each in range(at + 1) for frame in self._open(each, self._items[each])]

    def _delta(self, kind: TextKind, event: dict[str, Any]) -> list[bytes]:
        at, place, text = event.get("output_index"), event.get(kind.place, 0), event.get("delta")
        if not isinstance(at, int) or not isinstance(place, int) or not isinstance(text, str):
            raise _Odd
        item = self._items.get(at, {})
        if item.get("type") != kind.item_type or item.get("id") != event.get("item_id"):
            raise _Odd
        frames, texts = self._open_up_to(at), self._texts[at]
        if kind.parts and (kind.name, place) not in texts:
            if place != sum(1 for name, _ in texts if TEXT_KINDS[name].parts == kind.parts):
                raise _Odd
            where = {"item_id": item.get("id"), "output_index": at, kind.place: place}
            frames.append(self._frame(f"response.{kind.opening}.added", **where, part=kind.opened_part()))
        texts[kind.name, place] = texts.get((kind.name, place), "") + text
        if isinstance(event.get("logprobs"), list):
            self._logprobs.setdefault((at, place), []).extend(event["logprobs"])
        told = {name: value for name, value in event.items() if name != "type"}
        return [*frames, self._frame(f"response.{kind.name}.delta", **told)]

    def finish(self, outcome: Outcome) -> list[bytes]:
        """See `StreamShape.finish`."""
        if self.has_ended:
            return []
        if isinstance(outcome, Failed):
            return self.fail(error_of(outcome))
        try:
            frames = self._finished(outcome.response)
        except Contradiction:
            return self.fail(restarted(self._given_id))
        self.has_ended = True
        return frames

    def _finished(self, response: dict[str, Any]) -> list[bytes]:
        frames: list[bytes] = []
        if not self.has_begun:
            frames += self._begin(response)
        output = response.get("output")
        items = [each for each in output if isinstance(each, dict)] if isinstance(output, list) else []
        if response.get("id") != self._id or any(at >= len(items) for at in self._told):
            raise Contradiction
        for at, item in enumerate(items):
            frames += self._item(at, item)
        ending = "incomplete" if response.get("status") == "incomplete" else "completed"
        return [*frames, self._frame(f"response.{ending}", response=response)]

    def fail(self, error: ApiError) -> list[bytes]:
        """See `StreamShape.fail`: the documented members, and the nested error that the SDKs raise."""
        if self.has_ended:
            return []
        self.has_begun = self.has_ended = True
        members = {"code": error.code, "message": error.message, "param": error.param}
        return [self._frame("error", **members, **error.body())]

    def _begin(self, response: Mapping[str, Any]) -> list[bytes]:
        self.has_begun, self._id = True, response.get("id")
        begun = {name: value for name, value in response.items() if name != "completed_at"} | _BEGUN
        kinds = ("response.created", "response.in_progress")
        return [self._frame(kind, response=begun) for kind in kinds]

    def _open(self, at: int, item: Mapping[str, Any]) -> list[bytes]:
        """Return the events that open an item, if it has not been opened."""
        if at in self._told:
            return []
        self._told[at], self._texts[at] = opened(item), {}
        frames = [self._frame(_ADDED, output_index=at, item=self._told[at])]
        if (kind := progress(item, is_done=False)) is not None:
            frames.append(self._frame(kind, output_index=at, item_id=item.get("id")))
        return frames

    def _item(self, at: int, item: dict[str, Any]) -> list[bytes]:
        """Return what was not sent of a final item. Raises Contradiction."""
        frames = self._open(at, item)
        if any(self._told[at].get(name) != item.get(name) for name in ("id", "type", "call_id", "name")):
            raise Contradiction
        texts = dict(self._texts[at])
        for part in parts_of(item):
            frames += self._part(at, item, part, texts.pop(part.slot, None))
        if texts:
            raise Contradiction
        if (kind := progress(item, is_done=True)) is not None:
            frames.append(self._frame(kind, output_index=at, item_id=item.get("id")))
        return [*frames, self._frame("response.output_item.done", output_index=at, item=item)]

    def _part(self, at: int, item: Mapping[str, Any], part: Part, told: str | None) -> list[bytes]:
        """Return what was not sent of a part: its opening, the rest of its text, its annotations, its end."""
        where = {"item_id": item.get("id"), "output_index": at, **part.place}
        kind, frames = part.kind, list[bytes]()
        if part.opening and told is None:
            begun = part.value if kind is None else kind.opened_part()
            frames.append(self._frame(f"response.{part.opening}.added", **where, part=begun))
        if kind is not None and part.text is not None:
            more = rest(part.text, told, is_over=True)
            logprobs = part.value.get("logprobs")
            logprobs = logprobs if isinstance(logprobs, list) else []
            if more:
                known = len(self._logprobs.get((at, part.slot[1]), ()))
                beside: dict[str, Any] = {"logprobs": logprobs[known:]} if kind.name == "output_text" else {}
                frames.append(self._frame(f"response.{kind.name}.delta", **where, delta=more, **beside))
            frames += self._annotations(where, part)
            beside = {"logprobs": logprobs} if kind.name == "output_text" else {}
            beside |= {"name": item.get("name")} if kind.name == "function_call_arguments" else {}
            frames.append(self._frame(f"response.{kind.name}.done", **where, **{kind.field: part.text}, **beside))
        if part.opening:
            frames.append(self._frame(f"response.{part.opening}.done", **where, part=part.value))
        return frames

    def _annotations(self, where: Mapping[str, Any], part: Part) -> list[bytes]:
        given = part.value.get("annotations")
        return [
            self._frame("response.output_text.annotation.added", **where, annotation_index=number, annotation=each)
            for number, each in enumerate(given if isinstance(given, list) else ())
        ]

    def _frame(self, type: str, /, **members: Any) -> bytes:  # noqa: A002 — OpenAI's name for it
        """Return the next event; none of its members is left out where OpenAI has it."""
        frame = event_frame(type, {"type": type, **members, "sequence_number": self._number})
        self._number += 1
        return frame
