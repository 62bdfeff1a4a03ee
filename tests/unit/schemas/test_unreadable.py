"""What the headers of an outcome tell where its value cannot be read."""

from datetime import UTC, datetime

import pytest

from headrace.schemas import headers
from headrace.schemas.codec import encode_outcome
from headrace.schemas.outcome import Completed, Failed
from headrace.schemas.record import Record
from headrace.schemas.unreadable import UNREADABLE, in_place_of

AT = datetime(2026, 11, 1, tzinfo=UTC)
DONE = encode_outcome(Completed(id="x", run=2, response={}), time=AT)
FAILED = encode_outcome(Failed(id="x", run=2, reason="rejected"), time=AT)


def of_type(ce_type: bytes) -> Record:
    return Record(
        None, b"?", tuple((name, ce_type if name == headers.CE_TYPE else value) for name, value in DONE.headers)
    )


@pytest.mark.parametrize(("record", "ended"), [(DONE, "completed"), (FAILED, "failed")])
def test_it_says_whose_outcome_it_is_and_how_that_ended(record: Record, ended: str) -> None:
    told = in_place_of(record, "why")
    assert told is not None
    assert (told.id, told.run, told.reason) == ("x", 2, UNREADABLE)
    assert f"is {ended}, but its outcome cannot be read here (why)" in told.message


@pytest.mark.parametrize("ce_type", [headers.TYPE_CHUNK.encode(), b"", b"\xff\xfe.v1", b"headrace"])
def test_what_is_no_outcome_by_its_type_stands_for_none(ce_type: bytes) -> None:
    assert in_place_of(of_type(ce_type), "why") is None


def test_an_outcome_of_a_later_version_is_one() -> None:
    told = in_place_of(of_type(headers.TYPE_FAILED.replace(".v1", ".v7").encode()), "why")
    assert told is not None
    assert "is failed" in told.message
