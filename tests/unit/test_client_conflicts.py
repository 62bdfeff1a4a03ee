"""Two tenants, one id, two bodies: neither is handed what is the other's, and each sender learns of its conflict."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.broker.client import GenerationClient, submission
from headrace.broker.errors import (
    GenerationFailed,
    HeadraceError,
    IdConflict,
    NotSubmitted,
    Unresolved,
    WaitTimedOut,
)
from headrace.broker.testing.memory_broker import MemoryBroker
from headrace.broker.testing.upstream import Asked, Said
from headrace.consumers.chunks import ChunkReader
from headrace.consumers.results import ResultReader
from headrace.schemas import topics
from headrace.schemas.chunk import Chunk
from headrace.schemas.codec import encode_chunk, encode_outcome
from headrace.schemas.expectation import Expectation
from headrace.schemas.ids import request_digest
from headrace.schemas.outcome import Completed, Failed, Outcome, sent_as
from tests.unit.two_tenants import BODY, OTHER, acmes, client, echo, zeniths
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

CHAT = "chat.completions"
RESULTS = topics.results_topic("generation")


def conflicts(broker: MemoryBroker) -> list[Failed]:
    return [each for each in broker.outcomes if isinstance(each, Failed) and each.reason == "id_conflict"]


async def answered(_broker: MemoryBroker, generations: GenerationClient) -> None:
    await acmes(generations)


async def in_flight(broker: MemoryBroker, generations: GenerationClient) -> None:
    await generations.submit(BODY, id="lead-1", tenant="acme", lane="urgent")
    await asyncio.sleep(1)
    assert broker.calls
    assert not broker.outcomes


async def in_flight_across_a_failover(broker: MemoryBroker, generations: GenerationClient) -> None:
    await in_flight(broker, generations)
    await broker.crash()
    await asyncio.sleep(2)


async def answered_across_a_failover(broker: MemoryBroker, generations: GenerationClient) -> None:
    await acmes(generations)
    await broker.crash()


@pytest.mark.slow
@pytest.mark.parametrize("state", [answered, in_flight, in_flight_across_a_failover, answered_across_a_failover])
async def test_the_second_sender_learns_of_it_whatever_has_become_of_the_first(
    state: Callable[[MemoryBroker, GenerationClient], Awaitable[None]],
) -> None:
    async with MemoryBroker(echo, latency_s=30) as broker, client(broker) as generations, client(broker) as others:
        await state(broker, generations)
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(IdConflict):
            await zeniths(others)
        assert asyncio.get_running_loop().time() - began_s < 5, "it does not wait for the answer of the first"
        done = await acmes(generations)
    assert done.response["choices"][0]["message"]["content"] == "Answer to acme's"
    (told,) = conflicts(broker)
    assert (told.submitted_id, told.tenant, told.request_digest) == ("lead-1", "zenith", request_digest(CHAT, OTHER))
    assert "acme" not in told.model_dump_json()


@pytest.mark.slow
async def test_the_second_sender_learns_of_it_while_the_first_is_parked() -> None:
    def shut(asked: Asked) -> Said | str:
        return Said(503, "", {"retry-after": "60"}) if asked.nth == 1 else echo(asked)

    settings = {"retry": {"in_place_max_s": 1}}
    async with MemoryBroker(shut, settings=settings) as broker, client(broker) as generations:
        await generations.submit(BODY, id="lead-1", tenant="acme", lane="urgent")
        await asyncio.sleep(10)
        assert broker.kafka.committed(topics.failures_topic("generation"))
        with pytest.raises(IdConflict):
            await zeniths(generations, timeout_s=5)
        assert (await acmes(generations, timeout_s=2_000)).tenant == "acme"
    assert len(broker.calls) == 2
    assert len(conflicts(broker)) == 1


async def test_both_wait_for_one_id_at_once_and_each_has_its_own() -> None:
    async with MemoryBroker(echo, latency_s=3) as broker, client(broker) as generations:
        first, second = await asyncio.gather(acmes(generations), zeniths(generations), return_exceptions=True)
    assert isinstance(first, Completed)
    assert isinstance(second, IdConflict)
    assert first.tenant == "acme"


async def test_each_record_of_a_conflict_has_an_outcome_and_each_of_a_duplicate_none() -> None:
    async with MemoryBroker(echo) as broker, client(broker) as generations:
        await acmes(generations)
        for _ in range(3):
            with pytest.raises(IdConflict):
                await zeniths(generations)
        await acmes(generations)
    assert len({each.id for each in conflicts(broker)}) == len(conflicts(broker)) == 3
    assert sum(each.id == "lead-1" for each in broker.outcomes) == 1


async def test_the_error_holds_nothing_of_the_other_request() -> None:
    async with MemoryBroker(echo) as broker, client(broker) as generations:
        await acmes(generations)
        with pytest.raises(IdConflict) as raised:
            await zeniths(generations)
    assert raised.value.differs == ("tenant", "body"), "as the earlier outcome tells"
    held = json.dumps([str(raised.value), vars(raised.value)], default=str)
    assert "acme" not in held
    assert "Answer" not in held
    assert raised.value.__cause__ is None
    assert not isinstance(raised.value, NotSubmitted | Unresolved | GenerationFailed)
    assert isinstance(raised.value, HeadraceError)


def old(tenant: str, body: dict[str, Any], text: str) -> Completed:
    response = {"choices": [{"message": {"content": text}}]}
    return Completed(
        id="lead-1", tenant=tenant, endpoint=CHAT, request_digest=request_digest(CHAT, body), response=response
    )


def publish(broker: MemoryBroker, *outcomes: Outcome) -> None:
    for outcome in outcomes:
        broker.kafka.append(RESULTS, encode_outcome(outcome, time=datetime.now(UTC)))


async def test_an_earlier_outcome_that_the_dispatcher_has_forgotten_hides_no_answer() -> None:
    """The dispatcher's window was shorter than the client's: to it the request is the first of its id."""
    async with MemoryBroker(echo, latency_s=5) as broker, client(broker) as generations:
        publish(broker, old("acme", BODY, "forgotten"))
        done = await zeniths(generations)
    assert done.tenant == "zenith"
    assert not conflicts(broker)


async def test_of_several_earlier_outcomes_the_last_one_counts() -> None:
    async with MemoryBroker(echo, latency_s=5) as broker, client(broker) as generations:
        publish(broker, old("acme", BODY, "first"), old("zenith", OTHER, "last"))
        done = await zeniths(generations)
    assert done.response["choices"][0]["message"]["content"] == "last"


async def test_while_no_dispatcher_takes_the_request_an_earlier_outcome_tells_what_differs() -> None:
    async with MemoryBroker(echo, latency_s=600) as broker, client(broker) as generations:
        publish(broker, old("acme", BODY, "earlier"))
        with pytest.raises(IdConflict, match="another tenant and body: choose a new id") as raised:
            await zeniths(generations, timeout_s=5)
        assert raised.value.differs == ("tenant", "body")
        with pytest.raises(WaitTimedOut):
            await generations.generate(OTHER, id="lead-2", timeout_s=5)


async def test_what_is_published_of_another_request_while_it_waits_proves_the_conflict() -> None:
    async with MemoryBroker(echo, latency_s=600) as broker, client(broker) as generations:
        asking = asyncio.create_task(zeniths(generations))
        await asyncio.sleep(2)
        publish(broker, old("acme", OTHER, "acme's own"))
        with pytest.raises(IdConflict) as raised:
            await asking
    assert raised.value.differs == ("tenant",)


@pytest.mark.slow
async def test_the_conflict_of_another_sender_is_no_news_to_the_one_whose_id_it_is() -> None:
    async with MemoryBroker(echo, latency_s=20) as broker, client(broker) as generations, client(broker) as others:
        asking = asyncio.create_task(acmes(generations))
        await asyncio.sleep(2)
        with pytest.raises(IdConflict):
            await zeniths(others)
        assert not asking.done()
        assert (await asking).tenant == "acme"


@pytest.mark.parametrize("said", [{}, {"tenant": "zenith"}, {"tenant": "zenith", "endpoint": CHAT}])
async def test_an_outcome_that_does_not_say_whose_it_is_is_taken_as_before(said: dict[str, str]) -> None:
    """An older release wrote it, or it answers for a request that was cancelled while it was parked."""
    async with MemoryBroker(echo, latency_s=600) as broker, client(broker) as generations:
        publish(broker, Completed(id="lead-1", response={"n": 1}, **said))
        assert (await zeniths(generations)).response == {"n": 1}


async def test_the_reply_topic_of_a_conflict_has_its_own_failure_and_nothing_of_the_first() -> None:
    settings = {"replies": {"allow": ["acme.answers", "zenith.answers"]}}
    async with MemoryBroker(echo, settings=settings) as broker, client(broker) as generations:
        await acmes(generations, reply_to="acme.answers")
        with pytest.raises(IdConflict):
            await zeniths(generations, reply_to="zenith.answers")

        async def copies(topic: str) -> list[Outcome]:
            async with ResultReader(connection=broker.connection, group=None, topic=topic, follow=False) as reader:
                return [each async for each in reader]

        assert [each.id for each in await copies("acme.answers")] == ["lead-1"]
        assert await copies("zenith.answers") == list(conflicts(broker))


async def test_a_submission_expects_what_the_dispatcher_reads() -> None:
    prepared = submission({"id": "lead-1", "tenant": "acme", "body": BODY | {"stop": ("a", "b")}}, lane="urgent")
    async with MemoryBroker(echo) as broker, client(broker) as generations:
        done = await generations.outcome_of(prepared)
    assert prepared.expectation == Expectation("lead-1", "acme", CHAT, done.request_digest)


# ---------------------------------------------------------------------------------------------------- readers


def expecting(*known: Expectation) -> Callable[[str], Expectation | None]:
    return {each.id: each for each in known}.get


ACMES = Expectation("lead-1", "acme", CHAT, request_digest(CHAT, BODY))
ZENITHS = Expectation("lead-1", "zenith", CHAT, request_digest(CHAT, OTHER))


async def test_a_reader_that_expects_another_request_is_told_so_and_reads_on() -> None:
    async with MemoryBroker(echo) as broker, client(broker) as generations:
        await acmes(generations)
        with pytest.raises(IdConflict):
            await zeniths(generations)
        await generations.generate(BODY, id="lead-2")
        seen: list[str] = []
        reader = ResultReader(connection=broker.connection, group="zenith", expected=expecting(ZENITHS), follow=False)
        async with reader:
            for _ in range(3):
                try:
                    seen.append(sent_as(await anext(reader)))
                except IdConflict as reason:
                    seen.append(" and ".join(reason.differs))
            assert [each async for each in reader] == []
        assert (sorted(seen), reader.conflicts) == (["lead-1", "lead-2", "tenant and body"], 1)
        async with ResultReader(connection=broker.connection, group="zenith", follow=False) as again:
            assert [each async for each in again] == [], "it counts as handled"


async def test_a_reader_is_not_bothered_with_the_conflicts_of_others_who_chose_its_id() -> None:
    async with MemoryBroker(echo) as broker, client(broker) as generations:
        await acmes(generations)
        with pytest.raises(IdConflict):
            await zeniths(generations)
        reader = ResultReader(connection=broker.connection, group=None, expected=expecting(ACMES), follow=False)
        async with reader:
            assert [each.id async for each in reader] == ["lead-1"]
        assert reader.conflicts == 0


async def test_a_handler_is_never_called_with_the_outcome_of_another_request() -> None:
    handed: list[Outcome] = []

    async def handle(outcome: Outcome) -> None:
        handed.append(outcome)

    async with MemoryBroker(echo) as broker, client(broker) as generations:
        await acmes(generations)
        with pytest.raises(IdConflict):
            await zeniths(generations)
        reader = ResultReader(connection=broker.connection, group="zenith", expected=expecting(ZENITHS), follow=False)
        async with reader:
            await reader.handle(handle, dead_letters=None)
    assert handed == list(conflicts(broker))
    assert reader.conflicts == 1


# ---------------------------------------------------------------------------------------------------- streams


def streamed(broker: MemoryBroker, tenant: str, body: dict[str, Any], text: str) -> None:
    digest = request_digest(CHAT, body)
    delta = [{"index": 0, "delta": {"content": text}}]
    chunk = Chunk(
        id="lead-1",
        term=1,
        attempt=1,
        seq=0,
        delta=delta,
        tenant=tenant,
        endpoint=CHAT,
        request_digest=digest,
        final=True,
    )
    broker.kafka.append(topics.chunks_topic("generation"), encode_chunk(chunk, time=datetime.now(UTC)))


async def test_the_stream_of_another_request_of_the_id_is_followed_by_nobody_else() -> None:
    async with MemoryBroker(echo) as broker, ChunkReader(connection=broker.connection) as chunks:
        streamed(broker, "acme", BODY, "acme's")
        with pytest.raises(IdConflict) as raised:
            _ = [each async for each in chunks.follow(ZENITHS)]
        assert raised.value.differs == ("tenant", "body")
        streamed(broker, "acme", BODY, "acme's")
    async with (
        MemoryBroker(echo) as broker,
        ChunkReader(connection=broker.connection) as mine,
        ChunkReader(connection=broker.connection) as any_of_it,
    ):
        streamed(broker, "acme", BODY, "acme's")
        assert [each.text async for each in mine.follow(ACMES)] == ["acme's"]
        assert [each.text async for each in any_of_it.follow("lead-1")] == ["acme's"]


async def test_a_reader_of_many_streams_leaves_out_those_of_other_requests() -> None:
    async with (
        MemoryBroker(echo) as broker,
        ChunkReader(connection=broker.connection, expected=expecting(ZENITHS)) as chunks,
    ):
        streamed(broker, "acme", BODY, "acme's")
        streamed(broker, "zenith", OTHER, "zenith's")
        assert (await anext(chunks)).text == "zenith's"
        assert chunks.conflicts == 1


async def test_the_chunks_of_a_stream_say_whose_they_are() -> None:
    prepared = submission({"id": "lead-1", "tenant": "acme", "body": BODY, "stream": True}, lane="urgent")
    async with (
        MemoryBroker(echo) as broker,
        ChunkReader(connection=broker.connection) as chunks,
        client(broker) as generations,
    ):
        asking = asyncio.create_task(generations.outcome_of(prepared))
        told = [each.chunk async for each in chunks.follow(prepared.expectation)]
        await asking
    assert {(each.tenant, each.endpoint, each.request_digest) for each in told} == {
        ("acme", CHAT, request_digest(CHAT, BODY))
    }
