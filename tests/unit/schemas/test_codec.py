"""What the dispatcher writes, and how readers get it back."""

import hashlib
import json
from datetime import UTC, datetime

import pytest

from headrace.schemas.chunk import Chunk
from headrace.schemas.codec import (
    WireError,
    decode_cancel,
    decode_chunk,
    decode_dead_letter,
    decode_failure,
    decode_outcome,
    encode_cancel,
    encode_chunk,
    encode_dead_letter,
    encode_failure,
    encode_outcome,
    encode_retry,
)
from headrace.schemas.control import Cancel
from headrace.schemas.dead_letter import Origin
from headrace.schemas.failure import FailureKind, RetryableFailure, header_fields, key_fields
from headrace.schemas.outcome import Completed, Cost, Failed, FailureReason, Finish, Timings, Usage
from headrace.schemas.record import Record

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
COMPLETED = Completed(
    id="lead-1",
    run=2,
    lane="urgent",
    tenant="acme",
    endpoint="chat.completions",
    request_digest="5f0c",
    model="gpt-4o-mini-2024-07-18",
    template="welcome",
    tier_asked="flex",
    tier_served="default",
    cost=Cost(micro_usd=2.85, price_list="list 1"),
    upstream_request_id="req_1",
    response={"choices": [{"message": {"content": "Grüße 👋"}}]},
    finish=Finish.LENGTH,
    usage=Usage(input_tokens=3, output_tokens=4, total_tokens=7),
    charge_tokens=40,
    attempts=1,
    term=7,
    metadata={"lead": 8841},
    timings=Timings(submitted_at=NOW, queue_ms=5),
)
HEADERS = (("ce_type", b"headrace.generation.requested.v1"), ("headrace-run", b"1"), ("x", b"\xff"))


def test_a_completed_outcome_is_written_as_the_contract_says() -> None:
    record = encode_outcome(COMPLETED, time=NOW)
    assert record.key == b"lead-1"
    assert "Grüße 👋".encode() in (record.value or b"")
    assert json.loads(record.value or b"") == {
        "id": "lead-1",
        "run": 2,
        "status": "completed",
        "lane": "urgent",
        "tenant": "acme",
        "endpoint": "chat.completions",
        "request_digest": "5f0c",
        "model": "gpt-4o-mini-2024-07-18",
        "template": "welcome",
        "tier_asked": "flex",
        "tier_served": "default",
        "cost": {"micro_usd": 2.85, "price_list": "list 1", "band": "", "note": None},
        "response": {"choices": [{"message": {"content": "Grüße 👋"}}]},
        "finish": "length",
        "usage": {
            "input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "cached_tokens": 0, "reasoning_tokens": 0,
            "cache_write_tokens": 0, "image_tokens": 0,
        },
        "charge_tokens": 40,
        "attempts": 1,
        "upstream_request_id": "req_1",
        "term": 7,
        "metadata": {"lead": 8841},
        "timings": {"submitted_at": "2026-01-02T03:04:05.678Z", "queue_ms": 5},
    }  # fmt: skip
    headers = dict(record.headers)
    assert (headers["ce_type"], headers["ce_id"], headers["ce_subject"]) == (
        b"headrace.generation.completed.v1", b"lead-1#2", b"lead-1",
    )  # fmt: skip
    assert decode_outcome(record.value, record.headers) == COMPLETED


def test_a_failed_outcome_comes_back_whole() -> None:
    failed = Failed(id="lead-1", reason=FailureReason.REJECTED, message="No.", error={"code": "x"}, attempts=3)
    record = encode_outcome(failed, time=NOW)
    assert dict(record.headers)["ce_id"] == b"lead-1"
    read = decode_outcome(record.value, record.headers)
    assert read == failed
    assert isinstance(read, Failed)
    assert read.reason is FailureReason.REJECTED


def test_the_outcome_of_a_request_whose_id_is_anothers_stands_beside_that_ones() -> None:
    failed = Failed(id="lead-1~3d64", submitted_id="lead-1", reason=FailureReason.ID_CONFLICT, message="No.")
    record = encode_outcome(failed, time=NOW)
    headers = dict(record.headers)
    assert (record.key, headers["ce_id"], headers["ce_subject"]) == (b"lead-1", b"lead-1~3d64", b"lead-1~3d64")
    assert decode_outcome(record.value, record.headers) == failed
    assert b"submitted_id" not in (encode_outcome(Failed(id="a", reason="rejected"), time=NOW).value or b"")


