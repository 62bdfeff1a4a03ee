"""What a producer and a consumer see, on a real Kafka."""

import asyncio
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.cluster import ClusterMetadata

from headrace.broker.adapters.kafka import submit
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.client import GenerationClient, Submission, submission
from headrace.broker.errors import (
    Disconnected,
    GenerationFailed,
    InvalidRequest,
    LogUnavailable,
    MissingTopic,
    NotSubmitted,
    OutcomeUnreadable,
    WaitTimedOut,
)
from headrace.broker.local.services import LocalServices
from headrace.consumers.results import ResultReader
from headrace.schemas.codec import encode_outcome
from headrace.schemas.outcome import Completed, Failed, FailureReason
from headrace.schemas.record import Record
from headrace.schemas.request_codec import DecodedRequest, decode_request
from headrace.schemas.topics import requests_topic, results_topic
from tests.integration.dispatching import completed, create_topics, publishing
from tests.integration.kafka_world import append_batch
from tests.unit.adapters.raw_batches import batch, one

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Grüße"}]}


@pytest.fixture
def connection(services: LocalServices) -> KafkaConnection:
    return KafkaConnection(services.endpoints.bootstrap_servers)


@pytest.fixture
async def prefix(connection: KafkaConnection) -> str:
    named = f"client-{uuid.uuid4().hex[:8]}"
    await create_topics(connection, named)
    return named


