"""An outcome that cannot be read: readers and clients that wait hear of it as far as its headers tell."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from headrace.broker.cli.cancel import _said
from headrace.broker.cli.results import Chosen, DisplayOptions, _shown_as_they_come
from headrace.broker.client import GenerationClient
from headrace.broker.errors import OutcomeUnreadable
from headrace.broker.testing.memory_broker import MemoryBroker
from headrace.consumers.results import ResultReader
from headrace.schemas.codec import encode_outcome
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import Completed, Failed, Outcome
from headrace.schemas.record import Record
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


DEEP = encode_outcome(nested(1), time=NOW)
UNREAD = Record(DEEP.key, b"{", DEEP.headers)
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}


async def test_a_wait_that_is_under_way_ends_with_what_the_headers_tell() -> None:
    async with MemoryBroker() as broker:
        answers = broker.connection.answers(RESULTS, read_back_s=60)
        async with answers.waiting(Expectation("deep"), connect_s=1) as answer:
            broker.kafka.append(RESULTS, UNREAD)
            outcome = await asyncio.wait_for(answer, 10)
        await answers.close()
    assert isinstance(outcome, Failed)
    assert (outcome.id, outcome.run, outcome.reason) == ("deep", 2, "unreadable")


async def test_one_that_is_asked_for_again_or_cancelled_hears_so_too() -> None:
    async with MemoryBroker() as broker, GenerationClient(connection=broker.connection) as generations:
        broker.kafka.append(RESULTS, UNREAD)
        with pytest.raises(OutcomeUnreadable, match="deep: The request is completed, but its outcome cannot be read"):
            await generations.generate(BODY, id="deep", timeout_s=60)
        outcome = await generations.outcome_of_cancelled("deep", timeout_s=60)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "unreadable"
    assert _said(outcome).startswith("deep: The request is completed, but its outcome cannot be read here (")


async def test_the_verb_that_shows_outcomes_does_not_call_it_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    async with MemoryBroker() as broker:
        for record in (UNREAD, Record(None, b"{", ())):
            broker.kafka.append(RESULTS, record)
        async with ResultReader(connection=broker.connection, group=None, follow=False) as reader:
            assert not await _shown_as_they_come(reader, Chosen(), DisplayOptions())
    said = capsys.readouterr()
    assert "deep#2" in said.out
    assert "  unreadable  The request is completed" in said.out
    assert said.err == "1 record is not an outcome and was skipped.\n"
