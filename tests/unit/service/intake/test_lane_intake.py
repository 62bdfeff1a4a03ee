"""Taking records: in turn, no more than there is room for, and nothing between Kafka and the core when it is halted."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from typing import TypeVar

import pytest

from headrace.broker.core.commands import Publish
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.events import Committed, Event, PartitionFound, Promoted, StoodBy, Suspended, Taken
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.ticket import LanePartition
from headrace.broker.service.core_config import budget_maker, dispatch_rules
from headrace.broker.service.driver import Driver
from headrace.broker.service.intake.lane_intake import PARTITIONS_LOOKED_UP_EVERY_MS, LaneIntake
from headrace.broker.service.intake.pricer import Pricer
from headrace.broker.service.payloads import PayloadStore
from headrace.broker.testing.counter import RoughCounter
from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.kafka_doors import MemoryLane
from headrace.schemas.record import Record
from headrace.schemas.topics import requests_topic
from tests.progress_seen import finish
from tests.unit.service.driving import ok
from tests.unit.service.rig import PREFIX, World, grants_of, settings_of, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

E = TypeVar("E", bound=Event)


class NotingLane(MemoryLane):
    """Remembers from where it was told to read."""

    def __init__(self, link: KafkaLink, *, topic: str) -> None:
        super().__init__(link, topic=topic)
        self.started: list[dict[int, int]] = []

    async def start(self, positions: Mapping[int, int], *, on_demand: Collection[int] = ()) -> None:
        self.started.append(dict(positions))
        await super().start(positions, on_demand=on_demand)


class Rig:
    """One lane's intake, and a real core that leads."""

    def __init__(self, world: World, *, lane: str = "standard", **lane_settings: int) -> None:
        lanes = {"urgent": {"order": 1}, "standard": {"order": 2, **lane_settings}, "bulk": {"order": 3}}
        settings = settings_of(lanes=lanes, input={"request_bytes_max": 20_000})
        self.world, self.lane = world, lane
        self.topic = requests_topic(PREFIX, lane)
        self.link = KafkaLink(world.kafka)
        self.log = NotingLane(self.link, topic=self.topic)
        self.core = Dispatch(dispatch_rules(settings), make_budget=budget_maker(settings), dice=lambda: 0.5)
        self.heard: list[Event] = []
        self.contained_steps: list[tuple[str, type]] = []
        self.driver = Driver(self.core, PayloadStore(), world.clock, caller=ok, watcher=self)
        pricer = Pricer(settings, RoughCounter(), world.clock, grants_of(world.clock))
        self.intake = LaneIntake(lane, self.topic, self.log, self.driver, pricer)

    def observe_event(self, event: Event) -> None:
        self.heard.append(event)

    def observe_command(self, *_: object) -> None:
        """Commands are of no interest here."""

    def contained(self, step: str, error: BaseException | None = None, **_: object) -> None:
        self.contained_steps.append((step, type(error)))

    async def promoted(self, positions: dict[int, int] | None = None) -> None:
        at = positions or dict.fromkeys(range(self.world.partitions), 0)
        progress = {LanePartition(self.lane, number): PartitionProgress(offset) for number, offset in at.items()}
        self.driver.post(Promoted(progress, 1, self.world.clock.utc_ms()))
        await self.intake.begin(at)

    async def committed(self) -> None:
        """What is decided is committed, and makes room."""
        for _ in range(5):
            await asyncio.sleep(0.1)
            for command in self.core.commands(self.world.clock.now_ms()):
                if isinstance(command, Publish):
                    self.driver.post(Committed(command.batch.serial, self.world.clock.now_ms()))

    @property
    def taken(self) -> list[tuple[int, int]]:
        """Partition and offset of what was taken, in order."""
        return [(one.source.partition.number, one.source.offset) for one in self.events(Taken)]

    def events(self, kind: type[E]) -> list[E]:
        return [event for event in self.heard if isinstance(event, kind)]


async def test_partitions_are_served_in_turn() -> None:
    world = World(partitions=3)
    rig = Rig(world, buffer_max=150)
    for number in range(3):
        for each in range(80):
            world.submit(f"{number}-{each}", "standard", partition=number)
    await rig.promoted()
    await until(lambda: len(rig.taken) == 140)
    assert sorted(Counter(partition for partition, _ in rig.taken).values()) == [40, 50, 50]  # ten are for a fourth
    await rig.intake.halt()


async def test_no_more_is_taken_than_there_is_room_for_and_nothing_is_jumped_over() -> None:
    world = World(partitions=2)
    rig = Rig(world, buffer_max=7)
    for each in range(20):
        world.submit(f"r{each}", "standard", partition=each % 2)
    await rig.promoted()
    await asyncio.sleep(5)
    assert len(rig.taken) == 7
    for partition in (0, 1):
        offsets = [offset for number, offset in rig.taken if number == partition]
        assert offsets == list(range(len(offsets)))
        assert rig.log.position(partition) == len(offsets)
    asked = rig.log.taken
    await asyncio.sleep(5)
    assert rig.log.taken == asked, "a lane without room is not asked"
    await rig.intake.halt()