async def taken(connection: KafkaConnection, topic: str, count: int) -> list[tuple[bytes | None, DecodedRequest]]:
    consumer = AIOKafkaConsumer(topic, auto_offset_reset="earliest", **connection.client_kwargs())
    await consumer.start()
    try:
        records = [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()
    decoded = [(record.key, decode_request(record.value, record.headers)) for record in records]
    return [(key, request) for key, request in decoded if isinstance(request, DecodedRequest)]


async def test_a_submitted_request_stands_in_its_lane_as_it_was_asked(connection: KafkaConnection, prefix: str) -> None:
    deadline = datetime(2100, 1, 1, tzinfo=UTC)
    async with GenerationClient(connection.bootstrap_servers, topic_prefix=prefix) as generations:
        receipt = await generations.submit(
            BODY,
            lane="urgent",
            tenant="acme",
            id="lead-1",
            deadline=deadline,
            stream=True,
            template="first-touch",
            metadata={"lead": 1},
            reply_to="acme.answers",
        )
    assert (receipt.id, receipt.lane, receipt.offset) == ("lead-1", "urgent", 0)
    assert abs(datetime.now(UTC) - receipt.submitted_at) < timedelta(minutes=1)
    [(key, decoded)] = await taken(connection, receipt.topic, 1)
    assert key == b"acme"
    assert decoded.request.body == BODY
    assert decoded.request.model_dump(exclude={"body"}) == {
        "id": "lead-1",
        "endpoint": "chat.completions",
        "tenant": "acme",
        "deadline": "2100-01-01T00:00:00.000Z",
        "stream": True,
        "reply_to": "acme.answers",
        "template": "first-touch",
        "metadata": {"lead": 1},
    }


async def test_one_ordering_key_keeps_its_order_and_goes_before_the_tenant(
    connection: KafkaConnection, prefix: str
) -> None:
    async def leads() -> asyncio.Queue[Submission]:
        queue: asyncio.Queue[Submission] = asyncio.Queue()
        for number in range(300):
            fields = {"id": f"lead-{number}", "body": BODY, "tenant": "acme"}
            queue.put_nowait(submission(fields, lane="bulk", ordering_key="thread-7"))
        return queue

    queue = await leads()
    submissions = [queue.get_nowait() for _ in range(queue.qsize())]
    async with GenerationClient(connection.bootstrap_servers, topic_prefix=prefix) as generations:
        receipts = [receipt async for receipt in generations.submit_many(submissions, in_flight_max=50)]
    assert [receipt.id for receipt in receipts] == [f"lead-{number}" for number in range(300)]
    assert [receipt.offset for receipt in receipts] == list(range(300))
    requests = await taken(connection, requests_topic(prefix, "bulk"), 300)
    assert {key for key, _ in requests} == {b"thread-7"}
    assert [decoded.request.id for _, decoded in requests] == [receipt.id for receipt in receipts]
    assert requests[0][1].ordering_key == "thread-7"


async def test_an_id_is_made_where_none_is_given(connection: KafkaConnection, prefix: str) -> None:
    async with GenerationClient(connection.bootstrap_servers, topic_prefix=prefix) as generations:
        first, second = await generations.submit(BODY), await generations.submit(BODY)
    assert first.lane == "standard"
    assert uuid.UUID(first.id).version == 7
    assert first.id < second.id


async def test_a_lane_without_a_topic_is_named(connection: KafkaConnection, prefix: str) -> None:
    async with GenerationClient(connection.bootstrap_servers, topic_prefix=prefix) as generations:
        with pytest.raises(NotSubmitted, match=r"no lane express.*headrace topics create"):
            await generations.submit(BODY, lane="express")
        assert (await generations.submit(BODY)).lane == "standard"


async def test_without_kafka_submit_gives_up_in_time_and_says_where_it_looked() -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with GenerationClient("127.0.0.1:1") as generations:
        with pytest.raises(LogUnavailable, match=r"within 0\.5 s.*No Kafka listens at 127\.0\.0\.1:1"):
            await generations.submit(BODY, timeout_s=0.5)
        with pytest.raises(LogUnavailable):
            await generations.generate(BODY, timeout_s=0.5)
    assert loop.time() - begun < 10


async def test_a_partition_without_a_leader_costs_a_submission_nothing_but_time(
    connection: KafkaConnection, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "_REQUEST_MS", 1_000)
    async with GenerationClient(connection.bootstrap_servers, topic_prefix=prefix) as generations:
        await generations.submit(BODY)
        with monkeypatch.context() as after_a_restart:
            after_a_restart.setattr(ClusterMetadata, "leader_for_partition", lambda *_: -1)
            submitting = asyncio.create_task(generations.submit(BODY, id="lead-1"))
            await asyncio.sleep(1.5)  # a batch older than a request's time would be given up
            assert not submitting.done()
        assert (await submitting).id == "lead-1"


async def test_nothing_is_sent_of_a_request_that_is_invalid() -> None:
    async with GenerationClient("127.0.0.1:1") as generations:
        with pytest.raises(InvalidRequest, match="extra_headers"):
            await generations.submit({**BODY, "extra_headers": {"Authorization": "x"}})


async def test_generate_returns_the_outcome_of_its_own_id(connection: KafkaConnection, prefix: str) -> None:
    async with (
        GenerationClient(connection.bootstrap_servers, topic_prefix=prefix) as generations,
        publishing(connection, prefix) as dispatcher,
    ):
        waiting = asyncio.create_task(generations.generate(BODY, id="lead-1", lane="urgent", timeout_s=60))
        await taken(connection, requests_topic(prefix, "urgent"), 1)
        await dispatcher.publish(results_topic(prefix), [completed("lead-1", text="aborted")], commit=False)
        await dispatcher.publish(results_topic(prefix), [completed("lead-2"), completed("lead-1", text="mine")])
        outcome = await waiting
    assert outcome.response["choices"][0]["message"]["content"] == "mine"


async def test_generate_raises_with_the_outcome_of_a_failure(connection: KafkaConnection, prefix: str) -> None:
    failed = Failed(id="lead-1", reason=FailureReason.REJECTED, message="No such model.", error={"code": "x"})
    async with (
        GenerationClient(connection.bootstrap_servers, topic_prefix=prefix) as generations,
        publishing(connection, prefix) as dispatcher,
    ):
        waiting = asyncio.create_task(generations.generate(BODY, id="lead-1", timeout_s=60))
        await taken(connection, requests_topic(prefix, "standard"), 1)
        await dispatcher.publish(results_topic(prefix), [failed])
        with pytest.raises(GenerationFailed, match=r"lead-1 failed \(rejected\): No such model") as raised:
            await waiting
    assert raised.value.outcome.error == {"code": "x"}


async def test_generate_says_that_an_outcome_cannot_be_read(connection: KafkaConnection, prefix: str) -> None:
    async with GenerationClient(connection.bootstrap_servers, topic_prefix=prefix) as generations:
        waiting = asyncio.create_task(generations.generate(BODY, id="lead-1", timeout_s=60))
        await taken(connection, requests_topic(prefix, "standard"), 1)
        record = encode_outcome(completed("lead-1"), time=datetime.now(UTC))
        producer = AIOKafkaProducer(**connection.client_kwargs())
        await producer.start()
        await producer.send_and_wait(results_topic(prefix), b"{", key=record.key, headers=list(record.headers))
        await producer.stop()
        with pytest.raises(OutcomeUnreadable, match="lead-1: The request is completed, but its outcome cannot be read"):
            await waiting
        with pytest.raises(OutcomeUnreadable):  # it is read back
            await generations.generate(BODY, id="lead-1", timeout_s=60)


async def test_a_client_whose_reader_of_the_results_breaks_says_so(connection: KafkaConnection, prefix: str) -> None:
    async with GenerationClient(connection=connection, topic_prefix=prefix) as generations:
        waiting = asyncio.create_task(generations.generate(BODY, timeout_s=60))
        await taken(connection, requests_topic(prefix, "standard"), 1)
        broken = batch(0, [one(b"{}", headers=[(b"\xff", b"")])])
        await append_batch(connection, results_topic(prefix), 0, broken)
        with pytest.raises(Disconnected, match="ask again with the same id"):
            await waiting
        waiting = asyncio.create_task(generations.generate(BODY, id="lead-1", timeout_s=60))
        await taken(connection, requests_topic(prefix, "standard"), 2)
        async with publishing(connection, prefix) as dispatcher:
            await dispatcher.publish(results_topic(prefix), [completed("lead-1")])
        assert (await waiting).id == "lead-1"


async def test_generate_finds_the_answer_an_id_got_before(connection: KafkaConnection, prefix: str) -> None:
    async with publishing(connection, prefix) as dispatcher:
        await dispatcher.publish(
            results_topic(prefix),
            [Failed(id="lead-1", reason="rejected"), *(completed(f"other-{number}") for number in range(50))],
        )
        await dispatcher.publish(results_topic(prefix), [completed("lead-1", run=1, text="replayed")])
    async with GenerationClient(connection.bootstrap_servers, topic_prefix=prefix) as generations:
        outcome = await generations.generate(BODY, id="lead-1", timeout_s=60)
    assert outcome.run == 1


async def test_generate_says_that_the_request_goes_on_when_its_time_is_over(
    connection: KafkaConnection, prefix: str
) -> None:
    async with GenerationClient(connection.bootstrap_servers, topic_prefix=prefix) as generations:
        with pytest.raises(WaitTimedOut, match="ask again with the same id"):
            await generations.generate(BODY, id="lead-1", timeout_s=1)
    assert len(await taken(connection, requests_topic(prefix, "standard"), 1)) == 1


async def read(reader: ResultReader, count: int) -> list[str]:
    ids = []
    async for outcome in reader:
        ids.append(outcome.id)
        if len(ids) == count:
            break
    return ids


async def test_a_reader_sees_committed_outcomes_once_and_skips_what_is_none(
    connection: KafkaConnection, prefix: str
) -> None:
    topic = results_topic(prefix)
    async with publishing(connection, prefix) as dispatcher:
        await dispatcher.publish(topic, [completed("aborted")], commit=False)
        await dispatcher.publish(topic, [Record(b"x", b"\xff not JSON"), Record(b"y", None)])
        await dispatcher.publish(topic, [completed("a"), Failed(id="b", reason="from_the_future")])
        await dispatcher.publish(topic, [completed("a"), completed("a", run=1)])
    async with ResultReader(connection.bootstrap_servers, group="mailer", topic_prefix=prefix, follow=False) as results:
        outcomes = [outcome async for outcome in results]
    assert sorted((outcome.id, outcome.run, outcome.status) for outcome in outcomes) == [
        ("a", 0, "completed"),
        ("a", 1, "completed"),
        ("b", 0, "failed"),
    ]
    assert [outcome.reason for outcome in outcomes if isinstance(outcome, Failed)] == ["from_the_future"]
    assert (results.undecodable, results.duplicates) == (2, 1)
    assert all(outcome.response for outcome in outcomes if isinstance(outcome, Completed))


async def test_a_group_goes_on_behind_the_last_outcome_whose_successor_was_asked_for(
    connection: KafkaConnection, prefix: str
) -> None:
    ids = [f"lead-{number}" for number in range(40)]
    async with publishing(connection, prefix) as dispatcher:
        await dispatcher.publish(results_topic(prefix), [completed(request_id) for request_id in ids])
    async with ResultReader(connection.bootstrap_servers, group="mailer", topic_prefix=prefix) as results:
        first = await read(results, 10)
    async with ResultReader(connection.bootstrap_servers, group="mailer", topic_prefix=prefix, follow=False) as results:
        rest = [outcome.id async for outcome in results]
    assert set(first) | set(rest) == set(ids)
    assert set(first) & set(rest) == {first[-1]}
    assert len(rest) == 31


async def test_a_body_that_fails_gets_its_outcome_again(connection: KafkaConnection, prefix: str) -> None:
    async def fail_on_the_first() -> None:
        async with ResultReader(connection.bootstrap_servers, group="mailer", topic_prefix=prefix) as results:
            async for outcome in results:
                raise LookupError(outcome.id)

    async with publishing(connection, prefix) as dispatcher:
        await dispatcher.publish(results_topic(prefix), [completed("lead-1")])
    for _ in range(2):
        with pytest.raises(LookupError, match="lead-1"):
            await fail_on_the_first()


async def test_latest_misses_nothing_published_after_the_reader_was_first_open(
    connection: KafkaConnection, prefix: str
) -> None:
    async with publishing(connection, prefix) as dispatcher:
        await dispatcher.publish(results_topic(prefix), [completed("before")])
        async with ResultReader(
            connection.bootstrap_servers, group="mailer", topic_prefix=prefix, start="latest", follow=False
        ) as results:
            assert [outcome.id async for outcome in results] == []
        await dispatcher.publish(results_topic(prefix), [completed("while away")])
    async with ResultReader(
        connection.bootstrap_servers, group="mailer", topic_prefix=prefix, start="latest"
    ) as results:
        assert await read(results, 1) == ["while away"]


async def test_a_reader_may_start_at_an_instant(connection: KafkaConnection, prefix: str) -> None:
    async with publishing(connection, prefix) as dispatcher:
        await dispatcher.publish(results_topic(prefix), [completed("old")])
        async with ResultReader(
            connection.bootstrap_servers, group=None, topic_prefix=prefix, start=datetime.now(UTC)
        ) as results:
            await dispatcher.publish(results_topic(prefix), [completed("new")])
            assert await read(results, 1) == ["new"]


async def test_members_of_a_group_share_the_outcomes_when_one_joins_later(
    connection: KafkaConnection, prefix: str
) -> None:
    ids = {f"lead-{number}" for number in range(200)}
    seen: list[str] = []
    everything = asyncio.Event()

    async def member() -> None:
        async with ResultReader(connection.bootstrap_servers, group="mailer", topic_prefix=prefix) as results:
            async for outcome in results:
                seen.append(outcome.id)
                if ids <= set(seen):
                    everything.set()

    async with publishing(connection, prefix) as dispatcher, asyncio.TaskGroup() as members:
        first = members.create_task(member())
        await dispatcher.publish(results_topic(prefix), [completed(request_id) for request_id in sorted(ids)[:100]])
        second = members.create_task(member())
        await dispatcher.publish(results_topic(prefix), [completed(request_id) for request_id in sorted(ids)[100:]])
        await everything.wait()
        first.cancel()
        second.cancel()
    assert set(seen) == ids


async def test_a_reply_topic_is_read_like_the_results(connection: KafkaConnection, prefix: str) -> None:
    async with publishing(connection, prefix) as dispatcher:
        await dispatcher.publish(f"{prefix}.control", [completed("copy")])
    async with ResultReader(
        connection.bootstrap_servers, group="mailer", topic=f"{prefix}.control", follow=False
    ) as results:
        assert [outcome.id async for outcome in results] == ["copy"]


async def test_a_missing_results_topic_names_the_command_that_creates_it(connection: KafkaConnection) -> None:
    with pytest.raises(MissingTopic, match="headrace topics create"):
        async with ResultReader(connection.bootstrap_servers, group="mailer", topic_prefix="nowhere"):
            pass


def test_producers_and_readers_load_neither_openai_nor_tiktoken_nor_redis() -> None:
    program = (
        "import sys, headrace.broker.client, headrace.consumers.results\n"
        "print([name for name in ('openai', 'tiktoken', 'redis', 'prometheus_client', 'typer', 'rich', 'aiohttp')"
        " if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert loaded.stdout.strip() == "[]"
