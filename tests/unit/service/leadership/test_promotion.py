"""Becoming the leader: each numbered rule of the module has a test that fails without it."""

import asyncio
from datetime import timedelta

import pytest

from headrace.broker.adapters.openai.address import OPENAI_URL
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.errors import LogUnavailable, ProducerDead, ProgressUnreadable
from headrace.broker.ports import Outgoing, StoredOffset, TopicPartition
from headrace.broker.service.calls.base_url_proof import mark_of
from headrace.broker.service.leadership.promotion import LeaseLostError
from headrace.broker.testing.kafka import CommitFault
from headrace.schemas.ids import id_hash
from headrace.schemas.ledger import LedgerEntry, LedgerKind, LedgerRecord, LedgerState, encode_ledger
from headrace.schemas.record import Record
from tests.unit.service.leadership.promoting import LEDGER, PLACE, TOPIC, claim, filled, promoted, stored
from tests.unit.service.rig import NAME, Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME


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
