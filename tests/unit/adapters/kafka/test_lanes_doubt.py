"""A batch that the client gives up, beside partitions that have nothing wrong: those are read all the while."""

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from aiokafka import TopicPartition as KafkaPartition

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.fetch import ScreeningClient
from headrace.broker.adapters.kafka.lanes import KafkaLane
from headrace.broker.ports import UnreadableRange
from tests.unit.adapters.raw_batches import batch, one
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

PARTITIONS = range(6)
BROKEN = 3
FETCHED_AFTER_S = 0.1
"""What was thrown away by a seek comes again with the next fetch."""
CALM_WAIT_MS = 1_000


class Consumer:
    """aiokafka's, as far as a lane asks it: an error names no partition, and is gone with the call it came from.

    Attributes:
        values: Of the records of each partition; each is a batch of its own but for those of the broken one.
        read_apart: From which offset on a batch was asked for as bytes.
    """

    def __init__(self, broken_from: int = 0) -> None:
        self.values: dict[int, list[bytes]] = {number: [] for number in PARTITIONS}
        self.values[BROKEN] = [b"before %d" % number for number in range(broken_from)] + [b"bad", b"good", b"behind"]
        self.broken = range(broken_from, broken_from + 2)
        self.read_apart: list[int] = []
        self.passing = 0  # errors of the broken partition that pass, whatever stands there
        self.positions = dict.fromkeys(PARTITIONS, 0)
        self.fetched_s = dict.fromkeys(PARTITIONS, 0.0)
        self.fetched_after_s = FETCHED_AFTER_S
        self._client = SimpleNamespace(
            cluster=SimpleNamespace(leader_for_partition=lambda _: 1), send=self._as_it_stands
        )
        self._fetcher = SimpleNamespace(_client=ScreeningClient(self._client))

    def assign(self, places: Sequence[KafkaPartition]) -> None:
        assert len(places) == len(PARTITIONS)

    def seek(self, place: KafkaPartition, offset: int) -> None:
        self.positions[place.partition] = offset
        self.fetched_s[place.partition] = asyncio.get_running_loop().time() + self.fetched_after_s

    async def position(self, place: KafkaPartition) -> int:
        return self.positions[place.partition]

    def last_stable_offset(self, place: KafkaPartition) -> int | None:
        return len(self.values[place.partition])

    async def getmany(
        self, *places: KafkaPartition, timeout_ms: int, max_records: int
    ) -> Mapping[KafkaPartition, Sequence[ConsumerRecord[bytes, bytes]]]:
        until_s = asyncio.get_running_loop().time() + timeout_ms / 1_000
        while True:
            now_s = asyncio.get_running_loop().time()
            for place in places:
                number = place.partition
                if self.fetched_s[number] > now_s:
                    continue
                if number == BROKEN and self.passing:
                    self.passing -= 1
                    raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
                first = self.positions[number]
                found = self.values[number][first:][:max_records]
                if number == BROKEN and any(offset in self.broken for offset in range(first, first + len(found))):
                    self.fetched_s[number] = now_s + self.fetched_after_s
                    raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
                if found:
                    self.positions[number] += len(found)
                    return {place: [_record(number, first + step, value) for step, value in enumerate(found)]}
            if now_s >= until_s:
                return {}
            await asyncio.sleep(0.01)

    async def _as_it_stands(self, *_: Any, **__: Any) -> Any:
        first = self.positions[BROKEN]
        self.read_apart.append(first)
        data = batch(first, [one(self.values[BROKEN][first])])
        if first == self.broken.start:
            data = batch(first, [one(b"bad", headers=[(b"\xff\xfe", b"x")]), one(b"good")])
        return SimpleNamespace(API_VERSION=11, topics=[("topic", [(BROKEN, 0, 0, 0, 0, None, 0, data)])])


def _record(number: int, offset: int, value: bytes) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("topic", number, offset, 0, 0, None, value, None, 0, 0, ())


async def read(lane: KafkaLane, taken: dict[bytes, float]) -> None:
    """As a lane's intake does: one partition after the other, and a wait for all where none had anything."""
    while True:
        took = False
        for number in PARTITIONS:
            got = await lane.take(number, 20)
            assert not isinstance(got, UnreadableRange)
            for each in got:
                taken[each.record.value or b""] = asyncio.get_running_loop().time()
                took = True
        if not took:
            await lane.wait(list(PARTITIONS), CALM_WAIT_MS)


