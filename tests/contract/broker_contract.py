"""What a producer and a reader see of a Headrace: run on the one in memory, and on real processes, Kafka and Redis.

Every id is new to the broker, so the tests may share one: each looks only at what it asked for itself.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Protocol

import pytest

from headrace.broker.adapters.kafka.client import client_doors
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.client import GenerationClient
from headrace.broker.client_ports import ClientDoors
from headrace.broker.errors import (
    GenerationFailed,
    IdConflict,
    InvalidRequest,
    MissingTopic,
    NotSubmitted,
    WaitTimedOut,
)
from headrace.consumers.chunks import ChunkReader
from headrace.consumers.dead_letters import DeadLetterReader, Found
from headrace.consumers.results import ResultReader
from headrace.schemas.ids import request_digest
from headrace.schemas.outcome import Failed, Outcome
from headrace.schemas.replay_codec import new_id_of
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import encode_request

BODY: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Grüße an 世界"}]}
WITHIN_S = 30


def said(response: dict[str, Any]) -> str:
    """The text of an answer."""
    if "output" in response:
        return str(response["output"][0]["content"][0]["text"])
    return str(response["choices"][0]["message"]["content"])


class BrokerWorld(Protocol):
    """A Headrace that runs, all of whose calls succeed."""

    connection: KafkaConnection | ClientDoors
    prefix: str

    async def calls(self) -> int:
        """How many calls its OpenAI has had."""


class BrokerContract:
    """The suite; whoever inherits it has a fixture `world`."""

    numbers = count()
    patience_s = 0.2
    """How long a test waits for what does not come."""

    def new_id(self) -> str:
        return f"lead-{uuid.uuid4().hex[:8]}-{next(self.numbers)}"

    def client(self, world: BrokerWorld) -> GenerationClient:
        return GenerationClient(connection=world.connection, topic_prefix=world.prefix)

    def reader(self, world: BrokerWorld, group: str | None, **options: Any) -> ResultReader:
        return ResultReader(connection=world.connection, topic_prefix=world.prefix, group=group, **options)

    def letters(self, world: BrokerWorld, **options: Any) -> DeadLetterReader:
        return DeadLetterReader(connection=world.connection, topic_prefix=world.prefix, **options)

    # ------------------------------------------------------------------ asking

    async def test_what_was_asked_comes_back_with_the_outcome(self, world: BrokerWorld) -> None:
        request_id = self.new_id()
        async with self.client(world) as generations:
            receipt = await generations.submit(
                BODY, lane="urgent", tenant="acme", id=request_id, template="first-touch", metadata={"lead": 7}
            )
            done = await generations.generate(BODY, lane="urgent", tenant="acme", id=request_id)
        assert (receipt.id, receipt.lane, receipt.topic) == (request_id, "urgent", f"{world.prefix}.requests.urgent")
        assert (done.id, done.run, done.status) == (request_id, 0, "completed")
        assert (done.lane, done.tenant, done.metadata, done.attempts) == ("urgent", "acme", {"lead": 7}, 1)
        assert done.response["choices"][0]["message"]["content"]
        assert done.usage is not None
        assert done.usage.input_tokens > 0
        assert done.timings.submitted_at == receipt.submitted_at

    @pytest.mark.parametrize(
        ("endpoint", "body", "answered"),
        [
            ("chat.completions", BODY, lambda said: said["choices"][0]["message"]["content"]),
            ("responses", {"model": "gpt-4o-mini", "input": "Hello"}, lambda said: said["output"][0]["content"]),
            (
                "embeddings",
                {"model": "text-embedding-3-small", "input": ["one", "two"]},
                lambda said: len(said["data"]) == 2,
            ),
        ],
    )
    async def test_every_endpoint_answers_in_its_own_shape(
        self, world: BrokerWorld, endpoint: str, body: dict[str, Any], answered: Callable[[dict[str, Any]], Any]
    ) -> None:
        async with self.client(world) as generations:
            done = await generations.generate(body, endpoint=endpoint, lane="urgent")
        assert done.endpoint == endpoint
        assert answered(done.response)

    @pytest.mark.parametrize(
        ("endpoint", "body"),
        [("chat.completions", BODY), ("responses", {"model": "gpt-4o-mini", "input": "Grüße an 世界"})],
    )
    async def test_a_stream_is_heard_as_it_comes_and_its_outcome_is_whole(
        self, world: BrokerWorld, endpoint: str, body: dict[str, Any]
    ) -> None:
        request_id = self.new_id()
        async with (
            ChunkReader(connection=world.connection, topic_prefix=world.prefix, ids={request_id}) as chunks,
            self.client(world) as generations,
        ):
            asking = asyncio.create_task(
                generations.generate(body, endpoint=endpoint, lane="urgent", id=request_id, stream=True)
            )
            async with asyncio.timeout(WITHIN_S):
                told = [each async for each in chunks.follow(request_id)]
            done = await asking
        assert "".join(each.text for each in told) == said(done.response)
        assert {each.attempt for each in told} == {(0, done.term, done.attempts)}
        assert (told[0].begins, [each.missing for each in told]) == (True, [0] * len(told))
        assert done.usage is not None
        assert done.usage.output_tokens > 0

    async def test_an_embedding_is_not_streamed(self, world: BrokerWorld) -> None:
        async with self.client(world) as generations:
            with pytest.raises(InvalidRequest, match="embeddings cannot be streamed"):
                await generations.generate(
                    {"model": "text-embedding-3-small", "input": "x"}, endpoint="embeddings", stream=True
                )

    async def test_an_id_asked_twice_costs_one_call_and_has_one_outcome(self, world: BrokerWorld) -> None:
        request_id = self.new_id()
        async with self.client(world) as generations:
            before = await world.calls()
            first = await generations.generate(BODY, lane="urgent", id=request_id)
            again = await generations.generate(BODY, lane="bulk", id=request_id)
            assert again == first
            assert await world.calls() == before + 1
            assert await self.seen_by_all(world, request_id) == [first]

    @pytest.mark.parametrize(
        ("other", "differs"),
        [
            ({"body": {**BODY, "temperature": 0}, "tenant": "acme"}, ("body",)),
            ({"body": BODY, "tenant": "zenith"}, ("tenant",)),
            ({"body": {**BODY, "temperature": 0}, "tenant": "zenith"}, ("tenant", "body")),
            ({"body": BODY, "tenant": None, "endpoint": "responses"}, ("tenant", "endpoint")),
        ],
    )
    async def test_the_sender_of_another_request_under_a_known_id_learns_of_it_and_not_the_answer(
        self, world: BrokerWorld, other: dict[str, Any], differs: tuple[str, ...]
    ) -> None:
        request_id = self.new_id()
        async with self.client(world) as generations:
            first = await generations.generate(BODY, lane="urgent", id=request_id, tenant="acme")
            called = await world.calls()
            with pytest.raises(IdConflict) as raised:
                await generations.generate(**other, lane="urgent", id=request_id)
            found = await self.letter_of(world, request_id)
            assert await generations.generate(BODY, lane="urgent", id=request_id, tenant="acme") == first
            assert await world.calls() == called
        assert raised.value.request_id == request_id
        assert raised.value.differs in {(), differs}
        assert "choose a new id" in str(raised.value)
        assert found.letter.reason == "id_conflict"
        assert await self.seen_by_all(world, request_id) == [first]
        (told,) = [each async for each in self.conflicts_of(world, request_id)]
        assert told.id == new_id_of(request_id, found.letter.origin)
        assert (told.run, told.reason, told.tenant) == (0, "id_conflict", other["tenant"])
        endpoint = other.get("endpoint", "chat.completions")
        assert told.request_digest == request_digest(endpoint, other["body"])
        assert first.request_digest == request_digest("chat.completions", BODY)
        assert said(first.response) not in told.model_dump_json()

    async def test_what_cannot_be_served_fails_and_leaves_a_dead_letter_as_it_came(self, world: BrokerWorld) -> None:
        request_id = self.new_id()
        found = await self.too_late(world, request_id)
        [failed] = await self.seen_by_all(world, request_id)
        assert isinstance(failed, Failed)
        assert (failed.id, failed.reason, failed.lane) == (request_id, "deadline_exceeded", "urgent")
        assert found.letter.reason == "deadline_exceeded"
        assert found.letter.origin.topic == f"{world.prefix}.requests.urgent"
        assert found.original().tenant == "acme"
        assert request_id.encode() in (found.letter.value or b"")

    async def test_a_lane_that_does_not_exist_takes_nothing(self, world: BrokerWorld) -> None:
        async with self.client(world) as generations:
            with pytest.raises(NotSubmitted, match="no lane express"):
                await generations.submit(BODY, lane="express", timeout_s=5)

    async def test_what_is_too_large_for_a_topic_is_refused_before_it_is_sent(self, world: BrokerWorld) -> None:
        large = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x" * 1_200_000}]}
        async with self.client(world) as generations:
            with pytest.raises(InvalidRequest):
                await generations.submit(large, lane="bulk", timeout_s=5)

    async def test_who_waits_too_shortly_may_ask_again_with_the_same_id(self, world: BrokerWorld) -> None:
        request_id = self.new_id()
        async with self.client(world) as generations:
            with pytest.raises(WaitTimedOut):
                await generations.outcome_of_cancelled(self.new_id(), timeout_s=self.patience_s)
            done = await generations.generate(BODY, lane="urgent", id=request_id)
            assert await generations.generate(BODY, id=request_id) == done

    async def test_a_cancel_that_came_first_answers_what_comes_after_it(self, world: BrokerWorld) -> None:
        request_id = self.new_id()
        async with self.client(world) as generations:
            before = await world.calls()
            receipt = await generations.cancel(request_id)
            assert (receipt.id, receipt.topic) == (request_id, f"{world.prefix}.control")
            await self.until_taken(world, generations)
            with pytest.raises(GenerationFailed) as raised:
                await generations.generate(BODY, lane="urgent", id=request_id)
            assert raised.value.outcome.reason == "cancelled"
            assert await world.calls() == before + 1  # the one that was waited with

    async def test_hundreds_may_wait_at_once_on_one_client(self, world: BrokerWorld) -> None:
        async with self.client(world) as generations:
            ids = [self.new_id() for _ in range(300)]
            async with asyncio.timeout(WITHIN_S):
                done = await asyncio.gather(
                    *(generations.generate(BODY, lane="standard", id=request_id) for request_id in ids)
                )
        assert [each.id for each in done] == ids

    # ------------------------------------------------------------------ reading

    async def test_a_group_goes_on_where_it_was_and_gets_again_what_was_in_hand(self, world: BrokerWorld) -> None:
        group = self.new_id()
        asked = await self.answered(world, 6)
        async with self.reader(world, group) as results:
            first = await self.taken(results, asked, 3)
        async with self.reader(world, group) as results:
            then = await self.taken(results, asked, 4)
        assert first[-1] in then, "the loop had not asked for the next one, so it was in hand"
        assert {each.id for each in first[:-1]} | {each.id for each in then} == set(asked)

    async def test_a_loop_body_that_raises_gets_its_outcome_again(self, world: BrokerWorld) -> None:
        group = self.new_id()
        asked = await self.answered(world, 2)
        tried: list[str] = []

        async def handle() -> None:
            async with self.reader(world, group) as results:
                async for outcome in results:
                    if outcome.id in asked:
                        tried.append(outcome.id)
                        raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await handle()
        async with self.reader(world, group) as results:
            then = await self.taken(results, asked, 2)
        assert tried[0] in {each.id for each in then}

    async def test_members_of_a_group_share_the_outcomes(self, world: BrokerWorld) -> None:
        group = self.new_id()
        async with self.reader(world, group) as one, self.reader(world, group) as other:
            arrived: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
            reading = [asyncio.create_task(self.collect(*each, arrived)) for each in (("one", one), ("other", other))]
            asked = set(await self.answered(world, 40))
            got: list[tuple[str, str]] = []
            async with asyncio.timeout(WITHIN_S):
                while not asked <= {request_id for _, request_id in got}:
                    got.append(await arrived.get())
            for task in reading:
                task.cancel()
            await asyncio.wait(reading)
        mine, yours = ({each for who, each in got if who == name} & asked for name in ("one", "other"))
        assert not mine & yours
        assert mine
        assert yours

    async def test_a_reader_without_a_group_sees_everything_each_time(self, world: BrokerWorld) -> None:
        asked = await self.answered(world, 3)
        for _ in range(2):
            async with self.reader(world, None, follow=False) as results:
                seen = [outcome.id async for outcome in results if outcome.id in asked]
            assert sorted(seen) == sorted(asked)

    async def test_latest_delivers_what_is_published_from_now_on(self, world: BrokerWorld) -> None:
        before = await self.answered(world, 3)
        async with self.reader(world, self.new_id(), start="latest") as results:
            after = await self.answered(world, 3)
            seen = await self.taken(results, before + after, 3)
        assert {outcome.id for outcome in seen} == set(after)

    async def test_a_time_delivers_what_was_published_since(self, world: BrokerWorld) -> None:
        before = await self.answered(world, 2)
        await asyncio.sleep(0.05)
        since = datetime.now(UTC)
        await asyncio.sleep(0.05)
        after = await self.answered(world, 2)
        async with self.reader(world, None, start=since, follow=False) as results:
            seen = [outcome.id async for outcome in results if outcome.id in before + after]
        assert sorted(seen) == sorted(after)

    async def test_a_topic_that_is_missing_is_named_at_the_start(self, world: BrokerWorld) -> None:
        for group in (None, self.new_id()):
            with pytest.raises(MissingTopic, match="no-such-topic"):
                async with asyncio.timeout(WITHIN_S):
                    await self.reader(world, group, topic="no-such-topic").open()

    async def test_dead_letters_are_found_by_time_and_by_place(self, world: BrokerWorld) -> None:
        request_id = self.new_id()
        begun = datetime.now(UTC) - timedelta(minutes=5)
        found = await self.too_late(world, request_id)
        async with self.letters(world, since=begun) as letters:
            assert request_id in [each.original().id async for each in letters]
            assert letters.offsets_done == letters.offsets
        async with self.letters(world, since=found.written_at + timedelta(hours=1)) as letters:
            assert request_id not in [each.original().id async for each in letters]
        async with self.letters(world) as letters:
            assert await letters.at(found.place.partition, found.place.offset) == found
            assert await letters.at(found.place.partition, found.place.offset + 1_000_000) is None
            assert await letters.at(99, 0) is None

    # ------------------------------------------------------------------ helpers

    async def answered(self, world: BrokerWorld, number: int) -> list[str]:
        ids = [self.new_id() for _ in range(number)]
        async with self.client(world) as generations, asyncio.timeout(WITHIN_S):
            await asyncio.gather(*(generations.generate(BODY, lane="urgent", id=request_id) for request_id in ids))
        return ids

    async def taken(self, results: ResultReader, asked: list[str], number: int) -> list[Outcome]:
        """The next so many of those; the last of them stays in hand."""
        got: list[Outcome] = []
        async with asyncio.timeout(WITHIN_S):
            async for outcome in results:
                if outcome.id in asked:
                    got.append(outcome)
                if len(got) == number:
                    return got
        raise AssertionError("the reader ended")

    async def collect(self, who: str, results: ResultReader, arrived: "asyncio.Queue[tuple[str, str]]") -> None:
        async for outcome in results:
            arrived.put_nowait((who, outcome.id))

    async def all_of(self, world: BrokerWorld, ids: list[str]) -> AsyncIterator[Outcome]:
        async with self.reader(world, None, follow=False) as results:
            async for outcome in results:
                if outcome.id in ids:
                    yield outcome

    async def conflicts_of(self, world: BrokerWorld, request_id: str) -> AsyncIterator[Failed]:
        """The outcomes of requests that were sent with an id which is another's."""
        async with self.reader(world, None, follow=False) as results:
            async for outcome in results:
                if isinstance(outcome, Failed) and outcome.submitted_id == request_id:
                    yield outcome

    async def seen_by_all(self, world: BrokerWorld, request_id: str) -> list[Outcome]:
        return [outcome async for outcome in self.all_of(world, [request_id])]

    async def too_late(self, world: BrokerWorld, request_id: str) -> Found:
        """The dead letter of a request whose deadline had passed, from a producer that does not check as ours does."""
        gone = datetime.now(UTC) - timedelta(days=30)
        async with self.client(world) as generations:
            with pytest.raises(InvalidRequest, match="has passed"):
                await generations.submit(BODY, lane="urgent", id=request_id, tenant="acme", deadline=gone)
        request = GenerationRequest(id=request_id, body=BODY, tenant="acme", deadline=gone)
        record = encode_request(request, source="another.producer", time=datetime.now(UTC))
        log = client_doors("", world.connection).submissions()
        try:
            await log.append(f"{world.prefix}.requests.urgent", record, timeout_s=WITHIN_S)
        finally:
            await log.close()
        return await self.letter_of(world, request_id)

    async def letter_of(self, world: BrokerWorld, request_id: str) -> Found:
        async with asyncio.timeout(WITHIN_S):
            while True:
                async with self.letters(world) as letters:
                    async for found in letters:
                        if found.original().id == request_id:
                            return found
                await asyncio.sleep(0.1)

    async def until_taken(self, world: BrokerWorld, generations: GenerationClient) -> None:
        """A cancel is read beside the lanes: a request that is answered after it was sent shows that it was taken."""
        await generations.generate(BODY, lane="urgent")
        await asyncio.sleep(0.5)
