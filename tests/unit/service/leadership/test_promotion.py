"""Becoming the leader: each numbered rule of the module has a test that fails without it."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from headrace.broker.adapters.openai.environment import OPENAI_URL
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.ticket import LanePartition
from headrace.broker.errors import LogUnavailable, ProducerDead, ProgressUnreadable
from headrace.broker.ports import Outgoing, StoredOffset, TopicPartition
from headrace.broker.service.calls.base_url_proof import mark_of
from headrace.broker.service.leadership.promotion import LeaseLostError, RestoredState
from headrace.broker.service.publishing.ledger_lines import claim_record
from headrace.broker.testing.kafka import CommitFault
from headrace.schemas.ids import id_hash
from headrace.schemas.ledger import LedgerEntry, LedgerKind, LedgerRecord, LedgerState, encode_ledger
from headrace.schemas.record import Record
from headrace.schemas.topics import ledger_topic, requests_topic
from tests.progress_seen import done_of, finish
from tests.unit.service.rig import NAME, PREFIX, Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

LEDGER = ledger_topic(PREFIX)
TOPIC = requests_topic(PREFIX, "standard")
PLACE = LanePartition("standard", 0)


async def yes() -> bool:
    return True


async def promoted(process: Process, own_term: int = 0) -> RestoredState:
    return await process.promotion.run(process.producer(), yes, own_term)


def claim(term: int, owner: str) -> Record:
    return Record(None, encode_ledger(claim_record(term, owner)))


async def stored(world: World, progress: PartitionProgress, term: int) -> None:
    """What a leader of that term left for the first partition of `standard`."""
    kept = progress.store(term)
    await put(world, StoredOffset(kept.offset, kept.metadata))


async def put(world: World, offset: StoredOffset) -> None:
    producer = Process(world, "predecessor").producer()
    await producer.open()
    await producer.transact([], {TopicPartition(TOPIC, 0): offset})


def filled(world: World, count: int, age: timedelta = timedelta()) -> None:
    at_ms = world.clock.utc_ms() - int(age.total_seconds() * 1_000)
    for number in range(count):
        world.kafka.append(TOPIC, Record(None, b"%d" % number), partition=0, at_ms=at_ms)


async def test_the_first_of_all_gets_term_one_and_begins_everywhere() -> None:
    world = World()
    standing = await promoted(Process(world, "a"))
    assert standing.term == 1
    assert {place.lane for place in standing.progress} == {"urgent", "standard", "bulk", "control"}
    assert {progress.next_offset for progress in standing.progress.values()} == {0}
    assert not standing.lost
    assert world.claims() == [(1, "a")]


# ---------------------------------------------------------------------------------------------------- 1 fence


async def test_the_predecessor_is_fenced_and_its_open_transaction_is_not_taken_for_true() -> None:
    world = World()
    old = Process(world, "old").producer()
    await old.open()
    world.kafka.commit_faults.append(CommitFault.LOST)
    with pytest.raises(ProducerDead):
        await old.transact([Outgoing(LEDGER, claim(7, "old"))], {TopicPartition(TOPIC, 0): StoredOffset(5, "x")})
    standing = await promoted(Process(world, "a"))
    assert standing.term == 1
    assert standing.progress[PLACE].next_offset == 0


async def test_a_producer_that_cannot_start_is_dead_and_claims_nothing() -> None:
    world = World()
    process = Process(world, "a")
    process.link.cut()
    with pytest.raises(ProducerDead):
        await promoted(process)
    assert world.claims() == []


# ---------------------------------------------------------------------------------------------------- 2 lease


async def test_a_lease_lost_meanwhile_claims_nothing() -> None:
    world = World()
    process = Process(world, "a")
    asked: list[int] = []

    async def no() -> bool:
        asked.append(world.kafka.opened[NAME])
        return False

    with pytest.raises(LeaseLostError):
        await process.promotion.run(process.producer(), no, 0)
    assert asked == [1], "asked once, and after the fence"
    assert world.claims() == []


# ---------------------------------------------------------------------------------------------------- 3 claim


async def test_the_term_is_one_above_the_highest_ever_claimed() -> None:
    world = World()
    for term, owner in ((1, "x"), (5, "y"), (4, "z")):
        world.kafka.append(LEDGER, claim(term, owner))
    assert (await promoted(Process(world, "a"))).term == 6


async def test_a_term_shows_in_its_steps_when_its_claim_has_left_the_window() -> None:
    world = World()
    world.kafka.append(LEDGER, Record(None, encode_ledger(LedgerRecord(LedgerKind.STEP, 8, "old"))))
    assert (await promoted(Process(world, "a"))).term == 9


async def test_who_claims_again_keeps_its_term_unless_somebody_else_claimed() -> None:
    world = World()
    process = Process(world, "a")
    assert (await promoted(process)).term == 1
    assert (await promoted(process, own_term=1)).term == 1
    world.kafka.append(LEDGER, claim(2, "b"))
    assert (await promoted(process, own_term=1)).term == 3
    assert world.claims() == [(1, "a"), (1, "a"), (2, "b"), (3, "a")]


async def test_a_claim_hands_on_the_proof_of_the_base_url_and_the_totals_that_its_writer_has_read() -> None:
    """Terms that only claim would otherwise lose both, once the last step has left the window of the ledger."""
    world = World()
    mark, totals = mark_of(OPENAI_URL), {"completed": 7}
    step = LedgerRecord(LedgerKind.STEP, 1, "old", proved=mark, totals=totals)
    world.kafka.append(LEDGER, Record(None, encode_ledger(step)))
    await promoted(Process(world, "a"))
    claimed = world.ledger()[-1]
    assert claimed.kind is LedgerKind.CLAIM
    assert (claimed.proved, claimed.totals) == (mark, totals)


async def test_a_claim_that_is_not_committed_promotes_nobody() -> None:
    world = World()
    world.kafka.commit_faults.append(CommitFault.STORED)
    with pytest.raises(ProducerDead):
        await promoted(Process(world, "a"))


# ---------------------------------------------------------------------------------------------------- 4 read back


async def test_every_fate_a_predecessor_committed_is_known_afterwards() -> None:
    world = World()
    process = Process(world, "a")
    await process.follower.catch_up()
    entry = LedgerEntry(id_hash("lead-1"), 0, 0, LedgerState.COMPLETED, b"f" * 8)
    step = LedgerRecord(LedgerKind.STEP, 1, "old", settled=(entry,))
    world.kafka.append(LEDGER, Record(None, encode_ledger(step)))
    await promoted(process)
    assert process.core.identities.fate(id_hash("lead-1")) == (Fate.COMPLETED, 0, 0)


async def test_a_claim_that_does_not_come_back_promotes_nobody() -> None:
    world = World()
    world.kafka.begin("stranger", [(LEDGER, Record(None, b"{}"), None)])  # open: it hides what is behind it
    begun_s = asyncio.get_running_loop().time()
    with pytest.raises(LogUnavailable, match="cannot be read back"):
        await promoted(Process(world, "a"))
    assert asyncio.get_running_loop().time() - begun_s < 20


async def test_a_ledger_of_a_later_release_ends_the_start() -> None:
    world = World()
    world.kafka.append(LEDGER, Record(None, b'{"v": 99}'))
    with pytest.raises(ProgressUnreadable, match="run the release that wrote it"):
        await promoted(Process(world, "a"))


# ---------------------------------------------------------------------------------------------------- 5 offsets


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
async def test_a_damaged_map_of_a_former_topic_keeps_nobody_from_reading_the_new_one(metadata: str) -> None:
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


# ---------------------------------------------------------------------------------------------------- 6 who was faster


async def test_a_foreign_claim_of_our_term_in_between_means_one_more_above_it() -> None:
    world = World()
    world.kafka.commit_takes_s = 0.1
    process = Process(world, "a")
    promoting = asyncio.create_task(promoted(process))
    await asyncio.sleep(0.05)
    world.kafka.append(LEDGER, claim(1, "b"))
    assert (await promoting).term == 2
    assert world.claims() == [(1, "a"), (1, "b"), (2, "a")]


@pytest.mark.parametrize(("of_map", "ours"), [(1, 2), (9, 10)])
async def test_a_map_of_our_term_or_a_later_one_means_one_more_above_it(of_map: int, ours: int) -> None:
    world = World()
    filled(world, 3)
    await stored(world, PartitionProgress(3), of_map)
    standing = await promoted(Process(world, "a"))
    assert standing.term == ours
    assert world.claims() == [(1, "a"), (ours, "a")]


async def test_our_own_maps_are_no_reason_to_claim_above_them() -> None:
    world = World()
    filled(world, 3)
    process = Process(world, "a")
    await promoted(process)
    await stored(world, PartitionProgress(3), 1)
    assert (await promoted(process, own_term=1)).term == 1


# ---------------------------------------------------------------------------------------------------- away


async def test_a_kafka_that_goes_away_on_the_way_promotes_nobody() -> None:
    world = World()
    world.kafka.commit_takes_s = 0.5
    process = Process(world, "a")
    promoting = asyncio.create_task(promoted(process))
    await asyncio.sleep(0.2)
    process.link.cut()
    with pytest.raises(ProducerDead):
        await promoting


async def test_what_a_promotion_cannot_believe_ends_the_process_and_frees_the_lease() -> None:
    world = World()
    filled(world, 3, timedelta(days=9))
    process = Process(world, "a").start()
    await until(process.leading.done, 10)
    with pytest.raises(ProgressUnreadable):
        process.leading.result()
    assert world.holder() == "released"
    process.tasks[0].cancel()


async def test_what_retention_took_is_buried_once_and_the_rest_is_served() -> None:
    world = World(partitions=1)
    world.submit("lost", "standard")
    world.submit("kept", "standard")
    await stored(world, PartitionProgress(0), 1)
    world.kafka.logs(TOPIC)[0].trim(1)
    process = Process(world, "a").start()
    await led(process)
    await until(lambda: len(world.outcomes()) == 1)
    assert world.counts() == {("kept", 0): 1}
    (letter,) = world.dead_letters()
    assert dict(letter.headers)["headrace-reason"] == b"lost_by_retention"
    await process.end()
    again = Process(world, "b").start()
    await led(again)
    await asyncio.sleep(5)
    assert len(world.dead_letters()) == 1
    await again.end()
