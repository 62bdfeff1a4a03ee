"""A response as a stream of events, in OpenAI's shape: created, items with their parts and texts, the whole at the end.

The `done` events of an item need its final form, so they come with the outcome, as does anything that no delta tells.
"""

from collections.abc import Mapping
from typing import Any, Final

from headrace.broker.gateway.shapes.attempt_order import AttemptOrder
from headrace.broker.gateway.shapes.errors import ApiError
from headrace.broker.gateway.shapes.failures import error_of
from headrace.broker.gateway.shapes.growth import AnswersDiffer, rest
from headrace.broker.gateway.shapes.response_texts import TEXT_KINDS, Part, TextKind, opened, parts_of, progress
from headrace.broker.gateway.shapes.stream import event_frame, restarted
from headrace.schemas.chunk import Chunk
from headrace.schemas.outcome import Failed, Outcome

_ADDED: Final = "response.output_item.added"
_COMPLETED: Final = "response.completed"
_IDENTITY: Final = ("id", "type", "call_id", "name")
"""Members of an item that do not change once it is open."""
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
        self._frames: list[bytes] = []
        self._id: object = None
        self._items: dict[int, dict[str, Any]] = {}  # as opened at OpenAI, by their place
        self._told: dict[int, dict[str, Any]] = {}  # as opened to the client
        self._texts: dict[int, dict[tuple[str, int], str]] = {}
        self._logprobs: dict[tuple[int, int], list[Any]] = {}  # by item and part

    def add(self, chunk: Chunk) -> list[bytes]:
        """See `StreamShape.add`: what does not fit is left to the outcome."""
        if self.has_ended or not self._order.takes(chunk):
            return []
        try:
            self._hear(chunk)
        except _Odd:
            self._order.give_up()
        except (AnswersDiffer, RecursionError):
            self._end_with(restarted(self._given_id))
        return self._taken()

    def finish(self, outcome: Outcome) -> list[bytes]:
        """See `StreamShape.finish`."""
        if self.has_ended:
            return []
        if isinstance(outcome, Failed):
            return self.fail(error_of(outcome))
        try:
            self._finish(outcome.response)
        except AnswersDiffer:
            self._end_with(restarted(self._given_id))
        return self._taken()

    def fail(self, error: ApiError) -> list[bytes]:
        """See `StreamShape.fail`: the documented members, and the nested error that the SDKs raise."""
        if not self.has_ended:
            self._end_with(error)
        return self._taken()

    def _hear(self, chunk: Chunk) -> None:
        head, event = chunk.head or {}, chunk.delta
        if chunk.seq == 0:
            response = head.get("response")
            if not isinstance(response, dict) or not response.get("id"):
                raise _Odd
            if self.has_begun:  # items of another response have other ids
                raise AnswersDiffer
            self._begin(response | {name: self._asked.get(name, empty) for name, empty in _REPEATED.items()})
        items = head.get("items")
        for each in items if isinstance(items, list) else ():
            self._note(each)
        if not isinstance(event, dict):
            return
        if event.get("type") == _ADDED:
            self._note(event)
            self._open_up_to(event.get("output_index"))
            return
        kind = TEXT_KINDS.get(str(event.get("type")).removeprefix("response.").removesuffix(".delta"))
        if kind is not None:
            self._hear_text(kind, event)

    def _note(self, opening: object) -> None:
        place = opening.get("output_index") if isinstance(opening, dict) else None
        item = opening.get("item") if isinstance(opening, dict) else None
        if isinstance(place, int) and isinstance(item, dict):
            self._items.setdefault(place, item)

    def _open_up_to(self, at: object) -> None:
        """Open this item and those before it: accumulators append items."""
        if not isinstance(at, int) or any(each not in self._items for each in range(at + 1)):
            raise _Odd
        for each in range(at + 1):
            self._open(each, self._items[each])

    def _hear_text(self, kind: TextKind, event: dict[str, Any]) -> None:
        at, place, text = event.get("output_index"), event.get(kind.place, 0), event.get("delta")
        if not isinstance(at, int) or not isinstance(place, int) or not isinstance(text, str):
            raise _Odd
        item = self._items.get(at, {})
        if item.get("type") != kind.item_type or item.get("id") != event.get("item_id"):
            raise _Odd
        self._open_up_to(at)
        texts = self._texts[at]
        if kind.parts and (kind.name, place) not in texts:
            if place != sum(1 for name, _ in texts if TEXT_KINDS[name].parts == kind.parts):
                raise _Odd
            where = {"item_id": item.get("id"), "output_index": at, kind.place: place}
            self._tell(f"response.{kind.opening}.added", **where, part=kind.opened_part())
        texts[kind.name, place] = texts.get((kind.name, place), "") + text
        if isinstance(event.get("logprobs"), list):
            self._logprobs.setdefault((at, place), []).extend(event["logprobs"])
        self._tell(f"response.{kind.name}.delta", **{name: each for name, each in event.items() if name != "type"})

    def _begin(self, response: Mapping[str, Any]) -> None:
        self._id = response.get("id")
        begun = {name: value for name, value in response.items() if name != "completed_at"} | _BEGUN
        for kind in ("response.created", "response.in_progress"):
            self._tell(kind, response=begun)

    def _open(self, at: int, item: Mapping[str, Any]) -> None:
        """Send what opens an item, if that has not been sent."""
        if at in self._told:
            return
        self._told[at], self._texts[at] = opened(item), {}
        self._tell(_ADDED, output_index=at, item=self._told[at])
        if (kind := progress(item, is_done=False)) is not None:
            self._tell(kind, output_index=at, item_id=item.get("id"))

    def _finish(self, response: dict[str, Any]) -> None:
        if not self.has_begun:
            self._begin(response)
        output = response.get("output")
        items = [each for each in output if isinstance(each, dict)] if isinstance(output, list) else []
        if response.get("id") != self._id or any(at >= len(items) for at in self._told):
            raise AnswersDiffer
        for at, item in enumerate(items):
            self._finish_item(at, item)
        self._tell("response.incomplete" if response.get("status") == "incomplete" else _COMPLETED, response=response)
        self.has_ended = True

    def _finish_item(self, at: int, item: dict[str, Any]) -> None:
        """Send what was not sent of a final item. Raises AnswersDiffer."""
        self._open(at, item)
        if any(self._told[at].get(name) != item.get(name) for name in _IDENTITY):
            raise AnswersDiffer
        texts = dict(self._texts[at])
        for part in parts_of(item):
            self._finish_part(at, item, part, texts.pop(part.slot, None))
        if texts:
            raise AnswersDiffer
        if (kind := progress(item, is_done=True)) is not None:
            self._tell(kind, output_index=at, item_id=item.get("id"))
        self._tell("response.output_item.done", output_index=at, item=item)

    def _finish_part(self, at: int, item: Mapping[str, Any], part: Part, told: str | None) -> None:
        """Send what was not sent of a part: its opening, the rest of its text, its end."""
        where = {"item_id": item.get("id"), "output_index": at, **part.place}
        if part.opening and told is None:
            begun = part.value if part.kind is None else part.kind.opened_part()
            self._tell(f"response.{part.opening}.added", **where, part=begun)
        if part.kind is not None and part.text is not None:
            beside = {"name": item.get("name")} if part.kind.name == "function_call_arguments" else {}
            self._finish_text(part.kind, part, told, where | beside)
        if part.opening:
            self._tell(f"response.{part.opening}.done", **where, part=part.value)

    def _finish_text(self, kind: TextKind, part: Part, told: str | None, where: Mapping[str, Any]) -> None:
        """Send the rest of a text, its annotations, its end. Raises AnswersDiffer."""
        given = part.value.get("logprobs")
        logprobs = given if isinstance(given, list) else []
        is_output = kind.name == "output_text"
        if more := rest(part.text, told, is_over=True):
            known = len(self._logprobs.get((where["output_index"], part.slot[1]), ()))
            fresh = {"logprobs": logprobs[known:]} if is_output else {}
            place = {name: value for name, value in where.items() if name != "name"}
            self._tell(f"response.{kind.name}.delta", **place, delta=more, **fresh)
        annotations = part.value.get("annotations")
        for number, each in enumerate(annotations if isinstance(annotations, list) else ()):
            self._tell("response.output_text.annotation.added", **where, annotation_index=number, annotation=each)
        whole = {"logprobs": logprobs} if is_output else {}
        self._tell(f"response.{kind.name}.done", **where, **{kind.field: part.text}, **whole)

    def _end_with(self, error: ApiError) -> None:
        self._tell("error", code=error.code, message=error.message, param=error.param, **error.body())
        self.has_ended = True

    def _tell(self, kind: str, /, **members: Any) -> None:
        """Frame the next event."""
        event = {"type": kind, **members, "sequence_number": self._number}
        self._frames.append(event_frame(kind, event))
        self._number += 1
        self.has_begun = True

    def _taken(self) -> list[bytes]:
        frames, self._frames = self._frames, []
        return frames
