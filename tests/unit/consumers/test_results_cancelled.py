"""A service may bound its wait for the next outcome, and ask again."""

import asyncio
from datetime import UTC, datetime

import pytest

from headrace.broker.testing.memory_broker import MemoryBroker
from headrace.consumers.results import ResultReader
from headrace.schemas.codec import encode_outcome
from headrace.schemas.outcome import Completed
from headrace.schemas.record import Record
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
RESULTS = "generation.results"
TURNS = 25
"""Of the event loop: more than pass from a record's arrival until its outcome is handed out."""


def outcome(request_id: str) -> Record:
    return encode_outcome(Completed(id=request_id, response={}), time=NOW)


async def next_of(reader: ResultReader) -> str:
    async with asyncio.timeout(5):
        return (await anext(reader)).id


@pytest.mark.parametrize("group", [None, "mailer"])
async def test_a_wait_that_ended_without_an_outcome_is_begun_again(group: str | None) -> None:
    async with MemoryBroker() as broker, ResultReader(connection=broker.connection, group=group) as reader:
        broker.kafka.append(RESULTS, outcome("first"))
        assert await next_of(reader) == "first"
        with pytest.raises(TimeoutError):
            await next_of(reader)
        broker.kafka.append(RESULTS, outcome("second"))
        assert await next_of(reader) == "second"


@pytest.mark.slow
@pytest.mark.parametrize("turns", range(TURNS))
async def test_an_outcome_that_comes_in_the_instant_in_which_the_wait_is_cancelled_is_handed_out(turns: int) -> None:
    async with MemoryBroker() as broker, ResultReader(connection=broker.connection, group=None) as reader:
        waiting = asyncio.create_task(next_of(reader), name="waiting")
        await asyncio.sleep(0.1)
        broker.kafka.append(RESULTS, outcome("first"))
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        broker.kafka.append(RESULTS, outcome("second"))
        seen = [] if waiting.cancelled() else [waiting.result()]
        while "second" not in seen:
            seen.append(await next_of(reader))
        assert set(seen) == {"first", "second"}
        if turns == TURNS - 1:
            assert not waiting.cancelled(), "more turns are needed"
