"""The gateway's doors to a real Kafka: their contract, and that a gateway reads little beside what is its own."""

import asyncio
import uuid
from collections.abc import Collection

import pytest

from headrace.broker.adapters.kafka.client import KafkaGatewayDoors
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.keyed import KafkaKeyedLog
from headrace.broker.local.services import LocalServices
from headrace.schemas.outcome import Completed
from headrace.schemas.topics import results_topic
from tests.contract.gateway_doors_contract import GatewayDoorsContract, Heard, outcome
from tests.integration.dispatching import create_topics, publishing


class KafkaWorld:
    """See `GatewayWorld`."""

    def __init__(self, connection: KafkaConnection, prefix: str) -> None:
        self.connection = connection
        self.doors = KafkaGatewayDoors(connection)
        self.topic = results_topic(prefix)
        self._prefix = prefix

    async def publish(self, outcomes: Collection[Completed]) -> None:
        async with publishing(self.connection, self._prefix) as publisher:
            await publisher.publish(self.topic, list(outcomes))


class TestKafkaGatewayDoors(GatewayDoorsContract):
    @pytest.fixture
    async def world(self, services: LocalServices) -> KafkaWorld:
        connection = KafkaConnection(services.endpoints.bootstrap_servers)
        prefix = f"gateway-{uuid.uuid4().hex[:8]}"
        await create_topics(connection, prefix)
        return KafkaWorld(connection, prefix)

    async def test_only_partitions_that_are_needed_are_read(self, world: KafkaWorld) -> None:
        passed: set[int] = set()

        class Passing:
            def begin(self, offsets: dict[int, int], *, anew: bool = False, count: int | None = None) -> None:
                assert count == 3

            def leave(self, partition: int) -> None:
                raise AssertionError(partition)

            def passed(self, record: object) -> None:
                passed.add(record.partition)  # type: ignore[attr-defined]

        log = KafkaKeyedLog(world.connection, topic=world.topic, passage=Passing(), choose=lambda _: 1)
        home = await log.home(connect_s=20)
        assert home.partition == 1
        ids = [f"acme/{number}" for number in range(40)]
        at_home = next(each for each in ids if log.partition_of(each.encode()) == 1)
        heard = Heard()
        async with log.following(at_home.encode(), heard, connect_s=20):
            await world.publish([outcome(each) for each in ids])
            await asyncio.wait_for(heard.came.wait(), 20)
        assert passed == {1}
        elsewhere = next(each for each in ids if log.partition_of(each.encode()) == 2)
        async with log.following(elsewhere.encode(), Heard(), connect_s=20), asyncio.timeout(20):
            heard = Heard()
            async with log.following(elsewhere.encode(), heard, connect_s=20):
                await world.publish([outcome(each) for each in ids])
                await heard.came.wait()
        assert passed <= {1, 2}
        assert 0 not in passed
        await log.close()
