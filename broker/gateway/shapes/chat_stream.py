"""A chat completion as a stream of chunks, in OpenAI's shape: role first, `finish_reason` last, then the usage.

A choice's `finish_reason` waits for the outcome, since more may follow it: another attempt, should this one break off.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headrace.broker.gateway.shapes.attempt_order import AttemptOrder
from headrace.broker.gateway.shapes.errors import ApiError
from headrace.broker.gateway.shapes.failures import error_of
from headrace.broker.gateway.shapes.growth import AnswersDiffer, rest, unsaid
from headrace.broker.gateway.shapes.stream import DONE, data_frame, restarted
from headrace.schemas.chunk import Chunk
from headrace.schemas.delta import grown_choices, index_of
from headrace.schemas.outcome import Failed, Outcome

CHOICES_MAX: Final = 128
"""OpenAI's own maximum (`n`), and the most that the SDK for Go takes."""
_EVERYWHERE: Final = ("id", "created", "model", "service_tier", "system_fingerprint")
"""Members that every chunk repeats."""
_FIXED: Final = frozenset({"id", "created", "model"})
"""Of those, what a client's accumulator does not allow to change."""
_NOT_OF_A_HEAD: Final = frozenset({"choices", "object", "usage"})
_OPENED: Final = ("content", "refusal")
_OF_A_CHOICE: Final = frozenset({"index", "delta", "message", "logprobs", "finish_reason"})


class ChatStream:
    """A `StreamShape` of a chat completion."""

    def __init__(self, given_id: str, *, include_usage: bool) -> None:
        self.has_ended = False
        self.has_begun = False
        self._given_id = given_id
        self._include_usage = include_usage
        self._order = AttemptOrder()
        self._head: dict[str, Any] = {}
        self._heard: list[Any] = []  # choices of the attempt that counts
        self._told: list[Any] = []  # choices as they were sent, whichever attempt said so
        self._in_step = True
        self._opened: set[int] = set()

    def add(self, chunk: Chunk) -> list[bytes]:
        """See `StreamShape.add`."""
        if self.has_ended or not self._order.takes(chunk):
            return []
        if chunk.seq == 0:
            self._heard, self._in_step = [], not self._told
        if not self._head:
            self._head = dict(chunk.head or {})
        choices = [] if chunk.delta is None else chunk.delta
        if not self._head.get("id") or not _are_choices(choices):
            self._order.give_up()
            return []
        try:
            return self._sent(self._grown(choices))
        except (AnswersDiffer, RecursionError):
            return self.fail(restarted(self._given_id))

    def _grown(self, choices: list[Any]) -> list[Any]:
        """Hear of more; return what of it was not told yet, as choices of chunks."""
        spoken = [{"index": each["index"], **_spoken(each)} for each in choices if _spoken(each)]
        self._heard = grown_choices(self._heard, spoken)
        if self._in_step:
            known = {each["index"]: each for each in self._told}
            fresh = [unsaid(each, known.get(each["index"])) for each in spoken]
            self._told = self._heard
        else:
            fresh = self._missing(self._heard, is_over=False)
            self._told = grown_choices(self._told, fresh)
            self._in_step = self._told == self._heard
        return fresh

    def _missing(self, choices: list[Any], *, is_over: bool) -> list[Any]:
        """Return what was not told of these choices. Raises AnswersDiffer."""
        known, missing = {each["index"]: each for each in self._told}, []
        for each in choices:
            more = rest(each, known.pop(each["index"], {"index": each["index"]}), is_over=is_over)
            if more is not None:
                missing.append({"index": each["index"], **more})
        if is_over and known:
            raise AnswersDiffer
        return missing

    def finish(self, outcome: Outcome) -> list[bytes]:
        """See `StreamShape.finish`."""
        if self.has_ended:
            return []
        if isinstance(outcome, Failed):
            return self.fail(error_of(outcome))
        try:
            frames = self._finished(outcome.response)
        except AnswersDiffer:
            return self.fail(restarted(self._given_id))
        self.has_begun = self.has_ended = True
        return frames

    def _finished(self, response: Mapping[str, Any]) -> list[bytes]:
        given = response.get("choices")
        finals = sorted((each for each in given if _is_choice(each)), key=_place) if isinstance(given, list) else []
        missing = self._missing([{"index": each["index"], **_in_deltas(each)} for each in finals], is_over=True)
        head = {name: value for name, value in response.items() if name not in _NOT_OF_A_HEAD}
        self._head = {**self._head, **{name: v for name, v in head.items() if not (self._head and name in _FIXED)}}
        roles = {each["index"]: _message(each).get("role") or "assistant" for each in finals}
        frames = self._sent(missing, roles)
        for each in finals:
            frames += self._opening(each["index"], {}, roles)
            beside = {name: value for name, value in each.items() if name not in _OF_A_CHOICE}
            frames.append(self._chunk(each["index"], {}, finish_reason=each.get("finish_reason"), **beside))
        if self._include_usage:
            frames.append(data_frame({**self._members(), "choices": [], "usage": response.get("usage")}))
        return [*frames, DONE]

    def fail(self, error: ApiError) -> list[bytes]:
        """See `StreamShape.fail`: SDKs raise an event that has the member `error`."""
        if self.has_ended:
            return []
        self.has_begun = self.has_ended = True
        return [data_frame(error.body()), DONE]

    def _sent(self, choices: list[Any], roles: Mapping[int, str] | None = None) -> list[bytes]:
        """Return the chunks for deltas of choices; lower choices open first, since accumulators append them."""
        frames: list[bytes] = []
        for each in sorted(choices, key=_place):
            index, delta, logprobs = each["index"], each.get("delta") or {}, each.get("logprobs")
            for lower in range(index):
                frames += self._opening(lower, {}, roles)
            opening = self._opening(index, delta, roles)
            frames += opening
            parts = [*_parts(_without_empty(delta) if opening else delta)]
            if logprobs is not None and not parts:
                parts.append({})
            for number, part in enumerate(parts):
                told = logprobs if number == 0 else None
                frames.append(self._chunk(index, part, logprobs=told and {"content": None, "refusal": None, **told}))
        return frames

    def _opening(self, index: int, delta: Mapping[str, Any], roles: Mapping[int, str] | None) -> list[bytes]:
        """Return the chunk with the role of a choice, if it has not been sent."""
        if index in self._opened:
            return []
        self._opened.add(index)
        role = "assistant" if roles is None else roles.get(index, "assistant")
        begun = {name: None if delta.get(name) is None else "" for name in _OPENED}
        return [self._chunk(index, {"role": role, **begun})]

    def _chunk(self, index: int, delta: Mapping[str, Any], /, **ends: Any) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **ends}
        usage = {"usage": None} if self._include_usage else {}
        return data_frame({**self._members(), "choices": [choice], **usage})

    def _members(self) -> dict[str, Any]:
        """Return the members of a chunk beside its choices; the first one has all that is known."""
        names = _EVERYWHERE if self.has_begun else self._head
        self.has_begun = True
        return {"object": "chat.completion.chunk"} | {name: self._head[name] for name in names if name in self._head}


