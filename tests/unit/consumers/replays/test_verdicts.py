"""What becomes of each dead letter that is meant, whatever strangers wrote."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.consumers.dead_letters import Found
from headrace.consumers.replays.job import ReplayRequest
from headrace.consumers.replays.verdicts import Judge, Lane, Replayable, Skip
from headrace.schemas.dead_letter import DeadLetter, Origin
from headrace.schemas.replay_codec import new_id_of
from headrace.schemas.request_codec import DecodedRequest, decode_request

AT = datetime(2026, 12, 1, 9, tzinfo=UTC)
LANES = {
    "urgent": Lane(timedelta(hours=1), 10_000),
    "bulk": Lane(timedelta(days=5), 10_000),
}


def request(**fields: Any) -> bytes:
    body = {"model": "gpt-4o-mini", "messages": []}
    return json.dumps({"id": "lead-1", "tenant": "acme", "body": body} | fields).encode()


def found(value: bytes | None = None, **fields: Any) -> Found:
    told: dict[str, Any] = {
        "key": b"acme",
        "value": request() if value is None else value,
        "headers": (),
        "reason": "exhausted",
        "origin": Origin("generation.requests.bulk", 3, 12),
        "attempts": 2,
        "run": 0,
        "failed_at": AT,
    }
    return Found(Origin("generation.dead-letters", 0, 7), AT, DeadLetter(**(told | fields)))


def judged(letter: Found, **asked: Any) -> Replayable | Skip | None:
    question = ReplayRequest(**asked)
    return Judge(question, question.filters(question.begins(AT)), "generation", LANES).judge(letter)


def test_it_goes_back_to_its_lane_as_the_next_run() -> None:
    verdict = judged(found(run=2))
    assert isinstance(verdict, Replayable)
    assert (verdict.request_id, verdict.run, verdict.lane) == ("lead-1", 3, "bulk")


def test_or_to_the_lane_that_was_asked_for_wherever_it_came_from() -> None:
    for origin in ("generation.requests.bulk", "generation.requests.gone", "generation.control"):
        verdict = judged(found(origin=Origin(origin, 0, 0)), lane="urgent")
        assert isinstance(verdict, Replayable)
        assert verdict.lane == "urgent"


@pytest.mark.parametrize(
    "asked",
    [
        {"reasons": ("rejected",)},
        {"models": ("gpt-4.1",)},
        {"tenant": "zeta"},
        {"since": AT + timedelta(seconds=1)},
        {"until": AT},
    ],
)
def test_what_is_not_meant_is_none_of_our_business(asked: dict[str, Any]) -> None:
    assert judged(found(), **asked) is None
    assert judged(found(b"\xff", reason="undecodable"), **asked) is None


@pytest.mark.parametrize(
    ("letter", "skip"),
    [
        (found(original_length=2_000_000), Skip.CUT),
        (found(reason="undecodable", value=b"\xff\xfe"), Skip.UNREADABLE),
        (found(reason="invalid_request", value=b'{"id": "lead-1"}'), Skip.UNREADABLE),
        (found(reason="lost_by_retention", value=b""), Skip.UNREADABLE),
        (found(reason="cancelled"), Skip.CANCELLED),
        (found(reason="id_conflict"), Skip.ID_CONFLICT),
        (found(reason="crashed"), Skip.CRASHED),
        (found(origin=Origin("generation.requests.gone", 0, 0)), Skip.NO_LANE),
        (found(origin=Origin("generation.control", 0, 0)), Skip.NO_LANE),
        (found(run=65_535), Skip.RUNS_USED_UP),
        (found(request(metadata={"x": "y" * 9_900})), Skip.TOO_LARGE),
    ],
)
def test_what_cannot_be_put_back_says_why(letter: Found, skip: Skip) -> None:
    assert judged(letter) is skip


def test_a_dead_letter_without_a_value_is_unreadable() -> None:
    empty = found(reason="undecodable")
    hollow = Found(empty.place, AT, DeadLetter(None, None, (), "undecodable", empty.letter.origin, 0, 0, AT))
    assert judged(hollow) is Skip.UNREADABLE


def test_an_id_that_would_change_on_the_way_is_not_put_back() -> None:
    """A structured event's own id, and none in its data: with a run its end would be taken for one."""
    event = {"specversion": "1.0", "id": "lead#1", "data": {"body": {"model": "m"}}}
    letter = found(json.dumps(event).encode(), headers=(("content-type", b"application/cloudevents+json"),))
    assert isinstance(decode_request(letter.letter.value, letter.letter.headers), DecodedRequest)
    assert judged(letter) is Skip.UNREADABLE


def test_what_crashed_goes_back_only_for_who_names_it() -> None:
    assert judged(found(reason="crashed"), tenant="acme") is Skip.CRASHED
    assert isinstance(judged(found(reason="crashed"), reasons=("crashed",)), Replayable)


def test_a_conflict_goes_back_as_the_first_run_of_an_id_that_is_always_the_same() -> None:
    letter = found(reason="id_conflict", run=4)
    verdict = judged(letter, new_id=True)
    assert isinstance(verdict, Replayable)
    assert (verdict.request_id, verdict.run) == (new_id_of("lead-1", letter.place), 0)
    assert json.loads(verdict.record(AT).value or b"")["id"] == verdict.request_id


def test_whoever_owns_an_id_keeps_it() -> None:
    verdict = judged(found(), new_id=True)
    assert isinstance(verdict, Replayable)
    assert (verdict.request_id, verdict.run) == ("lead-1", 1)
