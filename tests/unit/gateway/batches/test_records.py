import dataclasses
from datetime import UTC, datetime

import pytest

from headrace.broker.gateway.batches.records import (
    AnswerLine,
    AnswersPiece,
    BatchCancelAsked,
    BatchEnded,
    BatchFinished,
    BatchProgress,
    BatchRecord,
    BatchValidated,
    CatalogueRecord,
    FileCreated,
    FileDeleted,
    LineComplaint,
    StoredParts,
    Tokens,
    decode,
    encode,
    encode_part,
    is_part_of,
    subject_of,
)
from headrace.schemas.record import Record
from tests.unit.gateway.batches.batches import created

AT = datetime(2026, 12, 1, tzinfo=UTC)
RECORDS: list[CatalogueRecord | BatchRecord] = [
    FileCreated(
        id="file-1",
        tenant="acme",
        filename="Grüße.jsonl",
        purpose="batch",
        created_s=1,
        parts=StoredParts(partition=3, offsets=(1, 5), size=9),
    ),
    FileDeleted(id="file-1", tenant="acme"),
    created(metadata={"a": "b"}),
    BatchFinished(id="batch_1", tenant="acme", batch={"id": "batch_1"}, end=9, output_bytes=1),
    BatchValidated(lines=3, model="gpt-4o"),
    BatchProgress(done=1, upto=3, seen={2: 7}),
    BatchCancelAsked(),
    BatchEnded(status="failed", errors=(LineComplaint(code="empty_file", message="Empty."),)),
    AnswersPiece((), {4: 1}),
    AnswersPiece(
        (
            AnswerLine(0, True, b'{"a":"\\n\\t"}', Tokens(1, 2, 3, 4, 5)),
            AnswerLine(7, False, "{'ü'}".encode()),
            AnswerLine(8, False, b"{}", is_expired=True),
        )
    ),
]


@pytest.mark.parametrize("record", RECORDS, ids=range(len(RECORDS)))
def test_a_record_comes_back_as_it_was_written(record: CatalogueRecord | BatchRecord) -> None:
    encoded = encode(record, "batch_1", "acme", at=AT)
    assert decode(encoded) == record
    assert subject_of(encoded) == "batch_1"
    assert encoded.key == b"acme"
    assert not is_part_of(encoded, "batch_1")


@pytest.mark.parametrize("record", RECORDS, ids=range(len(RECORDS)))
@pytest.mark.parametrize("value", [None, b"", b"[]", b"\xff", b"{", b'{"seen":1}', b'{"seen":{}}\nx'])
def test_a_value_that_is_none_of_ours_is_skipped(record: CatalogueRecord | BatchRecord, value: bytes | None) -> None:
    broken = dataclasses.replace(encode(record, "batch_1", "acme", at=AT), value=value)
    is_any_object = isinstance(record, BatchCancelAsked) and value == b'{"seen":1}'
    assert (decode(broken) is None) is not is_any_object


def test_a_later_version_and_a_foreign_record_are_skipped() -> None:
    encoded = encode(BatchCancelAsked(), "batch_1", "acme", at=AT)
    later = tuple((name, value.replace(b".v1", b".v2")) for name, value in encoded.headers)
    assert decode(dataclasses.replace(encoded, headers=later)) is None
    assert decode(Record(None, b"{}")) is None
    assert subject_of(Record(None, b"{}")) == ""


def test_fields_of_a_later_release_are_kept() -> None:
    encoded = encode(BatchValidated(lines=1, later=True), "batch_1", "acme", at=AT)
    read = decode(encoded)
    assert isinstance(read, BatchValidated)
    assert read.model_extra == {"later": True}


def test_a_part_is_known_by_its_file() -> None:
    part = encode_part("file-1", "acme", b'{"a":1}\n', at=AT)
    assert part.value == b'{"a":1}\n'
    assert is_part_of(part, "file-1")
    assert not is_part_of(part, "file-2")
    assert decode(part) is None
