"""What a lane takes again is the producer's record and says its run; headers of outcomes say who was answered."""

import json
from datetime import UTC, datetime

import pytest

from headrace.schemas.codec import encode_outcome
from headrace.schemas.dead_letter import DeadLetter, Origin
from headrace.schemas.outcome import Completed, Failed
from headrace.schemas.record import Record
from headrace.schemas.replay_codec import AnsweredRun, answer_in, encode_renamed, encode_replay, new_id_of
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import DecodedRequest, decode_request, encode_request

AT = datetime(2026, 12, 1, 9, tzinfo=UTC)
LATER = datetime(2026, 12, 2, 9, tzinfo=UTC)
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Grüße"}], "n": 1.0}


def letter(record: Record, *, run: int = 0) -> DeadLetter:
    origin = Origin("generation.requests.bulk", 3, 12)
    return DeadLetter(record.key, record.value, record.headers, "exhausted", origin, 8, run, AT)


def decoded(record: Record) -> DecodedRequest:
    found = decode_request(record.value, record.headers)
    assert isinstance(found, DecodedRequest), found
    return found


def submitted(request_id: str = "lead-1") -> Record:
    request = GenerationRequest(id=request_id, body=BODY, tenant="acme", metadata={"lead": 1})
    return encode_request(request, source="test", time=AT, ordering_key="k", traceparent=f"00-{'a' * 32}-{'b' * 16}-01")


def test_a_replay_is_the_record_as_it_was_with_run_and_deadline_behind_it() -> None:
    original = submitted()
    back = encode_replay(letter(original), "lead-1", run=1, deadline=LATER)
    assert (back.key, back.value) == (original.key, original.value)
    assert back.headers == (
        *((name, b"lead-1#1" if name == "ce_id" else value) for name, value in original.headers),
        ("headrace-run", b"1"),
        ("headrace-deadline", b"2026-12-02T09:00:00.000Z"),
    )
    read = decoded(back)
    assert (read.request, read.run, read.deadline_override) == (decoded(original).request, 1, LATER)
    assert (read.ordering_key, read.attempt, read.failures) == ("k", 0, 0)


def test_what_an_earlier_retry_and_replay_added_is_gone_and_what_others_added_stays() -> None:
    old = (
        ("x-note", b"\xff"),
        ("headrace-run", b"1"),
        ("headrace-attempt", b"3"),
        ("headrace-failures", b"2"),
        ("headrace-failure", b"generation.failures/0/7"),
        ("headrace-deadline", b"2026-12-01T09:00:00.000Z"),
    )
    bare = Record(b"k", json.dumps({"id": "a", "body": BODY}).encode(), old)
    back = encode_replay(letter(bare, run=1), "a", run=2, deadline=LATER)
    assert back.headers == (
        ("x-note", b"\xff"),
        ("headrace-run", b"2"),
        ("headrace-deadline", b"2026-12-02T09:00:00.000Z"),
    )


def test_an_id_that_stands_only_in_the_event_and_looks_like_a_run_keeps_its_end() -> None:
    event = Record(None, json.dumps({"body": BODY}).encode(), (("ce_id", b"lead#1"),))
    assert decoded(event).request.id == "lead#1"
    once = encode_replay(letter(event), "lead#1", run=1, deadline=LATER)
    assert (decoded(once).request.id, decoded(once).run) == ("lead#1", 1)
    twice = encode_replay(letter(once, run=1), "lead#1", run=2, deadline=LATER)
    assert (decoded(twice).request.id, decoded(twice).run) == ("lead#1", 2)


def test_a_new_id_stands_in_the_value_and_in_both_headers() -> None:
    original = submitted()
    back = encode_renamed(letter(original), decoded(original), "lead-1~x", deadline=LATER)
    before, after = json.loads(original.value or b""), json.loads(back.value or b"")
    assert after == before | {"id": "lead-1~x"}
    assert back.key == original.key
    headers = dict(back.headers)
    assert (headers["ce_id"], headers["ce_subject"]) == (b"lead-1~x", b"lead-1~x")
    assert "headrace-run" not in headers
    assert (decoded(back).request.id, decoded(back).run, decoded(back).deadline_override) == ("lead-1~x", 0, LATER)


def test_a_structured_event_under_a_new_id_becomes_a_binary_one() -> None:
    event = {"specversion": "1.0", "id": "e", "partitionkey": "k", "data": {"id": "lead-1", "body": BODY}}
    structured = Record(None, json.dumps(event).encode(), (("content-type", b"application/cloudevents+json"),))
    back = encode_renamed(letter(structured), decoded(structured), "lead-1~x", deadline=LATER)
    assert json.loads(back.value or b"") == {"id": "lead-1~x", "body": BODY}
    assert (decoded(back).request.id, decoded(back).ordering_key) == ("lead-1~x", "k")


def test_a_new_id_is_always_the_same_and_differs_by_place_and_by_id() -> None:
    place, other = Origin("generation.dead-letters", 0, 7), Origin("generation.dead-letters", 0, 8)
    assert new_id_of("lead-1", place) == new_id_of("lead-1", place) == "lead-1~3d642e9dc4d6c6b1"
    assert len({new_id_of("lead-1", place), new_id_of("lead-1", other), new_id_of("lead-2", place)}) == 3
    longest = new_id_of("x" * 128, place)
    assert len(longest) == 128
    assert longest != new_id_of("x" * 127 + "y", place)


@pytest.mark.parametrize("request_id", ["lead-1", "lead#1", "#", "1"])
@pytest.mark.parametrize("run", [0, 1, 12])
def test_the_headers_of_an_outcome_tell_who_was_answered(request_id: str, run: int) -> None:
    done = encode_outcome(Completed(id=request_id, run=run, response={}), time=AT)
    failed = encode_outcome(Failed(id=request_id, run=run, reason="rejected", message="No."), time=AT)
    assert answer_in(done) == AnsweredRun(request_id, run, is_completed=True)
    assert answer_in(failed) == AnsweredRun(request_id, run, is_completed=False)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("ce_type", b"headrace.generation.chunk.v1"), ("ce_subject", b"a"), ("ce_id", b"a")),
        (("ce_type", b"headrace.generation.completed.v1"), ("ce_id", b"a")),
        (("ce_type", b"headrace.generation.completed.v1"), ("ce_subject", b"a"), ("ce_id", b"a#x")),
        (("ce_type", b"\xff"), ("ce_subject", b"\xff"), ("ce_id", b"\xff")),
    ],
)
def test_what_is_no_outcome_tells_nothing(headers: tuple[tuple[str, bytes], ...]) -> None:
    assert answer_in(Record(b"a", b"{}", headers)) is None
