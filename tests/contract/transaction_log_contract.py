"""What every transactional producer must do: run on the double in memory and on a real Kafka."""

import asyncio

import pytest

from headrace.broker.core.setback import Setback
from headrace.broker.errors import ProducerDead
from headrace.broker.ports import Outgoing, StoredOffset, TopicPartition, UnreadableRange
from headrace.schemas.record import Record
from tests.contract.kafka_world import KafkaWorld, outgoing, read, taken, texts


class TransactionLogContract:
    """Subclasses bring the fixture `world`."""

    @pytest.fixture
    async def world(self) -> KafkaWorld:
        raise NotImplementedError

    async def test_records_and_offsets_of_a_transaction_are_there_when_it_returns(self, world: KafkaWorld) -> None:
        producer = world.producer()
        await producer.open()
        place = TopicPartition(world.lane_topic, 1)
        await producer.transact(outgoing(world.results_topic, "a", "b"), {place: StoredOffset(7, "map")})
        await producer.close()
        assert [record.value for record in await world.results()] == [b"a", b"b"]
        successor = world.producer()
        await successor.open()
        assert await world.offsets().read([place]) == {place: StoredOffset(7, "map")}
        await successor.close()

    async def test_a_transaction_tells_where_its_records_stand(self, world: KafkaWorld) -> None:
        producer = world.producer()
        await producer.open()
        assert await producer.transact(outgoing(world.ledger_topic, "a"), {}) == [0]
        records = [*outgoing(world.results_topic, "b"), *outgoing(world.ledger_topic, "c")]
        assert list(await producer.transact(records, {})) == [0, 2], "the marker of the first took one"
        assert list(await producer.transact([], {TopicPartition(world.lane_topic, 0): StoredOffset(1, "")})) == []
        await producer.close()

    async def test_a_record_goes_out_whole(self, world: KafkaWorld) -> None:
        producer = world.producer()
        await producer.open()
        record = Record(b"key", b"value", (("name", b"\xff"), ("name", b""), ("other", b"text")))
        await producer.transact([Outgoing(world.results_topic, record)], {})
        await producer.close()
        assert await world.results() == [record]

    async def test_a_record_with_neither_key_nor_value_goes_out_empty(self, world: KafkaWorld) -> None:
        producer = world.producer()
        await producer.open()
        await producer.transact([Outgoing(world.results_topic, Record(None, None, (("why", b"null"),)))], {})
        await producer.close()
        assert await world.results() == [Record(None, b"", (("why", b"null"),))]

    async def test_a_transaction_of_offsets_alone_is_one(self, world: KafkaWorld) -> None:
        producer = world.producer()
        await producer.open()
        place = TopicPartition(world.lane_topic, 0)
        for offset in (1, 2):
            await producer.transact([], {place: StoredOffset(offset, "")})
        successor = world.producer()
        await successor.open()
        assert (await world.offsets().read([place]))[place].offset == 2
        await successor.close()
        await producer.close()

    async def test_a_successor_fences_its_predecessor_for_good(self, world: KafkaWorld) -> None:
        first, second = world.producer(), world.producer()
        await first.open()
        await first.transact(outgoing(world.results_topic, "first"), {})
        await second.open()
        for _ in range(2):
            with pytest.raises(ProducerDead) as dead:
                await first.transact(outgoing(world.results_topic, "too late"), {})
            assert dead.value.setback is Setback.UNKNOWN
        await second.transact(outgoing(world.results_topic, "second"), {})
        assert [record.value for record in await world.results()] == [b"first", b"second"]
        await first.close()
        await second.close()

    async def test_metadata_above_the_limit_kills_the_producer_and_stores_nothing(self, world: KafkaWorld) -> None:
        producer, place = world.producer(), TopicPartition(world.lane_topic, 0)
        await producer.open()
        await producer.transact([], {place: StoredOffset(1, "m" * 4_096)})
        with pytest.raises(ProducerDead) as dead:
            await producer.transact(outgoing(world.results_topic, "lost"), {place: StoredOffset(2, "m" * 4_097)})
        assert dead.value.topic is None
        with pytest.raises(ProducerDead):
            await producer.transact(outgoing(world.results_topic, "dead"), {})
        await producer.close()
        successor = world.producer()
        await successor.open()
        stored = await world.offsets().read([place])
        assert stored[place] == StoredOffset(1, "m" * 4_096)
        await successor.transact(outgoing(world.results_topic, "alive"), {})
        assert [record.value for record in await world.results()] == [b"alive"]
        await successor.close()

    async def test_a_record_above_the_topics_limit_kills_the_producer_and_commits_nothing(
        self, world: KafkaWorld
    ) -> None:
        producer = world.producer()
        await producer.open()
        large = Outgoing(world.results_topic, Record(b"key", b"x" * 1_100_000))
        with pytest.raises(ProducerDead) as dead:
            await producer.transact([*outgoing(world.results_topic, "small"), large], {})
        assert (dead.value.setback, dead.value.topic) == (Setback.REFUSED, world.results_topic)
        assert dead.value.is_refusal
        await producer.close()
        successor = world.producer()
        await successor.open()
        await successor.transact(outgoing(world.results_topic, "alive"), {})
        assert [record.value for record in await world.results()] == [b"alive"]
        await successor.close()

    async def test_a_topic_that_does_not_exist_is_denied_by_its_name(self, world: KafkaWorld) -> None:
        producer, gone = world.producer(), f"{world.results_topic}-gone"
        await producer.open()
        with pytest.raises(ProducerDead) as dead:
            await producer.transact([*outgoing(world.results_topic, "lost"), *outgoing(gone, "nowhere")], {})
        assert (dead.value.setback, dead.value.topic, dead.value.is_denial) == (Setback.DENIED, gone, True)
        assert f"The topic {gone} does not exist: run `headrace topics create`." in str(dead.value)
        await producer.close()

    async def test_what_a_dead_producer_left_open_hides_nothing_after_its_successors_start(
        self, world: KafkaWorld
    ) -> None:
        producer = world.producer()
        await producer.open()
        with pytest.raises(ProducerDead):
            await producer.transact(
                outgoing(world.ledger_topic, "unseen"),
                {TopicPartition(world.lane_topic, 0): StoredOffset(1, "m" * 5_000)},
            )
        await producer.close()
        successor = world.producer()
        await successor.open()
        await successor.transact(outgoing(world.ledger_topic, "claim"), {})
        ledger = world.ledger()
        await ledger.open(0)
        assert await read(ledger, 1) == [b"claim"]
        await ledger.close()
        await successor.close()

    async def test_records_may_go_to_a_lane_as_well_and_keep_their_timestamp(self, world: KafkaWorld) -> None:
        producer = world.producer()
        await producer.open()
        at_ms = 1_700_000_000_123
        keyed = [Outgoing(world.lane_topic, Record(b"same key", text.encode()), at_ms) for text in ("a", "b")]
        await producer.transact(keyed, {})
        await producer.close()
        lane = world.lane()
        await lane.start({0: 0, 1: 0})
        async with asyncio.timeout(10):
            while not (found := await lane.take(0, 1)) and not (found := await lane.take(1, 1)):
                await lane.wait([0, 1], 100)
        assert not isinstance(found, UnreadableRange)
        (partition,) = [number for number in (0, 1) if lane.position(number) == 1]
        both = [*found, *await taken(lane, partition, 1)]
        assert (texts(both), [fetched.timestamp_ms for fetched in both]) == (["a", "b"], [at_ms, at_ms])
        await lane.close()

    async def test_a_producer_that_was_never_opened_can_be_closed(self, world: KafkaWorld) -> None:
        producer = world.producer()
        await producer.close()
        await producer.open()
        await producer.close()
        await producer.close()
