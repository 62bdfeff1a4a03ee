"""What every look at the coordinators must do: run on the double in memory and on a real Kafka."""

import pytest

from tests.contract.kafka_world import KafkaWorld, outgoing


class CoordinatorsContract:
    """Subclasses bring the fixture `world`."""

    @pytest.fixture
    async def world(self) -> KafkaWorld:
        raise NotImplementedError

    async def test_they_answer_though_no_producer_has_ever_started(self, world: KafkaWorld) -> None:
        coordinators = world.coordinators()
        await coordinators.check()
        await coordinators.check()
        await coordinators.close()

    async def test_looking_fences_nobody(self, world: KafkaWorld) -> None:
        producer, coordinators = world.producer(), world.coordinators()
        await producer.open()
        await coordinators.check()
        await producer.transact(outgoing(world.results_topic, "a"), {})
        await coordinators.check()
        await producer.transact(outgoing(world.results_topic, "b"), {})
        assert [record.value for record in await world.results()] == [b"a", b"b"]
        await coordinators.close()
        await producer.close()

    async def test_they_can_be_asked_again_after_they_were_closed(self, world: KafkaWorld) -> None:
        coordinators = world.coordinators()
        await coordinators.close()
        await coordinators.check()
        await coordinators.close()
        await coordinators.check()
        await coordinators.close()
