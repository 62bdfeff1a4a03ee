import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.gateway.joins.call_records import CallRecord, content_digest, decoded, encoded
from headrace.schemas.record import Record

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Grüße"}]}


@pytest.mark.parametrize("event", ["opened", "received"])
def test_a_record_is_read_as_it_was_written(event: str) -> None:
    record = CallRecord(content_digest("ingest", "chat.completions", BODY), "acme/call-1", event)  # type: ignore[arg-type]
    assert decoded(encoded(record)) == record


def test_equal_calls_have_one_digest_and_others_have_another() -> None:
    digest = content_digest("ingest", "chat.completions", BODY)
    assert digest == content_digest("ingest", "chat.completions", dict(reversed(BODY.items())))
    assert digest != content_digest("other", "chat.completions", BODY)
    assert digest != content_digest("ingest", "responses", BODY)
    assert digest != content_digest("ingest", "chat.completions", {**BODY, "stream": True})
    assert len(digest) == 32


def test_all_records_of_one_content_have_one_key() -> None:
    digest = content_digest("ingest", "embeddings", BODY)
    records = [encoded(CallRecord(digest, "acme/call-1", event)) for event in ("opened", "received")]
    assert {record.key for record in records} == {digest.encode()}


@given(st.one_of(st.none(), st.binary(max_size=60)), st.one_of(st.none(), st.binary(max_size=200)))
def test_anything_else_in_the_topic_is_passed_over(key: bytes | None, value: bytes | None) -> None:
    assert decoded(Record(key, value)) is None


@pytest.mark.parametrize(
    "value",
    [
        {"id": "acme/call-1", "event": "closed"},
        {"id": 7, "event": "opened"},
        {"event": "opened"},
        {"id": "x" * 2_000, "event": "opened"},
        ["opened"],
    ],
)
def test_a_record_of_another_form_is_passed_over(value: object) -> None:
    assert decoded(Record(b"digest", json.dumps(value).encode())) is None