def _place(choice: Mapping[str, Any]) -> int:
    return int(choice["index"])


def _is_choice(value: object) -> bool:
    place = index_of(value)
    return place is not None and 0 <= place < CHOICES_MAX


def _are_choices(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_choice, value))


def _spoken(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a chunk's choice that grow."""
    return {name: value for name in ("delta", "logprobs") if isinstance(value := choice.get(name), dict) and value}


def _message(choice: Mapping[str, Any]) -> dict[str, Any]:
    message = choice.get("message")
    return message if isinstance(message, dict) else {}


def _in_deltas(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Return a choice of a whole answer as the sum of its deltas: calls of tools have an index."""
    message = {name: value for name, value in _message(choice).items() if name != "role" and value is not None}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [
            {"index": number, **call} if isinstance(call, dict) else call for number, call in enumerate(calls)
        ]
    logprobs = choice.get("logprobs")
    return {"delta": message, "logprobs": logprobs} if isinstance(logprobs, dict) else {"delta": message}


def _parts(delta: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the deltas of separate chunks: the text with all that has no index, then each call of a tool."""
    calls = delta.get("tool_calls")
    if not isinstance(calls, list) or any(index_of(each) is None for each in calls):
        calls = []
    plain = {name: value for name, value in delta.items() if not (calls and name == "tool_calls")}
    if plain:
        yield plain
    for call in calls:
        yield {"tool_calls": [call]}


def _without_empty(delta: Mapping[str, Any]) -> dict[str, Any]:
    """Return a delta without the empty texts that an opening has told."""
    return {name: value for name, value in delta.items() if value != "" or name not in _OPENED}
