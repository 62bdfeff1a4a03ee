"""The queue before the chunks topic: bounded in count, bytes and age, whatever Kafka does."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError

from headrace.broker.adapters.kafka import chunks as kafka_chunks
from headrace.broker.adapters.kafka.chunks import STALE_S, WAITING_BYTES_MAX, WAITING_MAX, KafkaChunks
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.schemas.record import Record
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


class Producer:
    """aiokafka's, as far as the queue knows it: it starts after `away_s`, and takes nothing while `hangs`."""

    def __init__(self) -> None:
        self.away_until_s = 0.0
        self.hangs = False
        self.rotten = b""
        self.topics = {"chunks"}
        self.starts: list[float] = []
        self.closed = 0
        self.sent: list[bytes] = []
        self.futures: list[asyncio.Future[object]] = []
        self.client = SimpleNamespace(fetch_all_metadata=self._metadata)

    async def _metadata(self) -> Any:
        return SimpleNamespace(topics=lambda: self.topics)

    async def start(self) -> None:
        self.starts.append(now_s())
        if now_s() < self.away_until_s:
            raise KafkaConnectionError("away")

    async def send(self, topic: str, value: bytes, **_: Any) -> "asyncio.Future[object]":
        if value == self.rotten:
            raise TypeError
        if self.hangs:
            await asyncio.Event().wait()
        self.sent.append(value)
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        return future


def now_s() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    made = Producer()

    async def close(_: object) -> None:
        made.closed += 1

    monkeypatch.setattr(kafka_chunks, "close_producer", close)
    monkeypatch.setattr(kafka_chunks, "time", SimpleNamespace(monotonic=now_s))
    monkeypatch.setattr(KafkaChunks, "_made", lambda _: made)
    return made


def chunks() -> KafkaChunks:
    return KafkaChunks(KafkaConnection("127.0.0.1:1"), topic="chunks")


def record(text: str = "x") -> Record:
    return Record(b"lead-1", text.encode())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(100):
        while not true():  # noqa: ASYNC110  # time is virtual, and nothing tells
            await asyncio.sleep(0.01)


async def test_so_many_wait_and_the_rest_is_dropped(producer: Producer) -> None:
    producer.hangs, log = True, chunks()
    for _ in range(WAITING_MAX + 7):
        log.send(record())
    assert log.dropped == 7
    await log.close()


async def test_so_many_bytes_wait_and_the_rest_is_dropped(producer: Producer) -> None:
    producer.hangs, log = True, chunks()
    for _ in range(10):
        log.send(record("x" * (WAITING_BYTES_MAX // 8)))
    assert log.dropped == 3
    await log.close()


async def test_what_has_left_makes_room(producer: Producer) -> None:
    log = chunks()
    for _ in range(20):
        log.send(record("x" * (WAITING_BYTES_MAX // 2)))
        await asyncio.sleep(0.1)
    assert (len(producer.sent), log.dropped) == (20, 0)
    await log.close()


async def test_a_kafka_that_comes_back_is_found_within_seconds_and_is_not_asked_all_the_time(
    producer: Producer,
) -> None:
    producer.away_until_s, log = now_s() + 60, chunks()
    log.send(record("old"))
    await until(lambda: now_s() > producer.away_until_s - 1)
    assert len(producer.starts) < 20
    log.send(record("new"))
    await until(lambda: bool(producer.sent))
    assert now_s() < producer.away_until_s + 6
    assert (producer.sent, log.dropped) == ([b"new"], 1)
    assert producer.closed == len(producer.starts) - 1
    await log.close()


async def test_what_has_waited_too_long_is_dropped(producer: Producer) -> None:
    producer.away_until_s, log = now_s() + STALE_S / 2, chunks()
    log.send(record("young"))
    await until(lambda: bool(producer.sent))
    assert log.dropped == 0
    await log.close()


async def test_it_connects_when_it_is_told_to_prepare_and_not_before(producer: Producer) -> None:
    log = chunks()
    await asyncio.sleep(1)
    assert not producer.starts
    log.prepare()
    log.prepare()
    await asyncio.sleep(1)
    assert len(producer.starts) == 1
    begun_s = now_s()
    await log.close()
    assert now_s() == begun_s
    log.prepare()
    await asyncio.sleep(1)
    assert len(producer.starts) == 1


async def test_a_missing_topic_is_a_kafka_that_is_away(producer: Producer) -> None:
    producer.topics, log = set(), chunks()
    log.send(record())
    await asyncio.sleep(1)
    assert not producer.sent
    producer.topics = {"chunks"}
    await until(lambda: bool(producer.sent))
    await log.close()


async def test_a_producer_that_takes_nothing_is_replaced(producer: Producer) -> None:
    producer.hangs, log = True, chunks()
    log.send(record("lost"))
    await until(lambda: producer.closed == 1)
    assert log.dropped == 1
    producer.hangs = False
    log.send(record("next"))
    await until(lambda: producer.sent == [b"next"])
    await log.close()


async def test_what_kafka_does_not_acknowledge_is_counted(producer: Producer) -> None:
    log = chunks()
    for _ in range(3):
        log.send(record())
    await until(lambda: len(producer.futures) == 3)
    producer.futures[0].set_result(None)
    producer.futures[1].set_exception(KafkaTimeoutError())
    producer.futures[2].cancel()
    await asyncio.sleep(0)
    assert log.dropped == 2
    await log.close()


async def test_closing_takes_half_a_second_at_most_and_counts_what_is_left(producer: Producer) -> None:
    producer.hangs, log = True, chunks()
    for _ in range(3):
        log.send(record())
    begun_s = now_s()
    await log.close()
    assert now_s() - begun_s < 0.6
    assert (log.dropped, producer.closed) == (3, 1)


async def test_a_chunk_that_the_client_cannot_send_costs_itself_and_no_later_one(producer: Producer) -> None:
    """Before, the sender's task ended in silence, and no stream had another chunk."""
    producer.rotten = b"rotten"
    log = chunks()
    for text in ("a", "rotten", "b"):
        log.send(record(text))
    await until(lambda: producer.sent == [b"a", b"b"])
    assert log.dropped == 1
    await log.close()
