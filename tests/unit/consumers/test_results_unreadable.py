"""An outcome that a reader cannot read is handed out as far as its headers tell of it."""

import json
from datetime import UTC, datetime

import pytest

from broker.testing.memory_broker import MemoryBroker
from consumers.results import ResultReader
from schemas.codec import encode_outcome
from schemas.outcome import Completed, Failed, Outcome
from schemas.record import Record
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
RESULTS = "generation.results"


def nested(levels: int) -> Completed:
    answer: dict[str, object] = {}
    for _ in range(levels):
        answer = {"a": answer}
    return Completed(id="deep", run=2, response=answer)


async def read(*records: Record) -> tuple[list[Outcome], int]:
    async with MemoryBroker() as broker:
        for record in records:
            broker.kafka.append(RESULTS, record)
        async with ResultReader(connection=broker.connection, group=None, follow=False) as reader:
            return [outcome async for outcome in reader], reader.undecodable


async def test_an_answer_nested_deeper_than_pydantic_reads_is_read() -> None:
    record = encode_outcome(nested(300), time=NOW)
    (outcome,), undecodable = await read(record)
    assert isinstance(outcome, Completed)
    assert (outcome.id, outcome.run, undecodable) == ("deep", 2, 0)
    assert outcome.response == nested(300).response


@pytest.mark.parametrize(
    "value",
    [
        b'{"id": "deep", "run": 2, "status": "completed", "response": ' + b'{"a": ' * 50_000 + b"1" + b"}" * 50_001,
        b'{"id": "deep", "run": 2, "status": "completed"}',
        b"\xff",
        b'{"id": "deep", "response": ' + b"[" * 300 + b"]" * 299 + b"}",
        b'{"id": "deep", "response": ' + b"[" * 300 + b"]" * 300 + b"}",
        None,
    ],
    ids=["deeper still", "no answer", "no JSON", "deep and no JSON", "deep and no outcome", "empty"],
)
async def test_one_that_nobody_can_read_is_not_passed_over(value: bytes | None) -> None:
    headers = encode_outcome(nested(1), time=NOW).headers
    good = encode_outcome(Failed(id="next", reason="rejected"), time=NOW)
    outcomes, undecodable = await read(Record(b"deep", value, headers), good)
    told = {each.id: each for each in outcomes}
    assert told.keys() == {"deep", "next"}
    unreadable = told["deep"]
    assert isinstance(unreadable, Failed)
    assert (unreadable.run, unreadable.reason, undecodable) == (2, "unreadable", 1)
    assert unreadable.message.startswith("The request is completed, but its outcome cannot be read here (")


async def test_an_outcome_of_a_later_version_is_not_passed_over() -> None:
    record = encode_outcome(Failed(id="later", reason="rejected"), time=NOW)
    later = [(name, value.replace(b".v1", b".v2") if name == "ce_type" else value) for name, value in record.headers]
    outcomes, undecodable = await read(Record(record.key, record.value, tuple(later)))
    assert [(each.id, undecodable) for each in outcomes] == [("later", 1)]


async def test_what_is_no_outcome_is_skipped_and_counted() -> None:
    assert await read(Record(None, b"{", ()), Record(b"x", json.dumps({"id": "x"}).encode(), ())) == ([], 2)
