"""The Kafka in memory does what the real one does, and can be away, slow, or silent about a commit."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

import pytest

from headrace.broker.errors import LogUnavailable, ProducerDead
from headrace.broker.ports import StoredOffset, TopicPartition, UnreadableRange
from headrace.broker.testing.kafka import CommitFault, KafkaLink, MemoryKafka
from headrace.broker.testing.kafka_doors import MemoryChunks, MemoryLane, MemoryReplyTopics
from headrace.broker.testing.kafka_log import PartitionLog
from headrace.schemas.record import Record
from tests.contract.chunk_log_contract import ChunkLogContract, ChunkWorld
from tests.contract.coordinators_contract import CoordinatorsContract
from tests.contract.kafka_world import KafkaWorld, outgoing, read, taken, texts, values
from tests.contract.lane_log_contract import LaneLogContract
from tests.contract.ledger_log_contract import LedgerLogContract
from tests.contract.offset_store_contract import OffsetStoreContract
from tests.contract.reply_topics_contract import ReplyTopicsContract, ReplyTopicsWorld
from tests.contract.totals_log_contract import TotalsLogContract
from tests.contract.transaction_log_contract import TransactionLogContract
from tests.unit.testing.worlds import MemoryWorld

pytestmark = pytest.mark.looptime


class TestMemoryTransactions(TransactionLogContract):
    @pytest.fixture
    async def world(self) -> KafkaWorld:
        return MemoryWorld()


class TestMemoryOffsets(OffsetStoreContract):
    @pytest.fixture
    async def world(self) -> KafkaWorld:
        return MemoryWorld()


class TestMemoryLane(LaneLogContract):
    @pytest.fixture
    async def world(self) -> KafkaWorld:
        return MemoryWorld()


class TestMemoryLedger(LedgerLogContract):
    @pytest.fixture
    async def world(self) -> KafkaWorld:
        return MemoryWorld()


class TestMemoryTotals(TotalsLogContract):
    @pytest.fixture
    async def world(self) -> KafkaWorld:
        return MemoryWorld()


class TestMemoryCoordinators(CoordinatorsContract):
    @pytest.fixture
    async def world(self) -> KafkaWorld:
        return MemoryWorld()


class MemoryChunkWorld:
    def __init__(self) -> None:
        self.kafka = MemoryKafka(lambda: 0)
        self.kafka.create("chunks", 3)

    def chunks(self) -> MemoryChunks:
        return MemoryChunks(KafkaLink(self.kafka), topic="chunks")

    def away(self) -> MemoryChunks:
        link = KafkaLink(self.kafka)
        link.cut()
        return MemoryChunks(link, topic="chunks")

    async def values(self, count: int) -> dict[bytes | None, list[bytes | None]]:
        by_key: defaultdict[bytes | None, list[bytes | None]] = defaultdict(list)
        for fetched in self.kafka.committed("chunks"):
            by_key[fetched.record.key].append(fetched.record.value)
        return by_key


class TestMemoryChunks(ChunkLogContract):
    @pytest.fixture
    async def chunk_world(self) -> ChunkWorld:
        return MemoryChunkWorld()


class MemoryReplyWorld:
    prefix = "acme"

    def __init__(self) -> None:
        self.kafka = MemoryKafka(lambda: 0)

    def door(self) -> MemoryReplyTopics:
        return MemoryReplyTopics(KafkaLink(self.kafka))

    def away(self) -> MemoryReplyTopics:
        link = KafkaLink(self.kafka)
        link.cut()
        return MemoryReplyTopics(link)

    async def create(self, topic: str, bytes_max: int) -> None:
        self.kafka.create(topic)
        self.kafka.message_bytes_max[topic] = bytes_max

    async def delete(self, topic: str) -> None:
        self.kafka.delete(topic)


class TestMemoryReplyTopics(ReplyTopicsContract):
    @pytest.fixture
    async def reply_world(self) -> ReplyTopicsWorld:
        return MemoryReplyWorld()


async def test_a_chunk_without_a_topic_is_dropped() -> None:
    chunks = MemoryChunks(KafkaLink(MemoryKafka(lambda: 0)), topic="chunks")
    chunks.send(Record(b"lead-1", b"x"))
    assert chunks.dropped == 1


async def test_a_commit_whose_answer_is_lost_stands_or_does_not() -> None:
    world = MemoryWorld()
    for fault, stands in ((CommitFault.STORED, True), (CommitFault.LOST, False)):
        producer = world.producer()
        await producer.open()
        world.kafka.commit_faults.append(fault)
        with pytest.raises(ProducerDead):
            await producer.transact(outgoing(world.results_topic, fault.value), {})
        with pytest.raises(ProducerDead):
            await producer.transact(outgoing(world.results_topic, "dead"), {})
        await world.producer().open()
        assert (fault.value.encode() in [record.value for record in await world.results()]) is stands


async def test_a_transaction_left_open_hides_what_is_behind_it_until_a_successor_starts() -> None:
    world = MemoryWorld()
    producer = world.producer()
    await producer.open()
    world.kafka.commit_faults.append(CommitFault.LOST)
    with pytest.raises(ProducerDead):
        await producer.transact(outgoing(world.ledger_topic, "never"), {})
    ledger = world.ledger()
    await ledger.open(0)
    assert await ledger.at_end()
    await world.producer().open()
    assert await read(ledger, 0) == []


async def test_an_expired_transaction_fences_its_producer_though_nobody_else_started() -> None:
    world = MemoryWorld()
    producer = world.producer()
    await producer.open()
    world.kafka.expire("t.dispatcher")
    with pytest.raises(ProducerDead):
        await producer.transact(outgoing(world.results_topic, "a"), {})


async def test_an_empty_transaction_proves_nothing() -> None:
    world = MemoryWorld()
    producer = world.producer()
    await producer.open()
    await world.producer().open()
    await producer.transact([], {})
    with pytest.raises(ProducerDead):
        await producer.transact(outgoing(world.results_topic, "a"), {})


async def test_offsets_may_lag_until_the_next_start() -> None:
    world = MemoryWorld()
    world.kafka.offsets_lag = True
    place = TopicPartition(world.lane_topic, 0)
    producer = world.producer()
    await producer.open()
    await producer.transact([], {place: StoredOffset(1, "")})
    assert (await world.offsets().read([place]))[place].offset == -1
    await world.producer().open()
    assert (await world.offsets().read([place]))[place].offset == 1


async def test_questions_to_a_cluster_that_is_away_are_answered_by_errors_after_a_while() -> None:
    world, loop = MemoryWorld(), asyncio.get_running_loop()
    lane, ledger, producer = world.lane(), world.ledger(), world.producer()
    await lane.start({0: 0})
    await ledger.open(0)
    await producer.open()
    world.kafka.stop()
    begun_s = loop.time()
    for question in (
        lane.partitions(),
        lane.bounds([0]),
        lane.first_timestamp_ms(0),
        lane.start({0: 0}),
        ledger.at_end(),
        world.ledger().open(0),
        world.offsets().read([]),
    ):
        with pytest.raises(LogUnavailable):
            await question
    assert loop.time() - begun_s == pytest.approx(7 * world.link.away_after_s)
    with pytest.raises(ProducerDead):
        await producer.transact(outgoing(world.results_topic, "a"), {})
    with pytest.raises(ProducerDead):
        await world.producer().open()


async def test_readers_of_a_cluster_that_is_away_are_silent_and_go_on_when_it_is_back() -> None:
    world = MemoryWorld()
    lane, ledger = world.lane(), world.ledger()
    await lane.start({0: 0})
    await ledger.open(0)
    world.link.cut()
    await world.append(0, *values("a"))
    assert await lane.take(0, 1) == []
    await lane.wait([0], 100)
    assert await ledger.read(100) == []
    waiting = asyncio.create_task(lane.wait([0], 60_000))
    await asyncio.sleep(1)
    world.link.mend()
    await waiting
    assert texts(await taken(lane, 0, 1)) == ["a"]


async def test_a_commit_waits_for_a_cluster_that_comes_back_in_time() -> None:
    world = MemoryWorld()
    producer = world.producer()
    await producer.open()
    world.kafka.commit_takes_s = 1
    committing = asyncio.create_task(producer.transact(outgoing(world.results_topic, "a"), {}))
    await asyncio.sleep(0.5)
    world.kafka.stop()
    await asyncio.sleep(5)
    assert not committing.done()
    world.kafka.start_again()
    await committing
    assert len(await world.results()) == 1


async def test_a_link_that_is_cut_cuts_nobody_else() -> None:
    world = MemoryWorld()
    world.link.cut()
    with pytest.raises(LogUnavailable):
        await world.lane().partitions()
    assert await MemoryLane(KafkaLink(world.kafka), topic=world.lane_topic).partitions() == [0, 1]


async def test_a_planted_batch_is_one_unreadable_range_between_good_records() -> None:
    world = MemoryWorld()
    await world.append(0, *values(*"abcdef"))
    await world.append(1, *values("x"))
    world.kafka.logs(world.lane_topic)[0].damage(2, 3)
    lane = world.lane()
    await lane.start({0: 0, 1: 0})
    assert texts(await taken(lane, 0, 2)) == ["a", "b"]
    assert await lane.take(0, 10) == UnreadableRange(2, 3)
    assert lane.position(0) == 4
    assert texts(await taken(lane, 0, 2)) == ["e", "f"]
    assert texts(await taken(lane, 1, 1)) == ["x"]
    lane.rewind(0, 3)
    assert await lane.take(0, 10) == UnreadableRange(3, 3)


async def test_a_record_keeps_its_own_timestamp_and_a_ledger_line_that_of_its_append() -> None:
    world = MemoryWorld()
    world.kafka.append(world.lane_topic, values("a")[0], partition=0, at_ms=5)
    lane = world.lane()
    assert await lane.first_timestamp_ms(0) == 5
    await asyncio.sleep(2)
    producer = world.producer()
    await producer.open()
    await producer.transact(outgoing(world.ledger_topic, "line"), {})
    ledger = world.ledger()
    await ledger.open(0)
    (row,) = await ledger.read(0)
    assert row.at_ms == world.kafka.utc_ms()


async def test_a_commit_is_readable_once_its_markers_stand_or_its_producer_goes_on_or_is_fenced() -> None:
    world = MemoryWorld()
    late: list[Callable[[], None]] = []
    world.kafka.markers_later = late.append
    place, stored = TopicPartition(world.lane_topic, 0), StoredOffset(7, "")

    async def there() -> tuple[list[bytes | None], int]:
        offsets = await world.offsets().read([place])
        return [record.value for record in await world.results()], offsets[place].offset

    producer = world.producer()
    await producer.open()
    await producer.transact(outgoing(world.results_topic, "a"), {place: stored})
    assert await there() == ([], -1)
    late.pop()()
    assert await there() == ([b"a"], 7)
    await producer.transact(outgoing(world.results_topic, "b"), {})
    await producer.transact(outgoing(world.results_topic, "c"), {place: StoredOffset(8, "")})
    assert await there() == ([b"a", b"b"], 7)
    await world.producer().open()
    assert await there() == ([b"a", b"b", b"c"], 8)
    for complete in late:
        complete()
    assert await there() == ([b"a", b"b", b"c"], 8)


def test_what_was_dropped_takes_no_room_keeps_its_offsets_and_is_told_as_removed() -> None:
    log = PartitionLog()
    for text in (b"a", b"b", b"c"):
        log.append(Record(None, text), 0)
    log.drop(2)
    log.drop(1)
    assert log.read(0, 9) == (UnreadableRange(0, 1, removed=True), 2)
    assert [(each.offset, each.record.value) for each in log.committed()] == [(2, b"c")]
    assert [slot.record is None for slot in log.slots] == [True, True, False]
