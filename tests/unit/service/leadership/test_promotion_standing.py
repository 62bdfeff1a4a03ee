"""What a promotion finds beside the maps: suspects, ids of topics, an hour that is wrong, and lanes that fail."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.progress.poison_records import CautiousRead
from headrace.broker.core.ticket import LanePartition
from headrace.broker.errors import LogUnavailable, ProgressUnreadable
from headrace.broker.service.leadership.promotion import CLAIMS_MAX
from headrace.broker.service.publishing.ledger_lines import claim_record
from headrace.broker.testing.kafka_doors import MemoryLane
from headrace.broker.testing.lease import MemoryLeaseStore
from headrace.schemas.ids import id_hash
from headrace.schemas.ledger import LedgerEntry, LedgerKind, LedgerRecord, LedgerState, encode_ledger
from headrace.schemas.record import Record
from headrace.schemas.topics import control_topic, requests_topic
from tests.unit.service.leadership.promoting import LEDGER, PLACE, TOPIC, claim, filled, promoted, stored
from tests.unit.service.rig import PREFIX, Process, World
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

ADDED = LanePartition("standard", 1)
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


def write(world: World, line: LedgerRecord, age_ms: int = 0) -> None:
    world.kafka.append(LEDGER, Record(None, encode_ledger(line)), at_ms=world.clock.utc_ms() - age_ms)


def ids(world: World) -> dict[str, str]:
    lanes = [requests_topic(PREFIX, lane) for lane in ("urgent", "standard", "bulk")]
    return {topic: world.kafka.topic_id(topic) for topic in (*lanes, control_topic(PREFIX))}


class AskedLane(MemoryLane):
    """Notes the offsets whose timestamps are asked for."""

    asked: list[Mapping[int, int]]

    async def timestamps_ms(self, offsets: Mapping[int, int]) -> dict[int, int]:
        self.asked.append(dict(offsets))
        return await super().timestamps_ms(offsets)


class Asking(Process):
    lane_type = AskedLane


class LaneWithoutId(MemoryLane):
    """As before Kafka 2.8."""

    async def partitions(self) -> list[int]:
        numbers = await super().partitions()
        self.topic_id = None
        return numbers


class OnOldKafka(Process):
    lane_type = LaneWithoutId


# ---------------------------------------------------------------------------------------------------- claims


async def test_claims_in_between_are_answered_so_many_times() -> None:
    world = World()
    world.kafka.commit_takes_s = 0.1
    process = Process(world, "a")
    promoting = asyncio.create_task(promoted(process))
    for number in range(20 * CLAIMS_MAX):
        await asyncio.sleep(0.03)
        world.kafka.append(LEDGER, claim(100 + number, "b"))
    with pytest.raises(LogUnavailable, match="Other claims keep arriving"):
        await promoting
    assert [owner for _, owner in world.claims()].count("a") == CLAIMS_MAX


async def test_a_claim_says_the_key_of_grants_and_the_next_one_the_same() -> None:
    world = World()
    await promoted(Process(world, "a"))
    await promoted(Process(world, "b"))
    first, second = world.ledger()
    assert first.key
    assert (second.key, second.key_since_s) == (first.key, first.key_since_s)


# ---------------------------------------------------------------------------------------------------- suspects


async def test_a_claim_says_where_a_partition_with_a_suspect_stands_and_the_term_reads_it_with_caution() -> None:
    world = World()
    filled(world, 9)
    await stored(world, PartitionProgress(3), 1)
    write(world, claim_record(1, "x"))
    write(world, LedgerRecord(LedgerKind.STEP, 1, "x", suspects=(f"{TOPIC}/0/5", f"{TOPIC}/1/0")))
    write(world, claim_record(2, "y"))
    standing = await promoted(Process(world, "a"))
    assert world.ledger()[-1].suspects == (f"{TOPIC}/0/3", f"{TOPIC}/1/0"), "no offset is stored of the second one"
    assert standing.cautions == {
        PLACE: CautiousRead(9, {}, frozenset({5})),
        ADDED: CautiousRead(1, {}, frozenset({0})),
    }, "after two deaths in a row every partition is read with caution, if it holds anything to be read"


# ---------------------------------------------------------------------------------------------------- clocks


async def test_the_ledger_is_read_further_back_where_redis_says_that_it_is_earlier() -> None:
    world = World()
    for age_ms in (90, 65, 45, 20, 0):
        entry = LedgerEntry(id_hash(f"led {age_ms}"), 0, 0, LedgerState.COMPLETED, b"f" * 8)
        write(world, LedgerRecord(LedgerKind.STEP, 1, "x", settled=(entry,)), age_ms * MINUTE_MS)
    world.leases = MemoryLeaseStore(lambda: world.clock.utc_ms() - HOUR_MS)
    process = Process(world, "a")
    await process.follower.catch_up()
    assert not process.core.identities.knows(id_hash("led 90"))
    await promoted(process)
    assert process.core.identities.knows(id_hash("led 90"))


async def test_the_claim_shows_what_time_it_is_by_kafka() -> None:
    world = World()
    loop = asyncio.get_running_loop()
    begun_ms = world.clock.utc_ms() - HOUR_MS - int(loop.time() * 1_000)

    def true_ms() -> int:
        return begun_ms + int(loop.time() * 1_000)

    world.kafka.utc_ms, world.leases = true_ms, MemoryLeaseStore(true_ms)
    await promoted(Process(world, "a"))
    assert world.clock.utc_ms() == true_ms(), "Redis and Kafka say the same, and ours is an hour ahead"


# ---------------------------------------------------------------------------------------------------- topics


async def test_a_standing_tells_the_ids_of_the_topics_that_have_one() -> None:
    world = World()
    assert (await promoted(Process(world, "a"))).topic_ids == ids(world)
    assert (await promoted(OnOldKafka(world, "b"))).topic_ids == {}


@pytest.mark.parametrize("removed", [0, 5, 6])
async def test_the_last_record_that_was_taken_is_asked_for_unless_retention_has_removed_it(removed: int) -> None:
    world = World()
    filled(world, 9)
    progress = PartitionProgress(0)
    for offset in range(5):
        progress.take(offset, world.kafka.committed(TOPIC)[offset].timestamp_ms)
    await stored(world, progress, 1)
    write(world, claim_record(1, "x"))
    world.kafka.logs(TOPIC)[0].trim(removed)
    AskedLane.asked = []
    await promoted(Asking(world, "a"))
    assert AskedLane.asked == ([] if removed else [{0: 4}]), "a lane that was never read is asked for nothing"


# ---------------------------------------------------------------------------------------------------- no offset


async def with_a_partition_added(
    world: World, *, known: bool = True, others: bool = True, unled_ms: int = 0, first_ms: int = 25 * HOUR_MS
) -> None:
    """A leader stored all progress; then the second partition came, with a first record of that age."""
    filled(world, 3)
    if others:
        await stored(world, PartitionProgress(3), 1)
    topics = {TOPIC: world.kafka.topic_id(TOPIC)} if known else {}
    write(world, LedgerRecord(LedgerKind.STEP, 1, "x", topics=topics), unled_ms)
    at_ms = world.clock.utc_ms() - first_ms
    world.kafka.append(TOPIC, Record(None, b"old"), partition=1, at_ms=at_ms)


async def test_a_partition_that_was_added_since_is_read_however_old_its_first_record() -> None:
    world = World()
    await with_a_partition_added(world, unled_ms=DAY_MS - 1)
    progress = (await promoted(Process(world, "a"))).progress
    assert (progress[PLACE].next_offset, progress[ADDED].next_offset) == (3, 0)


@pytest.mark.parametrize(
    ("make", "left"),
    [
        (Process, {"known": False}),
        (Process, {"others": False}),
        (Process, {"unled_ms": DAY_MS}),
        (OnOldKafka, {"known": False}),
        (OnOldKafka, {}),
    ],
    ids=["an unknown topic", "no other offset", "a day without a leader", "no ids at all", "no ids any more"],
)
async def test_a_partition_that_may_have_lost_its_offset_is_refused(make: type[Process], left: dict[str, int]) -> None:
    world = World()
    await with_a_partition_added(world, **left)  # type: ignore[arg-type] # flags and times alike
    before_ms = world.clock.utc_ms()
    with pytest.raises(ProgressUnreadable, match=rf"No progress is stored for {TOPIC}/1"):
        await promoted(make(world, "a"))
    assert world.clock.utc_ms() == before_ms, "the day without a leader was exactly one"


@pytest.mark.parametrize(("age_ms", "is_taken"), [(DAY_MS - 1, True), (DAY_MS, False)])
async def test_a_first_record_is_young_for_a_day(age_ms: int, *, is_taken: bool) -> None:
    world = World()
    filled(world, 1, timedelta(milliseconds=age_ms))
    promoting = promoted(Process(world, "a"))
    if is_taken:
        assert (await promoting).progress[PLACE].next_offset == 0
    else:
        with pytest.raises(ProgressUnreadable, match="No progress is stored"):
            await promoting


async def test_the_progress_of_a_topic_that_tells_no_id_any_more_is_believed() -> None:
    world = World()
    filled(world, 9)
    await stored(world, PartitionProgress(3), 1)
    write(world, LedgerRecord(LedgerKind.STEP, 1, "x", topics={TOPIC: world.kafka.topic_id(TOPIC)}))
    assert (await promoted(OnOldKafka(world, "a"))).progress[PLACE].next_offset == 3


# ---------------------------------------------------------------------------------------------------- a lane fails


class Slow(MemoryLane):
    """Tells its bounds after a second, but for the urgent lane, which cannot be asked."""

    told: list[str]

    async def bounds(self, partitions: Sequence[int]) -> dict[int, tuple[int, int]]:
        if self._topic == requests_topic(PREFIX, "urgent"):
            raise LogUnavailable(self._topic)
        await asyncio.sleep(1)
        self.told.append(self._topic)
        return await super().bounds(partitions)


class Unlike(Process):
    lane_type = Slow


async def test_no_question_is_under_way_any_more_when_a_promotion_has_failed() -> None:
    world = World()
    Slow.told = []
    with pytest.raises(LogUnavailable):
        await promoted(Unlike(world, "a"))
    assert TOPIC in Slow.told
