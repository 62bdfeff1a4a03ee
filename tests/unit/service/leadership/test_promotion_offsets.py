"""Offsets and maps that a promotion restores, refuses, or begins without."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.errors import LogUnavailable, ProgressUnreadable
from headrace.broker.ports import StoredOffset, TopicPartition
from headrace.broker.service.publishing.ledger_lines import claim_record
from headrace.schemas.ledger import encode_ledger
from headrace.schemas.record import Record
from tests.progress_seen import done_of, finish
from tests.unit.service.leadership.promoting import LEDGER, PLACE, TOPIC, claim, filled, promoted, put, stored
from tests.unit.service.rig import Process, World


async def test_offsets_are_read_after_the_fence_when_they_are_certain_to_be_the_last() -> None:
    world = World()
    world.kafka.offsets_lag = True
    filled(world, 9)
    old = Process(world, "old").producer()
    await old.open()
    for offset in (3, 9):
        kept = PartitionProgress(offset).store(1)
        await old.transact([], {TopicPartition(TOPIC, 0): StoredOffset(kept.offset, kept.metadata)})
    standing = await promoted(Process(world, "a"))
    assert standing.progress[PLACE].next_offset == 9


async def test_a_map_is_restored_with_its_holes() -> None:
    world = World()
    filled(world, 9)
    progress = PartitionProgress(0)
    for offset in range(6):
        progress.take(offset, world.kafka.committed(TOPIC)[offset].timestamp_ms)
    for offset in (0, 1, 4):
        finish(progress, offset)
    await stored(world, progress, 3)
    restored = (await promoted(Process(world, "a"))).progress[PLACE]
    assert (restored.base, restored.next_offset) == (2, 6)
    assert done_of(restored, range(6)) == [0, 1, 4]


@pytest.mark.parametrize("metadata", ["", "not ours", "hr9:AAAA", "hr1:AAAA"])
async def test_metadata_that_is_not_ours_is_refused_and_never_guessed_at(metadata: str) -> None:
    world = World()
    filled(world, 9)
    await put(world, StoredOffset(3, metadata))
    with pytest.raises(ProgressUnreadable, match=rf"progress stored for {TOPIC}/0"):
        await promoted(Process(world, "a"))


async def test_a_topic_made_anew_is_refused() -> None:
    world = World()
    await stored(world, PartitionProgress(12), 1)
    filled(world, 5)
    with pytest.raises(ProgressUnreadable, match="ends at 5, but offset 11 was taken from it"):
        await promoted(Process(world, "a"))


async def test_a_topic_made_anew_that_is_longer_by_now_is_known_by_its_last_record() -> None:
    world = World()
    filled(world, 9)
    old = world.kafka.committed(TOPIC)[4].timestamp_ms - 1_000
    progress = PartitionProgress(0)
    for offset in range(5):
        progress.take(offset, old)
    await stored(world, progress, 1)
    with pytest.raises(ProgressUnreadable, match="holds another record at offset 4 than the one that was taken"):
        await promoted(Process(world, "a"))


def known_as_another(world: World) -> None:
    """The ledger says that the stored progress belongs to a former topic of this name."""
    world.kafka.append(LEDGER, Record(None, encode_ledger(claim_record(1, "old", (), {TOPIC: "a former id"}))))


@pytest.mark.parametrize("metadata", ["", "not ours", "hr9:AAAA", "hr1:AAAA"])
async def test_a_damaged_map_of_a_former_topic_does_not_prevent_reading_the_new_one(metadata: str) -> None:
    world = World()
    filled(world, 9)
    known_as_another(world)
    await put(world, StoredOffset(3, metadata))
    standing = await promoted(Process(world, "a"))
    assert (standing.term, standing.progress[PLACE].next_offset) == (2, 0)


@pytest.mark.parametrize(("of_map", "ours"), [(1, 2), (2, 3), (9, 10)])
async def test_a_map_of_a_former_topic_still_tells_which_terms_are_taken(of_map: int, ours: int) -> None:
    world = World()
    filled(world, 9)
    known_as_another(world)
    await stored(world, PartitionProgress(4), of_map)
    standing = await promoted(Process(world, "a"))
    assert (standing.term, standing.progress[PLACE].next_offset) == (ours, 0)


async def test_a_last_record_that_is_the_same_or_gone_is_no_reason_to_refuse() -> None:
    world = World()
    filled(world, 9)
    progress = PartitionProgress(0)
    for offset in range(5):
        progress.take(offset, world.kafka.committed(TOPIC)[4].timestamp_ms)
    await stored(world, progress, 1)
    assert (await promoted(Process(world, "a"))).progress[PLACE].next_offset == 5
    world.kafka.logs(TOPIC)[0].trim(5)
    assert (await promoted(Process(world, "b"))).progress[PLACE].next_offset == 5


async def test_records_that_retention_took_first_are_lost_from_there() -> None:
    world = World()
    filled(world, 9)
    await stored(world, PartitionProgress(2), 1)
    world.kafka.logs(TOPIC)[0].trim(6)
    standing = await promoted(Process(world, "a"))
    assert standing.lost == {PLACE: 6}


async def test_no_offset_and_only_young_records_begins_at_the_first() -> None:
    world = World()
    filled(world, 3, timedelta(hours=23))
    assert (await promoted(Process(world, "a"))).progress[PLACE].next_offset == 0


async def test_no_offset_and_old_records_is_refused_until_the_operator_allows_it() -> None:
    world = World()
    filled(world, 3, timedelta(hours=25))
    with pytest.raises(ProgressUnreadable, match="--from-start standard"):
        await promoted(Process(world, "a"))
    with pytest.raises(ProgressUnreadable):
        await promoted(Process(world, "b", from_start=frozenset({"bulk"})))
    standing = await promoted(Process(world, "c", from_start=frozenset({"standard"})))
    assert standing.progress[PLACE].next_offset == 0


async def test_no_offset_and_a_log_that_begins_later_is_refused_until_the_operator_allows_it() -> None:
    world = World()
    filled(world, 5)
    world.kafka.logs(TOPIC)[0].trim(2)
    with pytest.raises(ProgressUnreadable, match="--from-start standard"):
        await promoted(Process(world, "a"))
    standing = await promoted(Process(world, "b", from_start=frozenset({"standard"})))
    assert standing.progress[PLACE].next_offset == 2


@pytest.mark.parametrize("claims", [True, False])
async def test_what_another_leader_did_while_the_offsets_were_read_asks_for_no_operator(
    monkeypatch: pytest.MonkeyPatch, *, claims: bool
) -> None:
    world = World()
    filled(world, 5)
    process = Process(world, "a")
    lane = process.promotion.intakes["standard"].log
    bounds = lane.bounds

    async def after_a_while(partitions: Sequence[int]) -> Mapping[int, tuple[int, int]]:
        if claims:
            world.kafka.append(LEDGER, claim(2, "b"))
        world.kafka.logs(TOPIC)[0].trim(2)
        return await bounds(partitions)

    monkeypatch.setattr(lane, "bounds", after_a_while)
    with pytest.raises(
        LogUnavailable if claims else ProgressUnreadable, match="Another claim" if claims else "--from-start"
    ):
        await promoted(process)


async def test_the_operators_permission_is_for_missing_offsets_only() -> None:
    world = World()
    filled(world, 5, timedelta(days=9))
    await stored(world, PartitionProgress(4), 1)
    standing = await promoted(Process(world, "a", from_start=frozenset({"standard"})))
    assert standing.progress[PLACE].next_offset == 4
