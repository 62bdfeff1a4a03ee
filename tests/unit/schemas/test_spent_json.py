from datetime import UTC, datetime

import pytest

from headrace.schemas.codec import WireError, encode_outcome
from headrace.schemas.outcome import Completed, Cost, Failed, Outcome, Timings, Usage
from headrace.schemas.record import Record
from headrace.schemas.spending import AdvisedOutcome, SpentOutcome
from headrace.schemas.spent_json import decode_spent

AT = datetime(2026, 11, 28, 13, 59, 59, 250_000, UTC)
COMPLETED = Completed(
    id="lead-1",
    lane="bulk",
    tenant="acme",
    template="welcome",
    model="gpt-4",
    tier_asked="auto",
    tier_served="flex",
    attempts=2,
    usage=Usage(input_tokens=300, output_tokens=100, cached_tokens=50),
    cost=Cost(micro_usd=15_000.123456, price_list="list 1", band=">272000"),
    timings=Timings(submitted_at=AT, finished_at=AT),
    finish="length",
    charge_tokens=320,
    response={"choices": [{"message": {"content": "x" * 1_000}}]},
)
FAILED = Failed(id="lead-2", reason="exhausted", message="No.", attempts=3)


@pytest.mark.parametrize("outcome", [COMPLETED, FAILED])
def test_the_summed_fields_of_a_record_are_those_of_its_outcome(outcome: Outcome) -> None:
    record = encode_outcome(outcome, time=AT)
    read = decode_spent(record.value, record.headers)
    whole = SpentOutcome.model_validate(outcome)
    for name in SpentOutcome.model_fields:
        assert getattr(read, name) == getattr(whole, name), name


def test_another_shape_reads_its_own_fields() -> None:
    record = encode_outcome(COMPLETED, time=AT)
    read = decode_spent(record.value, record.headers, AdvisedOutcome)
    assert isinstance(read, AdvisedOutcome)
    assert (read.id, read.timings.submitted_at, read.timings.finished_at) == ("lead-1", AT, AT)
    assert read.usage is not None
    assert read.usage.cached_tokens == 50


def test_an_answer_nested_deeper_than_the_quick_parser_reads_is_read_all_the_same() -> None:
    nested: dict[str, object] = {}
    for _ in range(400):
        nested = {"a": nested}
    record = encode_outcome(COMPLETED.model_copy(update={"response": nested}), time=AT)
    assert decode_spent(record.value, record.headers).usage is not None


@pytest.mark.parametrize(
    "record",
    [
        Record(b"k", None),
        Record(b"k", b""),
        Record(b"k", b"{"),
        Record(b"k", b"[]"),
        Record(b"k", b'{"status": "completed", "attempts": "many"}'),
        Record(b"k", b'{"id": "a"}'),
        Record(b"k", b'{"status": "completed"}', (("ce_type", b"headrace.generation.completed.v2"),)),
        Record(b"k", b'{"status": "completed"}', (("ce_type", b"headrace.generation.chunk.v1"),)),
    ],
)
def test_what_is_no_outcome_of_this_version_is_refused(record: Record) -> None:
    with pytest.raises(WireError):
        decode_spent(record.value, record.headers)


@pytest.mark.parametrize(
    "amounts",
    [
        b'"usage": {"input_tokens": 1' + b"0" * 400 + b"}",
        b'"usage": {"output_tokens": -1}',
        b'"usage": {"input_tokens": 10, "cache_write_tokens": -1}',
        b'"usage": {"image_tokens": 1' + b"0" * 400 + b"}",
        b'"cost": {"micro_usd": NaN}',
        b'"cost": {"micro_usd": Infinity}',
        b'"cost": {"micro_usd": -1}',
        b'"charge_tokens": 1' + b"0" * 400,
        b'"charge_tokens": -1' + b"0" * 400,
        b'"attempts": -1',
        b'"usage": {"input_tokens": -1, "output_tokens": 2}',
        b'"usage": {"input_tokens": -1' + b"0" * 400 + b', "output_tokens": 1' + b"0" * 400 + b"}",
        b'"usage": {"reasoning_tokens": 1' + b"0" * 400 + b"}",
        b'"usage": {"cache_write_tokens": -1}',
        b'"usage": {"image_tokens": -1}',
    ],
)
def test_amounts_that_no_call_has_are_refused(amounts: bytes) -> None:
    with pytest.raises(WireError):
        decode_spent(b'{"status": "completed", ' + amounts + b"}")
