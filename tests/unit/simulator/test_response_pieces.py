import json
from dataclasses import replace
from typing import Any

import pytest

from headrace.broker.simulator.pricing import Endpoint
from headrace.broker.simulator.response_pieces import response_pieces
from headrace.broker.simulator.streams import AnswerStream, Break, Manner
from tests.unit.simulator.asking import ASKED, Desk, stream_of_reply

DELTA = "response.output_text.delta"


def stream(**more: Any) -> AnswerStream:
    return stream_of_reply(Desk().ask(ASKED | {"stream": True} | more, endpoint=Endpoint.RESPONSES))


def events(told: AnswerStream) -> list[dict[str, Any]]:
    """What a reader of named events gets; the name is the type and numbers count from 0."""
    *blocks, nothing = "".join(piece.text for piece in response_pieces(told)).split("\n\n")
    assert nothing == ""
    found = []
    for number, block in enumerate(blocks):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        found.append(event)
    return found


def types(told: AnswerStream) -> list[str]:
    return [event["type"] for event in events(told)]


def test_events_come_in_the_recorded_order() -> None:
    told = stream()
    assert types(told) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *[DELTA] * len(told.deltas),
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_events_carry_the_recorded_fields() -> None:
    fields = {event["type"]: set(event) - {"type", "sequence_number"} for event in events(stream())}
    where = {"content_index", "item_id", "output_index"}
    assert fields == {
        "response.created": {"response"},
        "response.in_progress": {"response"},
        "response.output_item.added": {"item", "output_index"},
        "response.content_part.added": where | {"part"},
        DELTA: where | {"delta", "logprobs", "obfuscation"},
        "response.output_text.done": where | {"logprobs", "text"},
        "response.content_part.done": where | {"part"},
        "response.output_item.done": {"item", "output_index"},
        "response.completed": {"response"},
    }


def test_the_answer_grows_from_nothing_to_the_whole() -> None:
    told = stream()
    first, second, item, part, *middle, text, whole_part, whole_item, last = events(told)
    for begun in (first["response"], second["response"]):
        assert (begun["status"], begun["output"], begun["usage"]) == ("in_progress", [], None)
    assert (item["item"]["status"], item["item"]["content"], part["part"]["text"]) == ("in_progress", [], "")
    assert "".join(event["delta"] for event in middle) == text["text"] == whole_part["part"]["text"]
    assert last["response"] == told.body
    assert whole_item["item"] == told.body["output"][0]
    assert {event["item_id"] for event in (part, *middle, text)} == {told.body["output"][0]["id"]}


def test_what_the_cap_cut_short_ends_as_incomplete() -> None:
    last = events(stream(max_output_tokens=16))[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["status"] == "incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_the_response_is_created_at_once_and_its_text_takes_its_time() -> None:
    told = stream()
    shares = [piece.share for piece in response_pieces(told)]
    assert shares == sorted(shares)
    assert shares[:2] == [0.0, 0.0]
    assert shares[2] == told.first_share
    assert shares[-1] == 1.0


@pytest.mark.parametrize(("after", "count"), [(0, 2), (1, 5), (3, 7)])
def test_a_cut_stream_says_nothing_more(after: int, count: int) -> None:
    assert len(events(replace(stream(), broken=Break(Manner.CUT, after)))) == count


def test_an_error_event_nests_the_error_and_is_followed_by_the_failed_response() -> None:
    *_, error, failed = events(replace(stream(), broken=Break(Manner.ERROR, 0)))
    assert error["type"] == "error"
    assert error["sequence_number"] == 2
    assert error["error"]["code"] == "server_is_overloaded"
    assert failed["type"] == "response.failed"
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"]["code"] == "server_is_overloaded"


def test_a_failed_response_may_come_without_an_error_event() -> None:
    told = replace(stream(), broken=Break(Manner.FAILED, 2))
    assert types(told)[-3:] == [DELTA, DELTA, "response.failed"]
    failed = events(told)[-1]["response"]
    assert (failed["error"]["code"], failed["output"], failed["usage"]) == ("server_error", [], None)


def test_what_the_model_declines_is_a_part_of_its_own() -> None:
    desk = Desk(declined_rate=1.0)
    told = stream_of_reply(desk.ask(ASKED | {"stream": True}, endpoint=Endpoint.RESPONSES))
    *_, added = [event["part"] for event in events(told) if event["type"] == "response.content_part.added"]
    (part,) = told.body["output"][0]["content"]
    assert (added["type"], part["type"], told.body["status"]) == ("refusal", "refusal", "completed")
    deltas = [event["delta"] for event in events(told) if event["type"] == "response.refusal.delta"]
    (done,) = [event["refusal"] for event in events(told) if event["type"] == "response.refusal.done"]
    assert "".join(deltas) == done == part["refusal"]
