"""A response as Server-Sent Events, spelled as recorded: named and numbered events, and no `[DONE]`.

`response.created` and `response.in_progress` come with the headers, the item and its text with the first token. A
response cut short by `max_output_tokens` ends in `response.incomplete`. An error comes in one of the two recorded
forms: an `error` event with the error nested in it, then `response.failed`; or `response.failed` alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from headrace.broker.simulator import wording
from headrace.broker.simulator.streams import AnswerStream, Manner, TimedText, spelled

_Event = Mapping[str, Any]

_EMPTY_PARTS: Final[Mapping[str, _Event]] = {
    "output_text": {"type": "output_text", "annotations": [], "logprobs": [], "text": ""},
    "refusal": {"type": "refusal", "refusal": ""},
}


def response_pieces(stream: AnswerStream) -> Iterator[TimedText]:
    """Yield all pieces, in order."""
    for number, (share, event) in enumerate(_events(stream)):
        yield TimedText(share, f"event: {event['type']}\ndata: {spelled({**event, 'sequence_number': number})}\n\n")


def _events(stream: AnswerStream) -> Iterator[tuple[float, _Event]]:
    begun = {**stream.body, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    yield 0.0, {"type": "response.created", "response": begun}
    yield 0.0, {"type": "response.in_progress", "response": begun}
    item = stream.body["output"][0]
    where = {"content_index": 0, "item_id": item["id"], "output_index": 0}
    shares, kind = stream.shares(), item["content"][0]["type"]
    beside: _Event = {"logprobs": []} if kind == "output_text" else {}
    if stream.told or stream.broken is None:
        opened = {**item, "status": "in_progress", "content": []}
        yield shares[0], {"type": "response.output_item.added", "item": opened, "output_index": 0}
        yield shares[0], {"type": "response.content_part.added", **where, "part": _EMPTY_PARTS[kind]}
    for place in range(stream.told):
        text = stream.deltas[place].text
        told = {"delta": text, **beside, **stream.padding(place, text)}
        yield shares[place], {"type": f"response.{kind}.delta", **where, **told}
    events = _ending(stream, where) if stream.broken is None else _failing(stream.broken.manner, begun)
    for event in events:
        yield stream.end_share, event


def _ending(stream: AnswerStream, where: _Event) -> Iterator[_Event]:
    item = stream.body["output"][0]
    part = item["content"][0]
    if part["type"] == "refusal":
        yield {"type": "response.refusal.done", **where, "refusal": part["refusal"]}
    else:
        yield {"type": "response.output_text.done", **where, "logprobs": [], "text": part["text"]}
    yield {"type": "response.content_part.done", **where, "part": part}
    yield {"type": "response.output_item.done", "item": item, "output_index": 0}
    yield {"type": f"response.{stream.body['status']}", "response": stream.body}


def _failing(manner: Manner, begun: _Event) -> Iterator[_Event]:
    if manner is Manner.CUT:
        return
    error = (wording.overloaded_body() if manner is Manner.ERROR else wording.server_error_body())["error"]
    if manner is Manner.ERROR:
        yield {"type": "error", "error": error}
    told = {"code": error["code"] or error["type"], "message": error["message"]}
    yield {"type": "response.failed", "response": {**begun, "status": "failed", "error": told}}