def test_a_reader_keeps_a_reason_and_fields_it_does_not_know() -> None:
    read = decode_outcome(b'{"id": "a", "status": "failed", "reason": "moonlight", "phase": 3}')
    assert isinstance(read, Failed)
    assert (read.reason, (read.model_extra or {})["phase"]) == ("moonlight", 3)


@pytest.mark.parametrize("value", [None, b"", b"{}", b"[]", b'{"id": "a", "status": "maybe"}', b"\xff"])
def test_a_value_that_is_no_outcome_is_said_to_be_none(value: bytes | None) -> None:
    with pytest.raises(WireError, match="not an outcome"):
        decode_outcome(value)


def test_a_version_this_release_does_not_know_is_refused() -> None:
    record = encode_outcome(COMPLETED, time=NOW)
    with pytest.raises(WireError, match=r"completed\.v1"):
        decode_outcome(record.value, [("ce_type", b"headrace.generation.completed.v2")])


@pytest.mark.parametrize("key", [None, b"acme", b"\xff\x00"])
def test_a_failure_carries_the_record_it_came_from(key: bytes | None) -> None:
    failure = RetryableFailure(
        id="lead-1",
        run=1,
        kind=FailureKind.QUOTA,
        attempt=0,
        failures=0,
        not_before=NOW,
        lane="bulk",
        submitted_at=NOW,
        request={"id": "lead-1", "body": {}},
        headers=header_fields(HEADERS),
        **key_fields(key),
    )
    record = encode_failure(failure, time=NOW)
    headers = dict(record.headers)
    assert (headers["ce_id"], headers["headrace-lane"]) == (b"lead-1#0", b"bulk")
    assert headers["headrace-not-before"] == b"2026-01-02T03:04:05.678Z"
    read = decode_failure(record.value, record.headers)
    assert read == failure
    assert (read.original_key, read.original_headers, read.not_before) == (key, HEADERS, NOW)


@pytest.mark.parametrize(("levels", "is_read"), [(150, True), (500, True), (590, True), (700, False), (100_000, False)])
def test_what_was_parked_is_read_as_deep_as_any_release_has_taken_it(levels: int, *, is_read: bool) -> None:
    value = b'{"id": "x", "kind": "quota", "attempt": 1, "not_before": "2026-01-02T03:04:05Z", "lane": "bulk",'
    value += b'"submitted_at": "2026-01-02T03:04:05Z", "headers": [{"name": "x", "value": "/w=="}],'
    value += b'"request": {"id": "x", "body": ' + b'{"a": ' * levels + b"1" + b"}" * levels + b"}}"
    if not is_read:
        with pytest.raises(WireError, match="nested"):
            decode_failure(value)
        return
    failure = decode_failure(value)
    assert (failure.original_headers, failure.not_before.year) == ((("x", b"\xff"),), 2026)
    assert encode_retry(failure, Origin("generation.failures", 3, 99)).value is not None


def test_a_retry_is_the_original_with_our_count_behind_its_headers() -> None:
    old = (("x", b"\xfe"), ("headrace-attempt", b"2"), ("headrace-failure", b"t/0/1"), ("headrace-run", b"1"))
    failure = RetryableFailure(
        id="lead-1",
        run=1,
        kind=FailureKind.OVERLOADED,
        attempt=4,
        failures=3,
        not_before=NOW,
        lane="bulk",
        submitted_at=NOW,
        request={"id": "lead-1", "body": {"model": "m"}, "future": [1]},
        headers=header_fields(old),
        **key_fields(b"acme"),
    )
    record = encode_retry(failure, Origin("generation.failures", 3, 99))
    assert (record.key, json.loads(record.value or b"")) == (b"acme", failure.request)
    assert record.headers == (
        ("x", b"\xfe"),
        ("headrace-run", b"1"),
        ("headrace-attempt", b"5"),
        ("headrace-failures", b"3"),
        ("headrace-failure", b"generation.failures/3/99"),
        ("headrace-identity", b"2be8ed64ea263417 1 lead-1"),
    )


@pytest.mark.parametrize(("run", "said"), [(0, ()), (2, (b"2",))])
def test_a_retry_is_of_the_run_that_was_parked_whatever_run_its_producer_has_named(
    run: int, said: tuple[bytes, ...]
) -> None:
    failure = RetryableFailure(
        id="lead-1", run=run, kind="quota", attempt=1, not_before=NOW, lane="bulk", submitted_at=NOW,
        headers=header_fields((("headrace-run", b"1"), ("headrace-run", b"7"))), request={"id": "lead-1", "body": {}},
    )  # fmt: skip
    record = encode_retry(failure, Origin("generation.failures", 3, 99))
    assert tuple(text for name, text in record.headers if name == "headrace-run") == said


