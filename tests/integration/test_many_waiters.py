"""Two thousand callers of `generate` at once on one client: each gets its own outcome, soon after it was published."""

import asyncio
import statistics
import time
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.client import GenerationClient
from headrace.broker.local.services import LocalServices
from headrace.schemas.topics import requests_topic, results_topic
from tests.integration.dispatching import completed, create_topics, publishing

CALLERS = 2_000
A_TRANSACTION = 20
MEDIAN_MAX_S = 0.06
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Grüße"}]}


async def standing(connection: KafkaConnection, topic: str) -> int:
    """How many records a topic has."""
    async with AIOKafkaConsumer(**connection.client_kwargs()) as consumer:
        places = [TopicPartition(topic, number) for number in range(2)]
        return sum((await consumer.end_offsets(places)).values())


@pytest.mark.timed
@pytest.mark.timeout(180)
async def test_two_thousand_callers_wait_on_one_reader(services: LocalServices) -> None:
    connection, prefix = KafkaConnection(services.endpoints.bootstrap_servers), f"many-{uuid.uuid4().hex[:8]}"
    await create_topics(connection, prefix)
    ids = [f"lead-{number}" for number in range(CALLERS)]
    resolved: dict[str, float] = {}

    async def ask(generations: GenerationClient, request_id: str) -> None:
        done = await generations.generate(BODY, lane="bulk", id=request_id)
        assert done.id == request_id
        resolved[request_id] = time.monotonic()

    published: dict[str, float] = {}
    async with (
        GenerationClient(connection=connection, topic_prefix=prefix) as generations,
        publishing(connection, prefix) as publisher,
    ):
        asking = [asyncio.create_task(ask(generations, request_id)) for request_id in ids]
        async with asyncio.timeout(60):
            while await standing(connection, requests_topic(prefix, "bulk")) < CALLERS:
                await asyncio.sleep(0.2)
        assert not resolved
        for begin in range(0, CALLERS, A_TRANSACTION):
            batch = ids[begin : begin + A_TRANSACTION]
            await publisher.publish(results_topic(prefix), [completed(request_id) for request_id in batch])
            published |= dict.fromkeys(batch, time.monotonic())
            await asyncio.sleep(0.02)
        await asyncio.gather(*asking)
    waits = [max(0.0, resolved[request_id] - published[request_id]) for request_id in ids]
    quantiles = statistics.quantiles(waits, n=20)
    print({"median_ms": round(statistics.median(waits) * 1e3, 1), "p95_ms": round(quantiles[-1] * 1e3, 1)})
    assert statistics.median(waits) <= MEDIAN_MAX_S