@pytest.mark.parametrize("other", [number for number in PARTITIONS if number != BROKEN])
async def test_a_batch_that_the_client_gives_up_holds_up_no_other_partition(other: int) -> None:
    lane, consumer, taken = KafkaLane(KafkaConnection("127.0.0.1:1"), topic="topic"), Consumer(), dict[bytes, float]()
    lane._consumer = consumer
    await lane.start(dict.fromkeys(PARTITIONS, 0))
    reading = asyncio.create_task(read(lane, taken))
    late_s = []
    for number in range(20):
        await asyncio.sleep(0.1)
        value = f"record {number}".encode()
        consumer.values[other].append(value)
        sent_s = asyncio.get_running_loop().time()
        while value not in taken:  # noqa: ASYNC110 — time is virtual, and nothing tells
            await asyncio.sleep(0.01)
        late_s.append(taken[value] - sent_s)
    reading.cancel()
    assert [value for value in taken if value in consumer.values[BROKEN]] == [b"bad", b"good", b"behind"]
    assert max(late_s) <= 0.35, late_s


@pytest.mark.parametrize("before", [1, 30])
@pytest.mark.parametrize("backlog", [0, 4_000])
async def test_what_stands_before_it_in_one_fetch_is_read_at_once_and_the_broken_one_alone_apart(
    before: int, backlog: int
) -> None:
    """Also while other partitions have records all the time, so that none is ever waited for."""
    lane, consumer, taken = (
        KafkaLane(KafkaConnection("127.0.0.1:1"), topic="topic"),
        Consumer(before),
        dict[bytes, float](),
    )
    lane._consumer = consumer
    consumer.values[BROKEN + 1] = [b"other"] * backlog
    await lane.start(dict.fromkeys(PARTITIONS, 0))
    reading, begun_s = asyncio.create_task(read(lane, taken)), asyncio.get_running_loop().time()
    await asyncio.sleep(20)
    reading.cancel()
    assert [value for value in taken if value != b"other"] == consumer.values[BROKEN]
    assert consumer.read_apart == [before]
    assert taken[b"behind"] - begun_s <= 1.5


@pytest.mark.parametrize("errors", [1, 2])
async def test_a_partition_whose_error_has_passed_and_that_stays_silent_slows_no_other(errors: int) -> None:
    lane, consumer, taken = KafkaLane(KafkaConnection("127.0.0.1:1"), topic="topic"), Consumer(), dict[bytes, float]()
    lane._consumer = consumer
    consumer.values[BROKEN], consumer.passing = [], errors
    await lane.start(dict.fromkeys(PARTITIONS, 0))
    reading = asyncio.create_task(read(lane, taken))
    await asyncio.sleep(5)
    consumer.values[BROKEN + 1] = [b"%d" % number for number in range(1_000)]
    begun_s = asyncio.get_running_loop().time()
    await asyncio.sleep(20)
    reading.cancel()
    assert len(taken) == 1_000
    assert max(taken.values()) - begun_s <= 1
    assert not lane._is_in_doubt


@pytest.mark.parametrize("fetched_after_s", [0.45, 0.6, 2.0])
async def test_a_broken_batch_that_takes_long_to_come_again_is_read_apart_beside_others(fetched_after_s: float) -> None:
    """Before: from half a second on it never was, and of two seconds on no other partition was read either."""
    lane, consumer, taken = KafkaLane(KafkaConnection("127.0.0.1:1"), topic="topic"), Consumer(), dict[bytes, float]()
    lane._consumer, consumer.fetched_after_s = consumer, fetched_after_s
    await lane.start(dict.fromkeys(PARTITIONS, 0))
    reading = asyncio.create_task(read(lane, taken))
    for number in range(300):
        consumer.values[BROKEN + 1].append(b"%d" % number)
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    reading.cancel()
    assert [value for value in taken if value in consumer.values[BROKEN]] == consumer.values[BROKEN]
    assert consumer.read_apart == [0]
    assert len(taken) == 303


async def test_a_partition_of_which_anything_is_kept_or_in_doubt_is_at_no_end() -> None:
    lane, consumer = KafkaLane(KafkaConnection("127.0.0.1:1"), topic="topic"), Consumer()
    assert not lane.is_at_end(0), "nothing is known before anything was asked"
    lane._consumer = consumer
    await lane.start(dict.fromkeys(PARTITIONS, 0))
    assert (lane.is_at_end(0), lane.is_at_end(BROKEN)) == (True, False)
    lane.rewind(BROKEN, len(consumer.values[BROKEN]))
    assert lane.is_at_end(BROKEN)
    consumer.passing = 1
    await asyncio.sleep(2 * FETCHED_AFTER_S)
    assert await lane.take(BROKEN, 20) == []
    assert not lane.is_at_end(BROKEN), "the next take finds out what has raised"
