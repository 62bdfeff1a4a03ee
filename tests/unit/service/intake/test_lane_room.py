"""How many more records of a partition are taken."""

import asyncio

from headrace.broker.core.ticket import LanePartition
from headrace.broker.service.intake.lane_room import CLOSED_WAIT_MS, LaneRoom
from tests.unit.service.intake.test_lane_intake import Rig
from tests.unit.service.rig import World
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


async def test_a_partition_has_the_room_that_the_core_has_for_it() -> None:
    rig = Rig(World(partitions=1), buffer_max=7)
    room = LaneRoom("standard", rig.driver)
    assert room.of(0) == 0, "nothing is taken unless this process leads"
    await rig.promoted()
    await rig.intake.halt()
    assert room.of(0) == rig.core.room(LanePartition("standard", 0)) > 0


async def test_a_partition_whose_next_record_does_not_fit_has_none_for_a_while_and_others_have() -> None:
    rig = Rig(World(partitions=2))
    room = LaneRoom("standard", rig.driver)
    await rig.promoted()
    await rig.intake.halt()
    room.close(0)
    assert room.of(0) == 0
    assert room.of(1) > 0
    await asyncio.sleep(CLOSED_WAIT_MS / 1_000)
    assert room.of(0) > 0
