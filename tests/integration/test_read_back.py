"""The search for earlier outcomes on a real Kafka: what it finds, and how little it reads."""

import asyncio
import uuid
from datetime import UTC, datetime

import pytest
from aiokafka import TopicPartition

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.consumer import close_consumer, make_consumer, start_consumer
from headrace.broker.adapters.kafka.read_back import ReadBack
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.local.services import LocalServices
from headrace.schemas.codec import encode_outcome
from headrace.schemas.outcome import Completed
from headrace.schemas.topics import TopicSpec
from tests.integration.kafka_world import producing

PARTITIONS = 3
OUTCOMES = 30_000


@pytest.fixture(scope="module")
def topic(services: LocalServices) -> tuple[KafkaConnection, str]:
    """One for all tests: they only read it, and to write it takes longer than to search it."""
    connection, topic = KafkaConnection(services.endpoints.bootstrap_servers), f"results-{uuid.uuid4().hex[:8]}"
    asyncio.run(write(connection, topic))
    return connection, topic


async def write(connection: KafkaConnection, topic: str) -> None:
    await create_missing(connection, [TopicSpec(topic, PARTITIONS, 1, {})])
    now = datetime.now(UTC)
    async with producing(connection, max_batch_size=262_144, linger_ms=20) as producer:
        sent = []
        for number in range(OUTCOMES):
            record = encode_outcome(Completed(id=f"lead-{number}", lane="bulk", response={}), time=now)
            sent.append(await producer.send(topic, record.value, key=record.key, headers=list(record.headers)))
        await asyncio.gather(*sent)


async def ends(connection: KafkaConnection, topic: str) -> dict[int, int]:

    consumer = make_consumer(connection)
    await start_consumer(consumer)
    try:
        found = await consumer.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
        return {place.partition: offset for place, offset in found.items()}
    finally:
        await close_consumer(consumer)


async def test_each_record_is_read_back_once_however_many_ids_are_asked_for(
    topic: tuple[KafkaConnection, str],
) -> None:
    connection, name = topic
    back = ReadBack(connection, topic=name, window_s=3_600)
    back.begin(await ends(connection, name), anew=True)
    assert await asyncio.gather(*(back.find(f"unknown-{number}") for number in range(40))) == [None] * 40
    assert back.records_read == OUTCOMES
    for number in range(5):
        assert await back.find(f"unknown-too-{number}") is None
    found = await asyncio.gather(*(back.find(f"lead-{number}") for number in range(0, OUTCOMES, 500)))
    assert [each.id for each in found if each] == [f"lead-{number}" for number in range(0, OUTCOMES, 500)]
    assert back.records_read == OUTCOMES
    await back.close()


async def test_what_was_published_lately_is_found_without_reading_all(topic: tuple[KafkaConnection, str]) -> None:
    connection, name = topic
    back = ReadBack(connection, topic=name, window_s=3_600)
    back.begin(await ends(connection, name), anew=True)
    found = await back.find(f"lead-{OUTCOMES - 10}")
    assert found is not None
    assert found.id == f"lead-{OUTCOMES - 10}"
    assert back.records_read <= OUTCOMES / PARTITIONS / 2
    await back.close()


async def test_an_id_that_is_no_longer_waited_for_is_not_searched_for(topic: tuple[KafkaConnection, str]) -> None:
    connection, name = topic
    back = ReadBack(connection, topic=name, window_s=3_600)
    back.begin(await ends(connection, name), anew=True)
    searching = asyncio.create_task(back.find("unknown"))
    while not back.records_read:
        await asyncio.sleep(0)
    searching.cancel()
    await asyncio.wait({searching})
    assert await back.find(f"lead-{OUTCOMES - 10}") is not None
    assert back.records_read < OUTCOMES
    await back.close()
