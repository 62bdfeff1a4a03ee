"""The control topic's records: cancels, and everything that is none."""

from datetime import UTC, datetime

import pytest

from headrace.broker.core.identity import pending_cancels as cancels
from headrace.broker.core.ticket import Garbage
from headrace.broker.service.intake.control import ControlReader
from headrace.schemas import headers as names
from headrace.schemas.codec import encode_cancel
from headrace.schemas.control import Cancel
from headrace.schemas.ids import id_hash, tenant_mark
from headrace.schemas.record import Record
from headrace.schemas.request_codec import InputLimits, Undecodable

AT = datetime(2026, 12, 1, 9, 0, 0, 123_000, tzinfo=UTC)
READER = ControlReader(InputLimits(request_bytes_max=1_000, nesting_max=4))


def known(value: bytes | None, *headers: tuple[str, bytes]) -> cancels.CancelRecord | Garbage:
    content, said = READER.read("control", Record(b"x", value, headers), AT)
    assert isinstance(content, Cancel) == isinstance(said, cancels.CancelRecord)
    assert isinstance(content, Undecodable) == isinstance(said, Garbage)
    return said


def test_what_a_client_writes_is_a_cancel_at_the_time_of_its_record() -> None:
    record = encode_cancel(Cancel(id="lead-1"), source="tests", time=AT)
    content, said = READER.read("control", record, AT)
    assert content == Cancel(id="lead-1")
    assert said == cancels.CancelRecord(id_hash("lead-1"), round(AT.timestamp() * 1_000))


def test_a_tenant_is_told_by_its_mark_and_one_that_is_none_makes_no_cancel() -> None:
    record = encode_cancel(Cancel(id="lead-1", tenant="acme"), source="tests", time=AT)
    said = known(record.value, *record.headers)
    assert said == cancels.CancelRecord(id_hash("lead-1"), round(AT.timestamp() * 1_000), tenant_mark("acme"))
    for wrong in (b'""', b"7", b"[]"):
        garbage = known(b'{"id": "x", "tenant": %s}' % wrong)
        assert isinstance(garbage, Garbage)
        assert garbage.reason == "invalid_request"


def test_bare_json_is_enough_and_unknown_fields_are_left_to_those_who_know_them() -> None:
    assert isinstance(known(b'{"type": "cancel", "id": "x", "why": "changed my mind"}'), cancels.CancelRecord)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "undecodable"),
        (b"", "undecodable"),
        (b"\xff", "undecodable"),
        (b"[" * 100_000, "undecodable"),
        (b'{"id": "%s"}' % (b"x" * 2_000), "undecodable"),
        (b'{"id": [[[[1]]]]}', "undecodable"),
        (b'{"id": NaN}', "undecodable"),
        (b'"x"', "invalid_request"),
        (b'{"type": "cancel"}', "invalid_request"),
        (b'{"type": "resume", "id": "x"}', "invalid_request"),
        (b'{"type": "cancel", "id": 7}', "invalid_request"),
        ('{"type": "cancel", "id": "ü"}'.encode(), "invalid_request"),
        (b'{"type": "cancel", "id": "%s"}' % (b"x" * 129), "invalid_request"),
    ],
)
def test_what_is_no_cancel_is_garbage_that_asks_for_nobodys_outcome(value: bytes | None, reason: str) -> None:
    garbage = known(value)
    assert isinstance(garbage, Garbage)
    assert (garbage.identity, garbage.reason) == (None, reason)


def test_a_later_version_of_a_cancel_is_more_than_this_release_can_read() -> None:
    garbage = known(b'{"type": "cancel", "id": "x"}', (names.CE_TYPE, b"headrace.generation.cancelled.v2"))
    assert isinstance(garbage, Garbage)
    assert garbage.reason == "invalid_request"
