"""A Kafka that goes away and comes back under a producer, a reader and a wait. It brings a pair of its own."""

import asyncio
import os
import signal
import uuid
from collections.abc import Iterator

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.client import GenerationClient
from headrace.broker.errors import LogUnavailable
from headrace.broker.local.services import LocalServices
from headrace.consumers.results import ResultReader
from headrace.schemas.topics import results_topic
from tests.integration.dispatching import completed, create_topics, publishing

BODY = {"model": "gpt-4o-mini", "messages": []}


@pytest.fixture(scope="module")
def pair() -> Iterator[LocalServices]:
    """For both tests: the first one leaves its Kafka running, the second one does not."""
    with LocalServices() as started:
        yield started


@pytest.fixture
def connection(pair: LocalServices) -> KafkaConnection:
    return KafkaConnection(pair.endpoints.bootstrap_servers)


@pytest.fixture
async def prefix(connection: KafkaConnection) -> str:
    named = f"outage-{uuid.uuid4().hex[:8]}"
    await create_topics(connection, named)
    return named


async def read(reader: ResultReader, count: int) -> list[str]:
    return [(await anext(reader)).id for _ in range(count)]


async def test_a_restart_costs_a_reader_a_producer_and_a_wait_nothing_but_time(
    pair: LocalServices, connection: KafkaConnection, prefix: str
) -> None:
    before, after = [f"before-{n}" for n in range(20)], [f"after-{n}" for n in range(20)]
    async with (
        ResultReader(connection.bootstrap_servers, group="mailer", topic_prefix=prefix) as results,
        GenerationClient(connection.bootstrap_servers, topic_prefix=prefix) as generations,
    ):
        async with publishing(connection, prefix) as dispatcher:
            await dispatcher.publish(results_topic(prefix), [completed(one) for one in before])
            assert sorted(await read(results, 20)) == sorted(before)
        waiting = asyncio.create_task(generations.generate(BODY, id="after-7", timeout_s=120))
        await generations.submit(BODY, id="early")
        restarting = asyncio.create_task(pair.restart_kafka())
        receipt = await generations.submit(BODY, id="meanwhile", timeout_s=90)
        await restarting
        assert receipt.id == "meanwhile"
        async with publishing(connection, prefix) as dispatcher:
            await dispatcher.publish(results_topic(prefix), [completed(one) for one in after])
        assert sorted(await read(results, 20)) == sorted(after)
        assert (await waiting).id == "after-7"
    async with ResultReader(connection.bootstrap_servers, group="mailer", topic_prefix=prefix, follow=False) as results:
        assert len([outcome async for outcome in results]) == 1  # the one in hand, whose successor nobody asked for


async def test_a_dead_kafka_hangs_neither_a_submit_nor_a_close(
    pair: LocalServices, connection: KafkaConnection, prefix: str
) -> None:
    loop = asyncio.get_running_loop()
    async with GenerationClient(connection.bootstrap_servers, topic_prefix=prefix) as generations:
        await generations.submit(BODY)
        results = ResultReader(connection.bootstrap_servers, group="mailer", topic_prefix=prefix)
        await results.open()
        os.kill(pair.kafka_pid, signal.SIGKILL)
        begun = loop.time()
        with pytest.raises(LogUnavailable, match="within 2 s"):
            await generations.submit(BODY, timeout_s=2)
        assert loop.time() - begun < 10
        begun = loop.time()
        await results.close()
    assert loop.time() - begun < 25
