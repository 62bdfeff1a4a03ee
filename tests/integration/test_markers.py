"""A lane partition in which only transaction markers and aborted records stand, read with caution on a real Kafka."""

import asyncio
from types import SimpleNamespace
from typing import cast

from aiokafka import AIOKafkaProducer

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.lanes import KafkaLane
from headrace.broker.clock import WallClock
from headrace.broker.core.progress.poison_records import CautiousRead
from headrace.broker.core.requests.registry import Want
from headrace.broker.core.ticket import LanePartition, Source
from headrace.broker.local.services import LocalServices
from headrace.broker.on_demand_ports import Upcoming
from headrace.broker.ports import UnreadableRange
from headrace.broker.service.driver import Driver
from headrace.broker.service.intake.entry import Reader
from headrace.broker.service.intake.lane_intake import LaneIntake
from tests.integration.kafka_world import RealWorld, real_world

ABORTED = 150


class Counting(KafkaLane):
    """Counts how often it says what comes next in the first partition."""

    answered = 0

    async def upcoming(self, partition: int, records_max: int) -> Upcoming | UnreadableRange | None:
        found = await super().upcoming(partition, records_max)
        self.answered += partition == 0 and found is not None
        return found


class Named:
    """As much of a driver as an intake needs that finds no record."""

    def __init__(self) -> None:
        self.named: list[int] = []
        self.clock = WallClock()
        self.naming = asyncio.Lock()
        self.room_changed = asyncio.Event()
        self.cautious = {LanePartition("standard", number) for number in (0, 1)}
        self.core = SimpleNamespace(want=lambda _: Want.TAKE, room=lambda _: 1_000)

    def contained(self, *_: object, **__: object) -> None:
        raise AssertionError("there is nothing to read")

    async def name(self, *sources: Source) -> None:
        self.named += [source.offset for source in sources if source.partition.number == 0]


async def aborts(world: RealWorld) -> None:
    producer = AIOKafkaProducer(
        **world.connection.client_kwargs(), transactional_id=f"{world.prefix}.stranger", retry_backoff_ms=5
    )
    await producer.start()
    for _ in range(ABORTED):
        await producer.begin_transaction()
        await producer.send_and_wait(world.lane_topic, b"undone", partition=0)
        await producer.abort_transaction()
    await producer.stop()


async def test_a_lane_full_of_markers_is_passed_at_once_and_names_none_of_them(services: LocalServices) -> None:
    world = await real_world(KafkaConnection(services.endpoints.bootstrap_servers), "markers")
    await aborts(world)
    lane, driver = Counting(world.connection, topic=world.lane_topic), Named()
    intake = LaneIntake("standard", world.lane_topic, lane, cast("Driver", driver), cast("Reader", None))
    await lane.partitions()
    await intake.begin({0: 0, 1: 0}, {0: CautiousRead(2 * ABORTED), 1: CautiousRead(0)})
    async with asyncio.timeout(20):
        while driver.cautious:
            await asyncio.sleep(0.005)
    assert (lane.answered, driver.named) == (1, [])
    assert (lane.position(0), intake.failure()) == (2 * ABORTED, None)
    await intake.halt()
    await lane.close()
