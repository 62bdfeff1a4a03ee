"""Fetched records on their way to the core: read, stamped and posted, or reported as lost."""

import pytest

from headrace.broker.core.events import Lost, Taken
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.ticket import Candidate, Garbage, LanePartition, Source
from headrace.broker.ports import Fetched, UnreadableRange
from headrace.broker.service.intake.control import ControlReader
from headrace.broker.service.intake.entry import Entry
from headrace.broker.service.intake.handover import NO_TIMESTAMP, STAMPED_AHEAD_MAX_MS, Handover
from headrace.broker.service.offload import at_once
from headrace.schemas.record import Record
from headrace.schemas.request_codec import InputLimits
from tests.progress_seen import done_of
from tests.unit.service.intake.test_lane_intake import Rig
from tests.unit.service.rig import World, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


async def test_records_are_read_priced_and_handed_over() -> None:
    world = World(partitions=1)
    rig = Rig(world)
    world.submit("a", "standard")
    await rig.promoted()
    await until(lambda: bool(rig.taken))
    (event,) = rig.events(Taken)
    assert isinstance(event.content, Candidate)
    assert min(event.content.prices.tokens) > 0
    assert event.bytes > len(world.kafka.committed(rig.topic)[0].record.value or b"")
    cargo = rig.driver.hold[event.number]
    assert (cargo.limit, cargo.topic, cargo.submitted_at) == (event.content.limit, rig.topic, cargo.taken_at)
    await rig.intake.halt()


async def test_an_unreadable_batch_is_one_loss_and_the_records_behind_it_come() -> None:
    world = World(partitions=1)
    rig = Rig(world)
    for each in "abcdef":
        world.submit(each, "standard", partition=0)
    world.kafka.logs(rig.topic)[0].damage(2, 4)
    await rig.promoted()
    await until(lambda: len(rig.taken) == 3)
    assert rig.taken == [(0, 0), (0, 1), (0, 5)]
    (lost,) = rig.events(Lost)
    assert (lost.offset, lost.removed) == (5, False)
    progress = rig.core.registry.progress[LanePartition("standard", 0)]
    assert done_of(progress, range(6)) == [2, 3, 4]
    await rig.intake.halt()


async def test_an_unreadable_batch_at_the_end_is_not_met_again_after_a_promotion() -> None:
    """Else each new leader would bury the rest of the range once more."""
    world = World(partitions=1)
    rig = Rig(world)
    for each in "abc":
        world.submit(each, "standard", partition=0)
    world.kafka.logs(rig.topic)[0].damage(0, 2)
    await rig.promoted()
    await until(lambda: bool(rig.events(Lost)))
    assert rig.core.registry.progress[LanePartition("standard", 0)].next_offset == 3
    await rig.intake.halt()


async def test_records_that_retention_took_first_are_lost_and_said_so() -> None:
    world = World(partitions=1)
    rig = Rig(world)
    for each in "abcd":
        world.submit(each, "standard", partition=0)
    world.kafka.logs(rig.topic)[0].trim(2)
    await rig.promoted()
    await until(lambda: len(rig.taken) == 2)
    assert rig.taken == [(0, 2), (0, 3)]
    (lost,) = rig.events(Lost)
    assert (lost.offset, lost.removed) == (2, True)
    await rig.intake.halt()


@pytest.mark.parametrize("timestamp_ms", [-77, -1, 0, 2**62, 300_000_000_000_000])
async def test_no_timestamp_of_a_producer_ends_the_intake(timestamp_ms: int) -> None:
    world = World(partitions=1)
    rig = Rig(world)
    await rig.promoted()
    value = b'{"id": "odd", "body": {"model": "gpt-4o-mini", "messages": []}}'
    world.kafka.append(rig.topic, Record(None, value), partition=0, at_ms=timestamp_ms)
    await until(lambda: rig.taken == [(0, 0)])
    assert rig.core.registry.progress[LanePartition("standard", 0)].store(1).metadata
    world.submit("b", "standard")
    await until(lambda: rig.taken == [(0, 0), (0, 1)])
    (cargo,) = [cargo for cargo in rig.driver.hold.cargo.values() if cargo.source.offset == 0]
    assert cargo.submitted_at <= world.clock.utc_now(), "nobody submits in the future, to live longer"
    assert rig.intake.failure() is None
    await rig.intake.halt()


PLACE = LanePartition("control", 0)
CANCEL = Record(b"x", b'{"type": "cancel", "id": "x"}')


def handing_over(rig: Rig) -> Handover:
    """Of the control topic; the core does not lead, and lets go of what it is handed."""
    return Handover("control", Entry(ControlReader(InputLimits()), at_once, rig.contained), rig.driver)


async def cancelled(rig: Rig, timestamp_ms: int) -> CancelRecord:
    (await handing_over(rig).read(Source(PLACE, 7), Fetched(7, timestamp_ms, CANCEL)))()
    (event,) = rig.events(Taken)
    assert isinstance(event.content, CancelRecord)
    return event.content


@pytest.mark.parametrize(
    ("ahead_ms", "believed_ms"),
    [(-5_000, -5_000), (60_000, 60_000), (10 * STAMPED_AHEAD_MAX_MS, STAMPED_AHEAD_MAX_MS)],
)
async def test_a_cancel_has_the_time_of_its_record_and_none_more_than_a_day_ahead(
    ahead_ms: int, believed_ms: int
) -> None:
    rig = Rig(World(partitions=1))
    now_ms = rig.world.clock.utc_ms()
    assert (await cancelled(rig, now_ms + ahead_ms)).at_ms == now_ms + believed_ms


async def test_a_cancel_without_a_time_has_that_of_its_reading() -> None:
    rig = Rig(World(partitions=1))
    assert (await cancelled(rig, NO_TIMESTAMP)).at_ms == rig.world.clock.utc_ms()


async def test_nothing_is_handed_over_before_it_is_said_so() -> None:
    rig = Rig(World(partitions=1))
    hand_over = await handing_over(rig).read(Source(PLACE, 7), Fetched(7, 0, CANCEL))
    assert rig.heard == []
    hand_over()
    assert [event.source.offset for event in rig.events(Taken)] == [7]


async def test_what_must_not_be_decoded_any_more_is_handed_over_as_what_its_headers_say() -> None:
    rig = Rig(World(partitions=1))
    handing_over(rig).give_unread(Source(PLACE, 7), Fetched(7, 0, CANCEL))
    (event,) = rig.events(Taken)
    assert isinstance(event.content, Garbage)
    assert event.content.reason == "crashed"


async def test_a_lost_range_ends_below_the_offset_behind_it() -> None:
    rig = Rig(World(partitions=1))
    handover = handing_over(rig)
    handover.lose_batch(PLACE, UnreadableRange(3, 5, removed=True))
    handover.lose(PLACE, 9, removed=False, crashed=True)
    told = [(event.partition, event.offset, event.removed, event.crashed) for event in rig.events(Lost)]
    assert told == [(PLACE, 6, True, False), (PLACE, 9, False, True)]
