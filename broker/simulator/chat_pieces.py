"""A chat completion as Server-Sent Events, spelled as recorded: unnamed events, chunks, `[DONE]`.

Each choice opens with its role and closes with its `finish_reason`; several choices take turns. With `include_usage`
every chunk has `usage: null`, and one more at the end has no choices and the usage. An error in the middle is the usual
error body as an event, followed by `[DONE]`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headrace.broker.simulator import wording
from headrace.broker.simulator.streams import AnswerStream, Manner, TimedText, spelled

DONE: Final = "data: [DONE]\n\n"
_CARRIED: Final = ("created", "model", "service_tier", "system_fingerprint")


def chat_pieces(stream: AnswerStream) -> Iterator[TimedText]:
    """Yield all pieces, in order."""
    shares = stream.shares()
    opened: set[int] = set()
    for place in range(stream.told):
        delta, share = stream.deltas[place], shares[place]
        if delta.choice not in opened:
            opened.add(delta.choice)
            yield TimedText(share, _role(stream, delta.choice))
        yield TimedText(share, _chunk(stream, delta.choice, {_kind(stream, delta.choice): delta.text}, place))
    if stream.broken is None:
        yield TimedText(1.0, _ending(stream, opened))
    elif stream.broken.manner is not Manner.CUT:
        yield TimedText(stream.end_share, f"data: {spelled(wording.server_error_body())}\n\n{DONE}")


def _ending(stream: AnswerStream, opened: set[int]) -> str:
    text = ""
    for choice in stream.body["choices"]:
        number = choice["index"]
        if number not in opened:  # an answer without a word
            text += _role(stream, number)
        text += _chunk(stream, number, {}, number, choice["finish_reason"])
    if stream.with_usage:
        last = _head(stream) | {"choices": [], "usage": stream.body["usage"]} | stream.padding(0, "")
        text += f"data: {spelled(last)}\n\n"
    return text + DONE


def _role(stream: AnswerStream, choice: int) -> str:
    begun = {"content": "", "refusal": None} if _kind(stream, choice) == "content" else {"content": None, "refusal": ""}
    return _chunk(stream, choice, {"role": "assistant", **begun}, choice)


def _kind(stream: AnswerStream, choice: int) -> str:
    """Return the kind of a choice's text: its content, or its refusal."""
    told = next(each["message"] for each in stream.body["choices"] if each["index"] == choice)
    return "refusal" if told.get("refusal") else "content"


def _chunk(stream: AnswerStream, choice: int, delta: Mapping[str, Any], place: int, finish: str | None = None) -> str:
    chunk = _head(stream)
    chunk["choices"] = [{"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish}]
    if stream.with_usage:
        chunk["usage"] = None
    return f"data: {spelled(chunk | stream.padding(place, delta.get('content') or delta.get('refusal') or ''))}\n\n"


def _head(stream: AnswerStream) -> dict[str, Any]:
    body = stream.body
    return {"id": body["id"], "object": "chat.completion.chunk"} | {name: body[name] for name in _CARRIED}
