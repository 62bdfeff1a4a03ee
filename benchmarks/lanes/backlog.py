"""Growth of a dispatcher's memory with the backlog in Kafka: a million records against twenty thousand.

Records are written in whole batches, some hundred thousand a minute; then two dispatchers start and serve for a while,
and the leader's memory is sampled. Both times the quota is the same, so equally many calls are made.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.lanes.findings import Check, Finding
from benchmarks.lanes.pair import Leader, create_topics, local_services, pair
from benchmarks.lanes.played import REQUESTS_PER_MINUTE
from benchmarks.lanes.traffic import BULK, MODEL
from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.upstream import Upstream
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import encode_request
from headrace.schemas.topics import requests_topic

MB: Final = 1_000_000
FEW: Final = 20_000
MANY: Final = 1_000_000
GROWTH_MB: Final = 30.0
SERVED_S: Final = 60.0
WRITTEN_WITHIN_S: Final = 600.0
_TOKENS_PER_MINUTE: Final = 60_000
_LOOK_S: Final = 0.5
_PARTITIONS: Final = 6
_BATCH_BYTES: Final = 512 * 1024
_ACKNOWLEDGED_TOGETHER: Final = 24
PLACE: Final = b"0123456789"  # of the number in the id


def measure(many: int = MANY) -> Finding:
    """Measure the row."""
    return asyncio.run(_measured(many))


async def _measured(many: int) -> Finding:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a new topic has no leader yet: the client tries again
    memory: dict[int, list[float]] = {}
    calls: list[int] = []
    written_s = 0.0
    async with local_services() as services:
        for count in (FEW, many):
            prefix = f"bench-backlog-{count}"
            await create_topics(services, prefix)
            begun_s = time.monotonic()
            async with asyncio.timeout(WRITTEN_WITHIN_S):
                await write(services.endpoints.bootstrap_servers, requests_topic(prefix, BULK), count)
            written_s = time.monotonic() - begun_s
            stands = await standing(services.endpoints.bootstrap_servers, requests_topic(prefix, BULK))
            assert stands >= count, f"{stands:,} of {count:,} records stand in Kafka"
            memory[count], called = await _memory(services, prefix)
            calls.append(called)
    grown = max(memory[many]) - max(memory[FEW])
    checks = [
        Check("grown by", grown, "MB", most=GROWTH_MB),
        Check(f"with {FEW:,}", max(memory[FEW]), "MB"),
        Check(f"with {many:,}", max(memory[many]), "MB"),
    ]
    title = f"the leader's memory with {many:,} records waiting in Kafka against {FEW:,}, at most in {SERVED_S:.0f} s"
    notes = {"written_s": round(written_s), "at_start": [each[0] for each in memory.values()], "calls": calls}
    return Finding("backlog", title, "real", checks, "", notes)


async def _memory(services: LocalServices, prefix: str) -> tuple[list[float], int]:
    """Return the leader's memory in MB, sampled from the instant it leads, and the number of calls in that time."""
    settings = UpstreamSettings(tokens_per_minute=_TOKENS_PER_MINUTE, requests_per_minute=REQUESTS_PER_MINUTE)
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Upstream(settings))
        leader = await stack.enter_async_context(pair(services, prefix, upstream.base_url, _TOKENS_PER_MINUTE))
        looks = [each async for each in _looks(leader)]
        return looks, upstream.books().admitted


async def _looks(leader: Leader) -> AsyncIterator[float]:
    loop = asyncio.get_running_loop()
    until_s = loop.time() + SERVED_S
    while loop.time() < until_s:
        yield round(leader.resident_bytes / MB, 1)
        await asyncio.sleep(_LOOK_S)


async def write(bootstrap_servers: str, topic: str, count: int) -> None:
    """Write `count` small requests, evenly over the partitions."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, max_batch_size=_BATCH_BYTES, linger_ms=0)
    await producer.start()
    try:
        waiting: set[asyncio.Future[object]] = set()
        value, headers = template()
        batch, partition = producer.create_batch(), 0
        for number in range(count):
            made = value.replace(PLACE, b"%010d" % number)
            if batch.append(key=None, value=made, timestamp=None, headers=headers) is None:
                waiting.add(await producer.send_batch(batch, topic, partition=partition))
                partition = (partition + 1) % _PARTITIONS
                batch = producer.create_batch()
                batch.append(key=None, value=made, timestamp=None, headers=headers)
                if len(waiting) >= _ACKNOWLEDGED_TOGETHER:
                    _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        waiting.add(await producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()


async def standing(bootstrap_servers: str, topic: str) -> int:
    """Return the number of records in a topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers)
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(topic, number) for number in range(_PARTITIONS)])
        return sum(ends.values())
    finally:
        await consumer.stop()


def template() -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return a request as a producer writes it, in which the id stands in the value alone."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Write to this lead. " * 4}]}
    request = GenerationRequest.model_validate({"id": f"backlog-{PLACE.decode()}", "body": body})
    record = encode_request(request, source="headrace.benchmark", time=datetime.now(UTC))
    assert record.value is not None
    assert json.loads(record.value)["id"] == request.id
    return record.value, list(record.headers)