async def test_partitions_that_must_wait_for_room_get_it_in_turn() -> None:
    world = World(partitions=3)
    rig = Rig(world, buffer_max=50)
    for number in range(3):
        for _ in range(150):
            world.kafka.append(rig.topic, Record(None, b"no JSON"), partition=number)
    await rig.promoted()
    while len(rig.taken) < 150:
        await rig.committed()
    assert Counter(partition for partition, _ in rig.taken[:150]) == {0: 50, 1: 50, 2: 50}
    await rig.intake.halt()


@pytest.mark.slow
async def test_a_record_whose_map_does_not_fit_is_read_again_when_it_does() -> None:
    world = World(partitions=1)
    rig = Rig(world)
    before, gap = 500, 25_000  # one more open offset at the far end of that gap makes a map too many bytes
    for each in range(before):
        world.submit(f"a{each}", "standard")
    log = world.kafka.logs(rig.topic)[0]
    for _ in range(gap):
        log.append(None, 0)  # markers of others
    world.submit("b", "standard")
    world.submit("c", "standard")
    await rig.promoted()
    await until(lambda: len(rig.taken) == before)
    asked = rig.log.taken
    await asyncio.sleep(2)
    assert len(rig.taken) == before
    assert rig.log.taken - asked < 20, "a record that does not fit is asked for again and again"
    assert rig.driver.core.room(LanePartition("standard", 0)) > 0, "it is the gap that does not fit"
    assert rig.log.position(0) == before + gap
    progress = rig.core.registry.progress[LanePartition("standard", 0)]
    for offset in range(10):
        finish(progress, offset)
    await until(lambda: len(rig.taken) == before + 2)
    assert rig.taken[-2:] == [(0, before + gap), (0, before + gap + 1)]
    await rig.intake.halt()


async def test_a_new_partition_is_found_and_the_others_go_on_where_they_were() -> None:
    world = World(partitions=1)
    rig = Rig(world)
    world.submit("a", "standard", partition=0)
    await rig.promoted()
    await until(lambda: rig.taken == [(0, 0)])
    world.kafka.create(rig.topic, 2)
    world.submit("b", "standard", partition=1)
    assert await until(lambda: rig.taken == [(0, 0), (1, 0)]) <= PARTITIONS_LOOKED_UP_EVERY_MS / 1_000 + 1
    assert [found.partition for found in rig.events(PartitionFound)] == [LanePartition("standard", 1)]
    assert rig.log.started == [{0: 0}, {0: 1, 1: 0}]
    world.submit("c", "standard", partition=0)
    await until(lambda: rig.taken == [(0, 0), (1, 0), (0, 1)])
    await rig.intake.halt()


async def test_a_halted_intake_has_nothing_in_between_and_begins_anew_without_a_gap() -> None:
    world = World(partitions=2)
    rig = Rig(world, buffer_max=1_000)
    for each in range(300):
        world.submit(f"r{each}", "standard", partition=each % 2)
    await rig.promoted()
    await asyncio.sleep(0)
    for _ in range(7):  # somewhere in the middle of a round
        await asyncio.sleep(0)
    await rig.intake.halt()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("intake")]
    before = len(rig.taken)
    await asyncio.sleep(1)
    assert len(rig.taken) == before
    assert rig.intake.failure() is None
    await rig.intake.begin({0: 0, 1: 0})  # what is in memory already is met again, and not posted again
    await until(lambda: len(rig.taken) == 300)
    await asyncio.sleep(1)
    assert sorted(rig.taken) == [(number, offset) for number in (0, 1) for offset in range(150)]
    await rig.intake.halt()
    await rig.intake.halt()


async def test_records_that_come_in_while_suspended_are_let_go_and_read_again_later() -> None:
    world = World(partitions=1)
    rig = Rig(world)
    await rig.promoted()
    await asyncio.sleep(1)
    rig.driver.post(Suspended())
    world.submit("a", "standard")
    await asyncio.sleep(2)
    assert rig.taken == []
    await rig.intake.halt()
    await rig.promoted()
    await until(lambda: rig.taken == [(0, 0)])
    rig.driver.post(StoodBy())
    rig.core.commands(world.clock.now_ms())
    world.submit("b", "standard")
    await asyncio.sleep(2)
    assert rig.taken == [(0, 0)]
    assert rig.intake.failure() is None
    await rig.intake.halt()


async def test_a_kafka_that_is_away_is_waited_for() -> None:
    world = World(partitions=1)
    rig = Rig(world)
    await rig.promoted()
    rig.link.cut()
    world.submit("a", "standard")
    await asyncio.sleep(2 * PARTITIONS_LOOKED_UP_EVERY_MS / 1_000)
    assert rig.taken == []
    assert rig.intake.failure() is None
    rig.link.mend()
    assert await until(lambda: rig.taken == [(0, 0)]) < 6
    await rig.intake.halt()