def test_chunks_and_cancels_come_back_whole() -> None:
    chunk = Chunk(id="lead-1", term=7, attempt=1, seq=3, delta={"content": "x"})
    record = encode_chunk(chunk, time=NOW)
    assert dict(record.headers)["ce_id"] == b"lead-1#7.1.3"
    assert decode_chunk(record.value, record.headers) == chunk
    record = encode_cancel(Cancel(id="lead-1"), source="crm", time=NOW)
    assert record.value == b'{"id":"lead-1","type":"cancel"}'
    assert decode_cancel(record.value, record.headers) == Cancel(id="lead-1")
    record = encode_cancel(Cancel(id="lead-1", tenant="acme"), source="crm", time=NOW)
    assert record.value == b'{"id":"lead-1","type":"cancel","tenant":"acme"}'
    assert decode_cancel(record.value, record.headers) == Cancel(id="lead-1", tenant="acme")
    with pytest.raises(WireError, match="not a cancel"):
        decode_cancel(b'{"type": "cancel", "id": ""}')


def dead(value: bytes | None, *, key: bytes | None = b"acme", max_bytes: int = 1024 * 1024) -> Record:
    return encode_dead_letter(
        key,
        value,
        HEADERS,
        reason="too_large",
        origin=("generation.requests.bulk", 3, 99),
        attempts=2,
        run=4,
        failed_at=NOW,
        max_bytes=max_bytes,
    )


def test_a_dead_letter_keeps_the_original_unchanged() -> None:
    record = dead(b"\xff whatever")
    assert (record.key, record.value, record.headers[:3]) == (b"acme", b"\xff whatever", HEADERS)
    letter = decode_dead_letter(record.key, record.value, record.headers)
    assert (letter.key, letter.value, letter.headers) == (b"acme", b"\xff whatever", HEADERS)
    assert letter.origin == Origin("generation.requests.bulk", 3, 99)
    assert (letter.reason, letter.attempts, letter.run, letter.failed_at) == ("too_large", 2, 4, NOW)
    assert (letter.original_length, letter.sha256) == (None, None)


def test_a_dead_letter_tells_the_sentence_of_its_record_in_bounds() -> None:
    told = {"reason": "rejected", "origin": ("t", 0, 1), "attempts": 0, "run": 0, "failed_at": NOW, "max_bytes": 10_000}
    for message in ("The topic 'mails' is not listed.", "x\ud800" * 1_000, ""):
        record = encode_dead_letter(b"acme", b"{}", HEADERS, message=message, **told)  # type: ignore[arg-type]  # see `told`
        letter = decode_dead_letter(record.key, record.value, record.headers)
        assert letter.message == message[:500].replace("\ud800", "?")
        assert letter.headers == HEADERS
    assert decode_dead_letter(b"acme", b"{}", dead(b"{}").headers).message == ""


def test_a_dead_letter_of_a_dead_letters_replay_is_told_apart_from_its_original() -> None:
    first = dead(b"x")
    again = encode_dead_letter(
        first.key, first.value, first.headers, reason="rejected", origin=("t", 0, 1), attempts=0, run=5, failed_at=NOW,
        max_bytes=10_000,
    )  # fmt: skip
    letter = decode_dead_letter(again.key, again.value, again.headers)
    assert (letter.reason, letter.headers) == ("rejected", first.headers)


def test_a_dead_letter_that_is_too_long_keeps_its_beginning_and_says_what_is_missing() -> None:
    value = bytes(range(256)) * 4_000
    record = dead(value, max_bytes=len(value))
    letter = decode_dead_letter(record.key, record.value, record.headers)
    assert letter.value == value[: 64 * 1024]
    assert (letter.original_length, letter.sha256) == (len(value), hashlib.sha256(value).hexdigest())
    assert letter.headers == HEADERS


def test_no_dead_letter_is_larger_than_allowed_whatever_its_key_and_headers() -> None:
    record = dead(b"v" * 100_000, key=b"k" * 500_000, max_bytes=200_000)
    assert record.bytes_max <= 200_000
    assert decode_dead_letter(record.key, record.value, record.headers).original_length == 100_000


def test_a_dead_letter_without_a_value_stays_without() -> None:
    record = dead(None)
    assert decode_dead_letter(record.key, record.value, record.headers).value is None
    with pytest.raises(WireError, match="headrace-reason"):
        decode_dead_letter(None, b"", [])
    with pytest.raises(WireError, match="incomplete"):
        decode_dead_letter(None, b"", [("headrace-reason", b"x")])
