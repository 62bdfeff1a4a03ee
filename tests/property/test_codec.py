"""No bytes make the decoder raise, and what is written is read back as it was."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.schemas.codec import decode_dead_letter, decode_outcome, encode_dead_letter, encode_outcome
from headrace.schemas.ids import is_valid_id
from headrace.schemas.ledger import (
    LedgerEntry,
    LedgerKind,
    LedgerRecord,
    LedgerState,
    StartedEntry,
    decode_ledger,
    encode_ledger,
)
from headrace.schemas.outcome import Completed
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import DecodedRequest, InputLimits, Undecodable, decode_request, encode_request

pytestmark = pytest.mark.timeout(30)  # Hypothesis on two busy cores
RUNS = settings(max_examples=100, deadline=None)
FEWER = settings(max_examples=40, deadline=None)

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
leaves = scalars | st.lists(scalars, max_size=3) | st.dictionaries(texts, scalars, max_size=3)
values = leaves | st.lists(leaves, max_size=3) | st.dictionaries(texts, leaves, max_size=3)
objects = st.dictionaries(texts, values, max_size=4)
ids = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=128)
instants = st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001  # Hypothesis wants naive bounds
    lambda instant: instant.replace(microsecond=instant.microsecond // 1_000 * 1_000)
)
names = st.sampled_from(
    ["ce_id", "ce_subject", "ce_type", "ce_partitionkey", "content-type", "traceparent", "headrace-run",
     "headrace-attempt", "headrace-failure", "headrace-deadline", "other"]
)  # fmt: skip
headers = st.lists(st.tuples(names, st.binary(max_size=20) | st.sampled_from([b"1", b"application/cloudevents+json"])))
surrogates = st.text(st.characters(), max_size=8)
odd = scalars | surrogates | st.floats() | st.integers(min_value=10**300)
hostile = odd | st.lists(odd, max_size=3) | st.dictionaries(surrogates, odd, max_size=3)
FIELDS = ("id", "body", "endpoint", "tenant", "deadline", "stream", "reply_to", "template", "metadata", "data")
ODD_FIELDS = ("data_base64", "model_config", "model_extra", "__class__", "__pydantic_extra__")
fields = st.dictionaries(st.sampled_from(FIELDS + ODD_FIELDS), hostile, max_size=6)


def check(raw: bytes | None, given_headers: list[tuple[str, bytes]]) -> None:
    read = decode_request(raw, given_headers)
    if isinstance(read, Undecodable):
        assert read.message
        assert read.request_id is None or is_valid_id(read.request_id)
        read.message.encode()
        assert 0 <= read.run <= 65_535
    else:
        assert is_valid_id(read.request.id)
        again = encode_request(read.request, source="fuzz", time=datetime(2026, 1, 1, tzinfo=UTC))
        assert decode_request(again.value, again.headers, InputLimits(10_000_000)).__class__ is DecodedRequest


@pytest.mark.slow
@RUNS
@given(st.none() | st.binary(max_size=200), headers)
@example(b"[" * 200_000, [])
@example(b'{"a":' * 100_000, [])
@example(b'{"body":' + b"[" * 50_000 + b"]" * 50_000 + b"}", [])
@example(b"9" * 100_000, [])
@example(b'{"id":"a","id":"b","body":{}}', [])
def test_no_bytes_make_the_decoder_raise(raw: bytes | None, given_headers: list[tuple[str, bytes]]) -> None:
    check(raw, given_headers)


@pytest.mark.slow
@RUNS
@given(fields, headers)
def test_no_json_makes_the_decoder_raise(found: dict[str, Any], given_headers: list[tuple[str, bytes]]) -> None:
    check(json.dumps(found).encode(), given_headers)


@pytest.mark.slow
@RUNS
@given(fields, st.sampled_from(["id", "body", "endpoint", "tenant", "deadline", "metadata"]))
def test_no_sentence_repeats_what_was_given(found: dict[str, Any], name: str) -> None:
    canary = "c4n4ry"
    for planted in (canary, {canary: canary}, [canary], canary * 100):
        read = decode_request(json.dumps({**found, name: planted}).encode(), [])
        if isinstance(read, Undecodable):
            assert canary not in read.message


@pytest.mark.slow
@FEWER
@given(ids, objects, st.none() | texts.filter(lambda text: 0 < len(text) <= 256), instants, objects)
def test_a_request_comes_back_as_it_was(
    request_id: str, body: dict[str, Any], tenant: str | None, deadline: datetime, metadata: dict[str, Any]
) -> None:
    allowed = {name: value for name, value in body.items() if name != "stream"}
    request = GenerationRequest(id=request_id, body=allowed, tenant=tenant, deadline=deadline, metadata=metadata)
    record = encode_request(request, source="test", time=deadline)
    read = decode_request(record.value, record.headers)
    assert isinstance(read, DecodedRequest)
    assert read.request == request
    assert record.key == (None if tenant is None else tenant.encode())


@pytest.mark.slow
@FEWER
@given(ids, st.integers(0, 65_535), objects, objects)
def test_an_outcome_comes_back_as_it_was(
    request_id: str, run: int, response: dict[str, Any], metadata: dict[str, Any]
) -> None:
    outcome = Completed(id=request_id, run=run, response=response, metadata=metadata)
    record = encode_outcome(outcome, time=datetime(2026, 1, 1, tzinfo=UTC))
    assert decode_outcome(record.value, record.headers) == outcome


@FEWER
@given(
    st.none() | st.binary(max_size=300),
    st.none() | st.binary(max_size=300),
    st.lists(st.tuples(texts | st.just("headrace-reason"), st.binary(max_size=40)), max_size=4),
    st.integers(2_000, 4_000),
)
def test_a_dead_letter_comes_back_as_it_was_and_never_outgrows_its_topic(
    key: bytes | None, value: bytes | None, given_headers: list[tuple[str, bytes]], max_bytes: int
) -> None:
    failed_at = datetime(2026, 1, 1, tzinfo=UTC)
    record = encode_dead_letter(
        key, value, given_headers, reason="undecodable", origin=("a.b", 1, 2), attempts=0, run=0, failed_at=failed_at,
        max_bytes=max_bytes,
    )  # fmt: skip
    letter = decode_dead_letter(record.key, record.value, record.headers)
    assert record.bytes_max <= max_bytes
    assert (letter.key, letter.value, letter.headers) == (key, value, tuple(given_headers))


entries = st.builds(
    LedgerEntry,
    st.binary(min_size=16, max_size=16),
    st.integers(0, 65_535),
    st.integers(0, 255),
    st.sampled_from(LedgerState),
    st.binary(min_size=8, max_size=8),
)
starts = st.builds(StartedEntry, st.binary(min_size=16, max_size=16), st.integers(0, 65_535), st.integers(0, 255))


@pytest.mark.slow
@FEWER
@given(st.sampled_from(LedgerKind), st.integers(0, 2**40), st.lists(entries), st.lists(starts))
def test_a_ledger_record_comes_back_as_it_was(
    kind: LedgerKind, term: int, settled: list[LedgerEntry], started: list[StartedEntry]
) -> None:
    record = LedgerRecord(kind, term, "owner", settled=tuple(settled), started=tuple(started))
    assert decode_ledger(encode_ledger(record)) == record
