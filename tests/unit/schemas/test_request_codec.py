"""What strangers put on a lane, and what becomes of it."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.schemas.codec import encode_dead_letter, encode_retry
from headrace.schemas.dead_letter import Origin
from headrace.schemas.failure import RetryableFailure, header_fields
from headrace.schemas.record import Record
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import (
    HEADERS_BYTES_MAX,
    HEADERS_MAX,
    ORDERING_KEY_BYTES_MAX,
    TRACEPARENT_MAX,
    DecodedRequest,
    InputLimits,
    Undecodable,
    binary_headers,
    decode_request,
    encode_request,
)

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "SECRET"}]}
NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)


def value(**fields: Any) -> bytes:
    return json.dumps({"id": "lead-1", "body": BODY} | fields).encode()


def decoded(raw: bytes | None, *headers: tuple[str, bytes]) -> DecodedRequest:
    read = decode_request(raw, headers)
    assert isinstance(read, DecodedRequest), read
    return read


def refused(raw: bytes | None, *headers: tuple[str, bytes], limits: InputLimits | None = None) -> Undecodable:
    read = decode_request(raw, headers, limits or InputLimits())
    assert isinstance(read, Undecodable), read
    assert "SECRET" not in read.message
    assert read.message.endswith(".")
    return read


def test_bare_json_is_a_request_with_defaults() -> None:
    read = decoded(value())
    assert (read.request.id, read.request.endpoint, read.request.tenant) == ("lead-1", "chat.completions", None)
    assert (read.request.stream, read.request.deadline, read.request.metadata) == (False, None, {})
    assert (read.run, read.attempt, read.failure_position, read.deadline_override) == (0, 0, None, None)
    assert read.request.model == "gpt-4o-mini"


def test_null_means_the_default() -> None:
    read = decoded(value(endpoint=None, stream=None, metadata=None, tenant=None, reply_to=None, deadline=None))
    assert read.request == decoded(value()).request


def test_unknown_fields_are_kept() -> None:
    request = decoded(value(colour="red")).request
    record = encode_request(request, source="test", time=NOW)
    assert json.loads(record.value or b"")["colour"] == "red"


def test_cloudevents_binary_mode_is_read_and_written() -> None:
    request = GenerationRequest(id="lead-1", body=BODY, tenant="acme", deadline=NOW)
    trace = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    record = encode_request(request, source="crm", time=NOW, ordering_key="thread", traceparent=trace)
    assert record.key == b"thread"
    assert dict(record.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"lead-1",
        "ce_source": b"crm",
        "ce_type": b"headrace.generation.requested.v1",
        "ce_time": b"2026-01-02T03:04:05.678Z",
        "ce_subject": b"lead-1",
        "content-type": b"application/json",
        "ce_partitionkey": b"thread",
        "traceparent": trace.encode(),
    }
    read = decoded(record.value, *record.headers)
    assert (read.request, read.ordering_key, read.traceparent) == (request, "thread", trace)


DATA = {"body": BODY, "tenant": "acme"}


@pytest.mark.parametrize(
    "packed", [{"data": DATA}, {"data_base64": base64.b64encode(json.dumps(DATA).encode()).decode()}]
)
def test_cloudevents_structured_mode_is_read(packed: dict[str, Any]) -> None:
    event = {"specversion": "1.0", "id": "lead-9", "source": "crm", "type": "headrace.generation.requested.v1"}
    raw = json.dumps({**event, "partitionkey": "thread", **packed}).encode()
    read = decoded(raw, ("content-type", b"application/cloudevents+json; charset=UTF-8"))
    assert (read.request.id, read.request.tenant, read.ordering_key) == ("lead-9", "acme", "thread")


def test_the_id_of_the_body_wins_and_the_headers_stand_in_for_it() -> None:
    named = (("ce_id", b"event-1"), ("ce_subject", b"lead-2"))
    assert decoded(value(), *named).request.id == "lead-1"
    without = json.dumps({"body": BODY}).encode()
    assert decoded(without, *named).request.id == "lead-2"
    assert decoded(without, ("ce_id", b"lead-3")).request.id == "lead-3"
    assert decoded(without, ("ce_id", b"lead-3#2"), ("headrace-run", b"2")).request.id == "lead-3"
    assert refused(without).request_id is None


def test_headers_of_the_retrier_and_of_a_replay_are_read_and_the_last_one_counts() -> None:
    read = decoded(
        value(),
        ("headrace-run", b"1"),
        ("headrace-run", b"2"),
        ("headrace-attempt", b"300"),
        ("headrace-failure", b"generation.failures/3/99"),
        ("headrace-deadline", b"2026-01-02T03:04:05.678Z"),
        ("x-foreign", b"\xff"),
    )
    assert (read.run, read.attempt, read.failure_position) == (2, 300, "generation.failures/3/99")
    assert read.deadline_override == NOW


@pytest.mark.parametrize(
    ("name", "text"),
    [("headrace-run", b"-1"), ("headrace-run", b"65536"), ("headrace-run", "²".encode()), ("headrace-run", b""),
     ("headrace-attempt", b"one"), ("headrace-deadline", b"tomorrow"), ("headrace-deadline", b"2026-01-02T03:04:05"),
     ("headrace-deadline", b"\xff")],
)  # fmt: skip
def test_a_malformed_header_of_ours_is_named_and_the_id_still_told(name: str, text: bytes) -> None:
    read = refused(value(), (name, text))
    assert name in read.message
    assert read.run == 0


def test_a_malformed_trace_is_dropped() -> None:
    assert decoded(value(), ("traceparent", b"nonsense")).traceparent is None


@pytest.mark.parametrize("key", ["extra_headers", "extra_query", "extra_body", "timeout"])
def test_a_producer_sets_no_header_query_or_timeout(key: str) -> None:
    read = refused(value(body={**BODY, key: {}}))
    assert key in read.message
    assert (read.request_id, read.model) == ("lead-1", "gpt-4o-mini")


def test_streaming_is_asked_for_by_the_top_level() -> None:
    assert "top-level stream" in refused(value(body={**BODY, "stream": True})).message
    assert decoded(value(body={**BODY, "stream": True}, stream=True)).request.stream
    assert decoded(value(body={**BODY, "stream": False})).request.stream is False
    assert "embeddings" in refused(value(endpoint="embeddings", stream=True)).message


@pytest.mark.parametrize(
    "fields",
    [{"id": 7}, {"id": ""}, {"id": "a" * 129}, {"id": "ü"}, {"body": "SECRET"}, {"body": None}, {"endpoint": "images"},
     {"tenant": 5}, {"tenant": ""}, {"tenant": "x" * 257}, {"deadline": 1_800_000_000}, {"deadline": "2026-01-01"},
     {"deadline": "0001-01-01T00:00:00+14:00"}, {"deadline": "9999-12-31T23:59:59-14:00"}, {"stream": "yes"},
     {"reply_to": "no topic!"}, {"metadata": []}],
)  # fmt: skip
def test_a_field_that_is_not_valid_is_named(fields: dict[str, Any]) -> None:
    assert next(iter(fields)) in refused(value(**fields)).message


def test_a_body_that_is_missing_is_named() -> None:
    assert "body" in refused(b'{"id": "lead-1"}').message


@pytest.mark.parametrize(
    "raw",
    [None, b"", b"SECRET", b"\xff\xfe", b"[]", b"null", b'"SECRET"', b'{"id": NaN}', b'{"x": 1e999}', b"\x00",
     b"[" * 100_000, b'{"x": ' + b"9" * 5_000 + b"}", b'{"id": "lead-1", "body": {"x": "\\ud800"}}',
     json.dumps({"id": "x"}).encode("utf-16")],
)  # fmt: skip
def test_bytes_that_are_no_request_are_refused(raw: bytes | None) -> None:
    refused(raw)


def test_a_value_that_cannot_be_read_is_told_by_its_subject() -> None:
    headers = (("ce_subject", b"lead-7"), ("headrace-run", b"3"))
    read = refused(b"SECRET", *headers)
    assert (read.request_id, read.run) == ("lead-7", 3)
    assert refused(b'{"id": "\\u00fc"}', *headers).request_id is None


def test_size_and_nesting_are_bounded_at_exactly_the_limit() -> None:
    raw = value(body={"a": [[[1]]]})
    assert isinstance(decode_request(raw, (), InputLimits(len(raw), 5)), DecodedRequest)
    assert "deeper than 4" in refused(raw, limits=InputLimits(len(raw), 4)).message
    assert f"has {len(raw)} bytes" in refused(raw, limits=InputLimits(len(raw) - 1, 5)).message


def test_brackets_in_a_text_are_no_nesting() -> None:
    assert decoded(value(body={"a": "[{" * 500})).request.body == {"a": "[{" * 500}


def test_a_later_version_of_ours_is_refused_and_a_foreign_type_is_not() -> None:
    assert "v1" in refused(value(), ("ce_type", b"headrace.generation.requested.v2")).message
    assert decoded(value(), ("ce_type", b"com.acme.lead")).request.id == "lead-1"


TRACE = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"


@pytest.mark.parametrize("more", ["", "-what-a-later-version-adds", "-" + "x" * 72])
def test_a_trace_of_at_most_128_characters_is_carried(more: str) -> None:
    assert decoded(value(), ("traceparent", (TRACE + more).encode())).traceparent == TRACE + more


@pytest.mark.parametrize("more", ["-" + "x" * 73, "-" + "x" * 900_000, "-ü", "-a b", "\n"])
def test_a_longer_trace_is_dropped_and_the_request_is_answered_without_it(more: str) -> None:
    read = decoded(value(), ("traceparent", (TRACE + more).encode()[:100_000]))
    assert read.traceparent is None


def null_headers(*names: str) -> Any:
    """As Kafka and some clients allow them, and our types do not."""
    return tuple((name, None) for name in names)


def test_headers_without_a_value_are_passed_over() -> None:
    odd = null_headers("", "x-null", "ce_subject", "ce_partitionkey", "traceparent", "content-type", "ce_type")
    read = decode_request(value(), odd)
    assert isinstance(read, DecodedRequest)
    assert (read.request.id, read.ordering_key, read.traceparent) == ("lead-1", None, None)
    record = Record(None, value(), odd)
    assert record.bytes_max > len(value())
    assert [header.value for header in header_fields(odd)] == [b""] * len(odd)


@pytest.mark.parametrize(
    "headers",
    [(("x", b""),) * HEADERS_MAX, (("x", b"y" * (HEADERS_BYTES_MAX - 1)),), (("n" * 50_000, b"v" * 50_000),),
     (("", b""),) * 500, (("ü" * 1_000, b"\xff"),)],
)  # fmt: skip
def test_odd_headers_within_the_bounds_are_answered(headers: tuple[tuple[str, bytes], ...]) -> None:
    assert decoded(value(), *headers).request.id == "lead-1"


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [((("x", b""),) * (HEADERS_MAX + 1), "1025 headers"), ((("x", b"y" * HEADERS_BYTES_MAX),), "131073 bytes"),
     ((("x" * HEADERS_BYTES_MAX, b"y"),), "131073 bytes")],
)  # fmt: skip
def test_what_could_not_be_carried_on_is_refused_with_its_id(
    headers: tuple[tuple[str, bytes], ...], complaint: str
) -> None:
    read = refused(value(), *headers)
    assert complaint in read.message
    assert read.request_id == "lead-1"


def test_the_key_counts_with_the_headers() -> None:
    fits = decode_request(value(), (), key=b"k" * HEADERS_BYTES_MAX)
    assert isinstance(fits, DecodedRequest)
    assert isinstance(decode_request(value(), (("x", b""),), key=b"k" * HEADERS_BYTES_MAX), Undecodable)


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_what_was_within_the_bounds_still_is_when_it_returns(mode: str) -> None:
    """A retry carries our own headers beside its own, and structured mode's attributes have become headers."""
    headers: tuple[tuple[str, bytes], ...] = (("x", b"y" * 126),) * HEADERS_MAX
    raw = value()
    if mode == "structured":
        headers = (("content-type", b"application/cloudevents+json"), *headers[:-20])
        event = {"id": "e", "data": json.loads(raw), "partitionkey": "k" * ORDERING_KEY_BYTES_MAX, "traceparent": TRACE}
        raw = json.dumps(event).encode()
    read = decoded(raw, *headers)
    failure = RetryableFailure(
        id="lead-1", kind="quota", attempt=1, not_before=NOW, lane="bulk", submitted_at=NOW,
        headers=header_fields(binary_headers(read, headers)), request=read.request.model_dump(exclude_unset=True),
    )  # fmt: skip
    again = encode_retry(failure, Origin("generation.failures", 0, 1))
    back = decoded(again.value, *again.headers)
    assert (back.request.id, back.ordering_key, back.attempt) == ("lead-1", read.ordering_key, 2)


