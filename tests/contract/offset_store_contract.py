"""What every store of offsets must do: run on the double in memory and on a real Kafka."""

import pytest

from headrace.broker.ports import StoredOffset, TopicPartition
from tests.contract.kafka_world import KafkaWorld


class OffsetStoreContract:
    """Subclasses bring the fixture `world`."""

    @pytest.fixture
    async def world(self) -> KafkaWorld:
        raise NotImplementedError

    async def test_no_offset_is_minus_one_and_never_absence(self, world: KafkaWorld) -> None:
        places = [TopicPartition(world.lane_topic, number) for number in (0, 1)]
        assert await world.offsets().read(places) == dict.fromkeys(places, StoredOffset(-1, ""))

    async def test_only_what_was_asked_for_is_told(self, world: KafkaWorld) -> None:
        first, second = (TopicPartition(world.lane_topic, number) for number in (0, 1))
        producer = world.producer()
        await producer.open()
        await producer.transact([], {first: StoredOffset(3, "one"), second: StoredOffset(4, "two")})
        await producer.close()
        successor = world.producer()
        await successor.open()
        assert await world.offsets().read([second]) == {second: StoredOffset(4, "two")}
        assert await world.offsets().read([]) == {}
        await successor.close()

    async def test_a_partition_keeps_its_offset_while_others_are_stored(self, world: KafkaWorld) -> None:
        first, second = (TopicPartition(world.lane_topic, number) for number in (0, 1))
        producer = world.producer()
        await producer.open()
        await producer.transact([], {first: StoredOffset(3, "one")})
        await producer.transact([], {second: StoredOffset(4, "two")})
        await producer.close()
        successor = world.producer()
        await successor.open()
        stored = await world.offsets().read([first, second])
        assert stored == {first: StoredOffset(3, "one"), second: StoredOffset(4, "two")}
        await successor.close()
