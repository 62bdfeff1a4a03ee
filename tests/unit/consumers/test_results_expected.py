"""A reader that knows its requests hands out no outcome of another request with one of their ids."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from headrace.broker.errors import IdConflict
from headrace.broker.testing.memory_broker import MemoryBroker
from headrace.consumers.results import ResultReader
from headrace.schemas.codec import encode_outcome
from headrace.schemas.expectation import Expectation
from headrace.schemas.outcome import Completed, Failed, Outcome
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
CHAT = "chat.completions"
OURS = Expectation("lead-1", "acme", CHAT, "a" * 32)
OWN = Completed(id="lead-1", tenant="acme", endpoint=CHAT, request_digest="a" * 32, response={})
OTHERS = Completed(id="lead-1", tenant="zenith", endpoint=CHAT, request_digest="a" * 32, response={})
STRANGERS = Completed(id="lead-2", tenant="zenith", endpoint=CHAT, request_digest="b" * 32, response={})
"""Of an id that is none of ours."""


def told(tenant: str) -> Failed:
    """That a request of this tenant has an id of another one."""
    return Failed(
        id="lead-1~0123456789abcdef",
        submitted_id="lead-1",
        tenant=tenant,
        endpoint=CHAT,
        request_digest="a" * 32,
        reason="id_conflict",
    )


def knowing(*known: Expectation) -> Callable[[str], Expectation | None]:
    return {each.id: each for each in known}.get


async def read(*outcomes: Outcome) -> tuple[list[Outcome | tuple[str, ...]], int]:
    """What a reader of one partition is handed, or is told of instead, and how many conflicts it counts."""
    seen: list[Outcome | tuple[str, ...]] = []
    async with MemoryBroker() as broker:
        for each in outcomes:
            broker.kafka.append("generation.results", encode_outcome(each, time=NOW), partition=0)
        async with ResultReader(
            connection=broker.connection, group=None, expected=knowing(OURS), follow=False
        ) as reader:
            while True:
                try:
                    seen.append(await anext(reader))
                except StopAsyncIteration:
                    return seen, reader.conflicts
                except IdConflict as reason:
                    seen.append((reason.request_id, *reason.differs))


async def test_its_own_and_what_it_does_not_know_are_handed_out() -> None:
    assert await read(STRANGERS, OWN) == ([STRANGERS, OWN], 0)


async def test_anothers_is_told_of_counted_and_read_past() -> None:
    assert await read(OTHERS, STRANGERS) == ([("lead-1", "tenant"), STRANGERS], 1)


async def test_that_its_own_request_has_an_id_of_another_is_its_own_outcome() -> None:
    assert await read(told("acme")) == ([told("acme")], 0)


async def test_that_anothers_has_its_id_is_no_news_of_its_own() -> None:
    assert await read(told("zenith"), OWN) == ([OWN], 0)


async def test_a_handler_is_called_with_its_own_alone_and_conflicts_are_handled() -> None:
    handed: list[Outcome] = []

    async def handle(outcome: Outcome) -> None:
        handed.append(outcome)

    async with MemoryBroker() as broker:
        for each in (OTHERS.model_copy(update={"run": 1}), OTHERS, told("zenith"), OWN.model_copy(update={"run": 2})):
            broker.kafka.append("generation.results", encode_outcome(each, time=NOW), partition=0)
        reader = ResultReader(connection=broker.connection, group="g", expected=knowing(OURS), follow=False)
        async with reader:
            await reader.handle(handle, dead_letters=None)
        assert handed == [OWN.model_copy(update={"run": 2})]
        assert reader.conflicts == 2
        async with ResultReader(connection=broker.connection, group="g", follow=False) as again:
            assert [each async for each in again] == []


@pytest.mark.parametrize("outcome", [OTHERS, told("zenith")])
async def test_without_expectations_all_is_handed_out(outcome: Outcome) -> None:
    async with MemoryBroker() as broker:
        broker.kafka.append("generation.results", encode_outcome(outcome, time=NOW))
        async with ResultReader(connection=broker.connection, group=None, follow=False) as reader:
            assert [each async for each in reader] == [outcome]
            assert reader.conflicts == 0