def test_an_ordering_key_that_could_not_become_a_header_is_refused() -> None:
    event = {"id": "lead-1", "data": {"body": BODY}, "partitionkey": "k" * (ORDERING_KEY_BYTES_MAX + 1)}
    read = refused(json.dumps(event).encode(), ("content-type", b"application/cloudevents+json"))
    assert "ordering key" in read.message


def test_a_dead_letter_holds_every_header_that_is_let_in() -> None:
    headers = (("x" * 60, b"y" * (HEADERS_BYTES_MAX // HEADERS_MAX - 61)),) * HEADERS_MAX
    decoded(value(), *headers)
    letter = encode_dead_letter(
        b"k", b"x" * 900_000, headers, reason="rejected", origin=("t", 0, 0), attempts=1, run=0, failed_at=NOW,
        max_bytes=512 * 1024,
    )  # fmt: skip
    assert letter.headers[: len(headers)] == headers
    assert len(letter.value or b"") == 64 * 1024


def test_the_bounds_of_headers_agree_with_each_other() -> None:
    assert TRACEPARENT_MAX + ORDERING_KEY_BYTES_MAX < HEADERS_BYTES_MAX
    assert len(TRACE) < TRACEPARENT_MAX


def test_a_request_whose_run_cannot_be_read_is_still_told_by_the_id_of_its_body() -> None:
    assert refused(value(), ("headrace-run", b"banana")).request_id == "lead-1"


def test_a_bomb_is_refused_and_told_by_its_subject() -> None:
    read = refused(b'{"id": "lead-1", "body": [' + b"[]," * 200_000 + b"[]]}", ("ce_subject", b"lead-1"))
    assert "values" in read.message
    assert read.request_id == "lead-1"


@pytest.mark.parametrize(
    ("state", "carried"),
    [
        ("a=1,b=2", "a=1,b=2"),
        ("x" * 512, "x" * 512),
        ("x" * 513, None),
        ("a=\N{LATIN SMALL LETTER U WITH DIAERESIS}", None),
        ("", None),
    ],
)
def test_the_state_of_a_trace_is_carried_within_its_bound_and_only_with_a_trace(
    state: str, carried: str | None
) -> None:
    traced = decoded(value(), ("traceparent", TRACE.encode()), ("tracestate", state.encode()))
    assert (traced.traceparent, traced.tracestate) == (TRACE, carried)
    assert decoded(value(), ("tracestate", state.encode())).tracestate is None
