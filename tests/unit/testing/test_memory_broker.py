"""A broker in memory keeps the contract of a real one, and lets a test say what happens."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from headrace.broker.client import GenerationClient
from headrace.broker.client_ports import ClientDoors
from headrace.broker.errors import GenerationFailed, LogUnavailable
from headrace.broker.testing import Asked, MemoryBroker, Said, Silence
from headrace.broker.testing.upstream import answer_text
from headrace.consumers.chunks import ChunkReader, Told
from headrace.consumers.results import ResultReader
from headrace.schemas.outcome import Completed, Cost, Usage
from tests.contract.broker_contract import BODY
from tests.contract.handling_contract import HandlingContract


class World:
    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.connection: ClientDoors = broker.connection
        self.prefix = "generation"
        self.own_topic = "mine"

    async def calls(self) -> int:
        return len(self.broker.calls)


class TestMemoryBroker(HandlingContract):
    @pytest.fixture
    async def world(self) -> AsyncIterator[World]:
        async with MemoryBroker(topics=("mine",)) as broker:
            yield World(broker)


def text_of(done: Completed) -> str:
    return str(done.response["choices"][0]["message"]["content"])


async def test_the_model_writes_what_the_script_says() -> None:
    def answer(asked: Asked) -> str:
        return f"{asked.nth}. answer to {asked.request_id} at {asked.endpoint}: {asked.body['model']}"

    async with MemoryBroker(answer) as broker, GenerationClient(connection=broker.connection) as generations:
        done = await generations.generate(BODY, lane="urgent", id="a")
        assert text_of(done) == "1. answer to a at chat.completions: gpt-4o-mini"
        assert [asked.request_id for asked in broker.calls] == ["a"]
        assert broker.outcomes == [done]


async def test_a_whole_body_is_passed_on_as_it_is() -> None:
    body = {"id": "x", "choices": [{"message": {"refusal": "No."}}]}
    async with (
        MemoryBroker(lambda asked: body) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        assert (await generations.generate(BODY, lane="urgent")).response == body


async def test_a_refusal_over_http_fails_the_request() -> None:
    said = {"error": {"message": "The model `gpt-9` does not exist", "code": "model_not_found", "type": "invalid"}}
    async with (
        MemoryBroker(lambda asked: Said(404, said)) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        with pytest.raises(GenerationFailed) as raised:
            await generations.generate(BODY, lane="urgent", id="a")
        assert raised.value.outcome.reason == "rejected"
        assert raised.value.outcome.error is not None
        assert raised.value.outcome.error["code"] == "model_not_found"
        assert [letter.reason for letter in broker.dead_letters] == ["rejected"]


@pytest.mark.looptime
async def test_a_refusal_in_a_word_fails_the_first_request_at_once_for_the_upstream_is_the_api() -> None:
    async with (
        MemoryBroker(lambda asked: Said(400, {"error": {"message": "No."}})) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        with pytest.raises(GenerationFailed) as raised:
            await generations.generate(BODY, lane="urgent", timeout_s=5)
        assert raised.value.outcome.reason == "rejected"


@pytest.mark.looptime
async def test_what_fails_for_a_while_is_tried_again() -> None:
    def answer(asked: Asked) -> str | Said | Silence:
        first: dict[int, Said | Silence] = {1: Said(503, ""), 2: Silence("timeout")}
        return first.get(asked.nth, "At last.")

    async with MemoryBroker(answer) as broker, GenerationClient(connection=broker.connection) as generations:
        done = await generations.generate(BODY, lane="urgent", id="a")
        assert (text_of(done), done.attempts, broker.calls_by_id["a"]) == ("At last.", 3, 3)


@pytest.mark.slow
@pytest.mark.looptime
async def test_what_must_wait_longer_is_parked_and_comes_back() -> None:
    def answer(asked: Asked) -> str | Said:
        return Said(503, "", {"retry-after": "30"}) if asked.nth == 1 else "After the break."

    settings = {"retry": {"in_place_max_s": 5}}
    async with (
        MemoryBroker(answer, settings=settings) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        done = await generations.generate(BODY, lane="urgent", id="a")
        assert (text_of(done), done.attempts) == ("After the break.", 2)
        assert len(broker.kafka.committed("generation.failures")) == 1


async def test_outcomes_say_what_calls_cost_by_the_prices_of_the_test() -> None:
    async with MemoryBroker() as broker, GenerationClient(connection=broker.connection) as generations:
        done = await generations.generate(BODY, lane="urgent", template="first-mail")
        assert done.usage is not None
        expected = done.usage.input_tokens * 2 + done.usage.output_tokens * 8
        assert (done.template, done.cost) == ("first-mail", Cost(micro_usd=expected, price_list="memory"))
    off = {"costs": {"enabled": False}}
    async with MemoryBroker(settings=off) as broker, GenerationClient(connection=broker.connection) as generations:
        assert (await generations.generate(BODY, lane="urgent")).cost is None


async def test_after_a_crash_another_dispatcher_answers_once() -> None:
    async with (
        MemoryBroker(latency_s=0.2) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        await generations.generate(BODY, lane="urgent")
        waiting = [asyncio.create_task(generations.generate(BODY, lane="urgent", id=f"r{n}")) for n in range(5)]
        await asyncio.sleep(0.1)
        await broker.crash()
        done = await asyncio.gather(*waiting)
        assert {each.term for each in done} == {2}
        assert sorted(outcome.id for outcome in broker.outcomes)[1:] == [f"r{n}" for n in range(5)]
        assert all(broker.calls_by_id[f"r{n}"] == 2 for n in range(5))


@pytest.mark.looptime
async def test_kafka_can_be_taken_away_and_given_back() -> None:
    async with MemoryBroker() as broker, GenerationClient(connection=broker.connection) as generations:
        await generations.generate(BODY, lane="urgent")
        broker.kafka.stop()
        with pytest.raises(LogUnavailable, match="within 3 s"):
            await generations.submit(BODY, timeout_s=3)
        waiting = asyncio.create_task(generations.generate(BODY, lane="urgent"))
        await asyncio.sleep(5)
        assert not waiting.done()
        broker.kafka.start_again()
        assert (await waiting).status == "completed"


async def test_topics_of_ones_own_and_another_prefix() -> None:
    async with (
        MemoryBroker(topic_prefix="staging.generation", topics=("mine",)) as broker,
        GenerationClient(connection=broker.connection, topic_prefix="staging.generation") as generations,
    ):
        await generations.generate(BODY, lane="urgent")
        async with ResultReader(connection=broker.connection, group=None, topic="mine", follow=False) as reader:
            assert [outcome async for outcome in reader] == []


@pytest.mark.slow
@pytest.mark.looptime
async def test_quotas_lanes_and_deadlines_are_those_of_the_settings() -> None:
    settings = {"limits": {"gpt-4o-mini": {"tokens_per_minute": 60}}, "lanes": {"only": {"order": 1, "deadline_s": 90}}}
    async with MemoryBroker(settings=settings) as broker, GenerationClient(connection=broker.connection) as generations:
        outcomes = await asyncio.gather(
            *(generations.generate(BODY, lane="only") for _ in range(60)), return_exceptions=True
        )
        reasons = {each.outcome.reason for each in outcomes if isinstance(each, GenerationFailed)}
        assert reasons <= {"deadline_unreachable", "deadline_exceeded"}
        assert reasons
        assert any(isinstance(each, Completed) for each in outcomes)


async def test_settings_that_contradict_each_other_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="tokens_per_minute"):
        MemoryBroker(settings={"limits": {"a": {"tokens_per_minute": -1}}})


async def test_an_error_of_the_script_is_raised_at_the_end() -> None:
    def answer(asked: Asked) -> str:
        raise ZeroDivisionError(asked.request_id)

    async def asking() -> None:
        async with MemoryBroker(answer) as broker, GenerationClient(connection=broker.connection) as generations:
            await generations.submit(BODY, lane="urgent")
            await asyncio.sleep(0.2)

    with pytest.raises(ExceptionGroup) as raised:
        await asking()
    assert raised.value.subgroup(ZeroDivisionError)


async def followed(broker: MemoryBroker, request_id: str) -> tuple[list[Told], Completed]:
    async with (
        ChunkReader(connection=broker.connection, ids={request_id}) as chunks,
        GenerationClient(connection=broker.connection) as generations,
    ):
        asking = asyncio.create_task(generations.generate(BODY, lane="urgent", id=request_id, stream=True))
        told = [each async for each in chunks.follow(request_id)]
        return told, await asking


def shown(told: list[Told]) -> list[str]:
    """What a page shows that clears itself whenever an attempt begins, after each of them."""
    pages: list[str] = []
    for each in told:
        if each.begins:
            pages.append("")
        pages[-1] += each.text
    return pages


@pytest.mark.looptime
async def test_a_stream_that_is_cut_begins_anew_and_its_outcome_is_that_of_the_last_attempt() -> None:
    def answer(asked: Asked) -> Said:
        text = f"{asked.nth} Dear Ada, how are you?"
        return Said(body=answer_text(asked, text), after_s=1, cut_after=3 if asked.nth < 3 else None)

    async with MemoryBroker(answer) as broker:
        told, done = await followed(broker, "a")
        assert shown(told) == ["1 Dear Ada, ", "2 Dear Ada, ", "3 Dear Ada, how are you?"]
        assert [each.chunk.final for each in told] == [False] * (len(told) - 1) + [True]
        assert (text_of(done), done.attempts, told[-1].chunk.attempt) == ("3 Dear Ada, how are you?", 3, 3)
        assert done.usage == Usage(input_tokens=10, output_tokens=5, total_tokens=15)
        assert len(broker.outcomes) == 1


@pytest.mark.looptime
async def test_a_stream_whose_dispatcher_dies_is_begun_anew_by_the_next_one() -> None:
    async with MemoryBroker(lambda asked: f"{asked.nth} Dear Ada", latency_s=4) as broker:
        asyncio.get_running_loop().call_later(2.5, lambda: asyncio.ensure_future(broker.crash()))
        told, done = await followed(broker, "a")
        void, whole = shown(told)
        assert "1 Dear Ada".startswith(void)
        assert void != whole == "2 Dear Ada"
        assert told[-1].chunk.term == done.term > told[0].chunk.term


@pytest.mark.looptime
async def test_a_stream_that_is_cancelled_stops_and_has_no_last_chunk() -> None:
    async with (
        MemoryBroker(lambda asked: "a b c d e f g", latency_s=8) as broker,
        ChunkReader(connection=broker.connection) as chunks,
        GenerationClient(connection=broker.connection) as generations,
    ):
        await generations.submit(BODY, lane="urgent", id="a", stream=True)
        first = await anext(chunks)
        await generations.cancel("a")
        asyncio.get_running_loop().call_later(20, chunks.stop)
        rest = [each async for each in chunks]
        assert len(rest) <= 1
        assert not any(each.chunk.final for each in [first, *rest])
