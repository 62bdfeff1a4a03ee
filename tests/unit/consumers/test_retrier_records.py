"""What the retrier writes for each record of the failures topic, and what it remembers of that."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from headrace.broker.core.setback import Setback
from headrace.broker.errors import ProducerDead
from headrace.broker.ports import Fetched, Outgoing, StoredOffset, TopicPartition, TransactionLog, UnreadableRange
from headrace.broker.testing.kafka_doors import MemoryLane, MemoryTransactions
from headrace.consumers.retries.releases import Releases
from headrace.consumers.retries.retrier import _UNREADABLE, BYTES_A_TRANSACTION_MAX, Retrier
from headrace.consumers.retries.retry_budget import RetryBudgetRules
from headrace.consumers.retries.rewriting import LANE_CHARS_MAX
from headrace.schemas.codec import decode_dead_letter, encode_failure
from headrace.schemas.dead_letter import DeadLetter, Origin
from headrace.schemas.failure import FailureKind, RetryableFailure
from headrace.schemas.record import Record
from tests.unit.consumers.rig import FAILURES, Process, World
from tests.unit.service.rig import until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REFUSED = ProducerDead("No.", setback=Setback.REFUSED)
ORIGIN = Origin(FAILURES, 1, 9)


class Accepting:
    """A producer that commits all, or raises."""

    def __init__(self, error: ProducerDead | None = None) -> None:
        self._error = error
        self.sent: list[Outgoing] = []

    async def transact(self, outgoing: Sequence[Outgoing], offsets: dict[TopicPartition, StoredOffset]) -> list[int]:
        if self._error is not None:
            raise self._error
        self.sent.extend(outgoing)
        return []


class Bench:
    """A retrier that was never elected, with two partitions."""

    def __init__(self, **options: object) -> None:
        self.process = Process(World(), "a", **options)  # type: ignore[arg-type] # the options are the constructor's
        self.retrier: Retrier = self.process.retrier
        self.retrier._partitions = {number: Releases(0) for number in range(2)}
        self.retrier._retry_budgets.begin(0)
        self.counted = self.process.counted

    def refused(self, times: int, offset: int = 9) -> None:
        """The record at partition 1 was found to be the culprit that often."""
        self.retrier._culprits._refusals[1, offset] = times

    def writes(self, fetched: Fetched | None, offset: int = 9) -> Outgoing:
        return self.retrier._rewriting.written(1, offset, fetched, self.retrier._ranges.get((1, offset)))[0]

    def meets(self, record: Record, offset: int) -> None:
        self.retrier._meet(1, self.retrier._partitions[1], Fetched(offset, 0, record))

    async def releases(self, producer: Accepting) -> bool:
        return await self.retrier._release(producer)  # type: ignore[arg-type] # as far as it is asked


def failure(name: str = "x", *, lane: str = "bulk", due: datetime = EPOCH, size: int = 0) -> Record:
    made = RetryableFailure(
        id=name,
        run=3,
        kind=FailureKind.RATE_LIMITED,
        attempt=2,
        not_before=due,
        lane=lane,
        submitted_at=EPOCH,
        request={"id": name, "body": {"model": "m" * size}},
    )
    return encode_failure(made, time=EPOCH)


def at(record: Record) -> Fetched:
    return Fetched(9, 0, record)


def letter_of(outgoing: Outgoing) -> DeadLetter:
    assert outgoing.topic == "t.dead-letters"
    return decode_dead_letter(outgoing.record.key, outgoing.record.value, outgoing.record.headers)


# ---------------------------------------------------------------------------------------------------- what is written


async def test_a_failure_goes_back_to_its_lane_by_the_time_it_was_submitted() -> None:
    outgoing = Bench().writes(at(failure()))
    assert (outgoing.topic, outgoing.timestamp_ms) == ("t.requests.bulk", 0)


async def test_one_of_a_lane_that_is_gone_goes_to_the_last_one_and_the_log_says_so() -> None:
    for lane, told in (("gone", 1), ("urgent", 0)):
        with capture_logs() as lines:
            assert Bench().writes(at(failure(lane=lane))).topic == f"t.requests.{'bulk' if told else lane}"
        assert [line["event"] for line in lines] == ["lane_is_gone"] * told


async def test_one_that_its_lane_refused_is_a_dead_letter_and_without_content_if_that_was_refused_too() -> None:
    bench = Bench()
    for refusals, is_bare in ((1, False), (2, True)):
        bench.refused(refusals)
        letter = letter_of(bench.writes(at(failure())))
        assert (letter.reason, letter.run, letter.attempts) == ("unpublishable", 3, 2)
        assert (letter.value == b"") is is_bare


async def test_one_may_be_as_large_as_its_lane_takes_and_no_larger() -> None:
    bench = Bench()
    size = bench.writes(at(failure())).record.bytes_max
    for bytes_max, topic in ((size, "t.requests.bulk"), (size - 1, "t.dead-letters")):
        bench.retrier._rewriting._rules = replace(bench.retrier._rules, lane_bytes_max=bytes_max)
        assert bench.writes(at(failure())).topic == topic


@pytest.mark.parametrize("value", [b"{", None, b"[]"])
async def test_what_is_no_failure_is_a_dead_letter_and_no_defect_of_ours(value: bytes | None) -> None:
    bench = Bench()
    for refusals, is_bare in ((0, False), (1, True)):
        bench.refused(refusals)
        letter = letter_of(bench.writes(at(Record(None, value, ()))))
        assert (letter.reason, letter.origin) == ("undecodable", ORIGIN)
        assert (letter.sha256 is not None) is is_bare
    assert not bench.counted.contained_steps


async def test_a_lane_s_name_is_bounded() -> None:
    bench = Bench()
    assert bench.writes(at(failure(lane="l" * LANE_CHARS_MAX))).topic == "t.requests.bulk"
    assert bench.writes(at(failure(lane="l" * (LANE_CHARS_MAX + 1)))).topic == "t.dead-letters"


async def test_what_cannot_be_read_any_more_is_told_by_its_first_offset() -> None:
    bench = Bench()
    for removed, reason in ((True, "lost_by_retention"), (False, "undecodable")):
        bench.retrier._ranges[1, 9] = UnreadableRange(5, 9, removed=removed)
        letter = letter_of(bench.writes(None))
        assert (letter.reason, letter.origin) == (reason, ORIGIN._replace(offset=5))
    bench.retrier._ranges.clear()
    assert (letter_of(bench.writes(None)).reason, letter_of(bench.writes(None)).origin) == ("lost_by_retention", ORIGIN)


async def test_a_defect_of_ours_in_one_record_is_told_with_its_place() -> None:
    bench = Bench()
    bench.retrier._rewriting._rules = replace(bench.retrier._rules, lanes=())
    with capture_logs() as lines:
        assert letter_of(bench.writes(at(failure()))).reason == "undecodable"
    (line,) = lines
    assert (line["event"], line["partition"], line["offset"]) == ("contained", 1, 9)


async def test_what_is_rotten_or_older_than_1970_is_due_at_once() -> None:
    retrier = Bench().retrier
    assert retrier._rewriting.read(1, at(Record(None, b"{", ()))) == (None, 0)
    for due, due_ms in ((EPOCH - timedelta(days=1), 0), (EPOCH, 0), (EPOCH + timedelta(milliseconds=7), 7)):
        assert retrier._rewriting.read(1, at(failure(due=due)))[1] == due_ms


# ---------------------------------------------------------------------------------------------------- what it remembers


async def test_what_was_put_back_is_counted_and_dead_letters_apart() -> None:
    bench, producer = Bench(), Accepting()
    bench.meets(failure("a"), 0)
    bench.meets(Record(None, b"{", ()), 1)
    bench.meets(failure("b"), 2)
    assert dict(bench.retrier.waiting) == {"rate_limited": 2, "undecodable": 1}
    assert await bench.releases(producer)
    assert sorted(each.topic for each in producer.sent) == ["t.dead-letters", "t.requests.bulk", "t.requests.bulk"]
    assert (bench.retrier.put_back, bench.counted.lanes, bench.counted.letters) == (2, {"bulk": 2}, {"undecodable": 1})
    assert not any(bench.retrier.waiting.values())


async def test_what_is_rotten_needs_no_allowance() -> None:
    bench, producer = Bench(retry_budget=RetryBudgetRules(share=0.0, floor_per_s=0.2)), Accepting()
    bench.meets(Record(None, b"{", ()), 0)
    bench.retrier._retry_budgets.begin(bench.process.clock.now_ms())
    assert not bench.retrier._may_leave("bulk")
    assert bench.retrier._may_leave(_UNREADABLE)
    assert await bench.releases(producer)


async def test_a_range_is_told_once_and_never_asked_for_again() -> None:
    bench, producer = Bench(), Accepting()
    bench.retrier._ranges[1, 9] = UnreadableRange(5, 9, removed=False)
    bench.retrier._see(bench.retrier._partitions[1], 9, _UNREADABLE, 0, "undecodable")
    bench.process.link.cut()  # whoever asks for it hears nothing
    assert await bench.releases(producer)
    assert letter_of(producer.sent[0]).origin == ORIGIN._replace(offset=5)
    assert not bench.retrier._ranges


async def test_what_passes_is_refused_no_more_and_what_fails_is_halved() -> None:
    bench = Bench()
    for offset in range(4):
        bench.meets(failure(str(offset)), offset)
    with pytest.raises(ProducerDead):
        await bench.releases(Accepting(REFUSED))
    assert bench.retrier._culprits.count_max == 2
    assert bench.counted.transactions == {"unknown": 1}
    bench = Bench()
    bench.refused(1, offset=0)
    bench.meets(failure(), 0)
    assert await bench.releases(Accepting())
    assert bench.retrier._culprits.refusals((1, 0)) == 0
    assert bench.counted.transactions == {"committed": 1}


async def test_as_many_go_together_as_fit_a_transaction_by_the_heaviest_of_late() -> None:
    bench, left = Bench(), 20
    bench.meets(failure(size=600_000), 0)
    assert await bench.releases(Accepting())
    heaviest = bench.retrier._heaviest
    assert BYTES_A_TRANSACTION_MAX // 2 < heaviest < BYTES_A_TRANSACTION_MAX
    for offset in range(1, left + 1):
        bench.meets(failure(str(offset)), offset)
    while left:
        producer = Accepting()
        assert await bench.releases(producer)
        assert len(producer.sent) == min(left, BYTES_A_TRANSACTION_MAX // heaviest)
        left, heaviest = left - len(producer.sent), heaviest * 9 // 10
        assert bench.retrier._heaviest == heaviest


async def test_nothing_of_a_stretch_outlives_it() -> None:
    bench = Bench()
    bench.meets(failure(), 0)
    bench.retrier._ranges[1, 9] = UnreadableRange(5, 9, removed=False)
    bench.retrier._forget()
    shown = bench.retrier.snapshot()
    assert (shown["waiting"], shown["waiting_by_kind"], shown["held_bytes"]) == (0, {}, 0)
    assert not bench.retrier._ranges
    assert not bench.retrier.waiting


# ---------------------------------------------------------------------------------------------------- rounds


class Led:
    """A `Tenure`, as far as a round asks it."""

    def __init__(self, *, is_trusted: bool = True) -> None:
        self.is_trusted = is_trusted


async def idles(bench: Bench) -> int:
    """How long it waits, in ms."""
    begun_ms = bench.process.clock.now_ms()
    await bench.retrier._idle(trusted=True)
    return bench.process.clock.now_ms() - begun_ms


async def rounds(bench: Bench, producer: Accepting, *, is_trusted: bool = True) -> int:
    """How long a round lasts, in ms."""
    begun_ms = bench.process.clock.now_ms()
    await bench.retrier._round(producer, Led(is_trusted=is_trusted))  # type: ignore[arg-type] # as far as they are asked
    return bench.process.clock.now_ms() - begun_ms


async def begun(**options: object) -> Bench:
    bench = Bench(**options)
    await bench.process.doors.failures.start({0: 0, 1: 0})
    return bench


@pytest.mark.parametrize(
    ("due_in_ms", "idle_ms"), [([], 200), ([90, 50], 50), ([1], 1), ([0], 200), ([-5, 60], 60), ([900], 200)]
)
async def test_it_waits_until_the_next_record_is_due_and_a_fifth_of_a_second_at_most(
    due_in_ms: list[int], idle_ms: int
) -> None:
    bench = await begun()
    now = bench.process.clock.utc_now()
    bench.retrier._chosen_ms = bench.process.clock.utc_ms()
    for offset, due_ms in enumerate(due_in_ms):
        bench.meets(failure(lane=["bulk", "urgent"][offset], due=now + timedelta(milliseconds=due_ms)), offset)
    assert await idles(bench) == idle_ms


async def test_while_it_may_put_nothing_back_what_is_due_does_not_wake_it() -> None:
    bench = await begun()
    bench.meets(failure(due=bench.process.clock.utc_now()), 0)
    assert await rounds(bench, Accepting(), is_trusted=False) == 200


async def test_a_round_that_read_or_released_something_is_followed_by_the_next_at_once() -> None:
    bench, producer = await begun(), Accepting()
    bench.process.world.park("later", 100)
    assert [await rounds(bench, producer) for _ in range(2)] == [0, 200]
    bench.meets(failure(), 5)
    assert [await rounds(bench, producer) for _ in range(2)] == [0, 200]
    assert len(producer.sent) == 1


async def test_offsets_are_stored_again_in_time_by_a_retrier_that_is_trusted() -> None:
    bench, producer = await begun(recommit_every_ms=1_000), Accepting()
    bench.retrier._recommitted_ms = bench.process.clock.now_ms()
    for is_trusted, transactions in ((True, 2), (False, 0)):
        bench.counted.transactions.clear()
        for _ in range(12):
            await rounds(bench, producer, is_trusted=is_trusted)
        assert bench.counted.transactions.total() == transactions


class Counting(MemoryLane):
    looked = 0

    async def partitions(self) -> list[int]:
        self.looked += 1
        return await super().partitions()


async def test_new_partitions_are_looked_for_every_ten_seconds() -> None:
    bench = await begun()
    counting = Counting(bench.process.link, topic=FAILURES)
    await counting.start({0: 0, 1: 0})
    bench.retrier._doors = replace(bench.retrier._doors, failures=counting)
    bench.retrier._looked_up_ms = bench.process.clock.now_ms()
    for _ in range(31 * 5):
        await rounds(bench, Accepting())
    assert counting.looked == 3


class Closing(MemoryTransactions):
    closed = 0

    async def close(self) -> None:
        Closing.closed += 1
        await super().close()


class Watched(Process):
    def make_producer(self) -> TransactionLog:
        return Closing(self.link, transactional_id="t.retrier")


async def test_a_tenure_that_ends_leaves_no_task_no_producer_and_nothing_in_memory() -> None:
    world, before = World(), Closing.closed
    world.park("later", 100)
    process = Watched(world, "a").start()
    await until(lambda: process.health.role == "leader" and process.retrier.snapshot()["waiting"] == 1)
    assert "fresh work" in [task.get_name() for task in asyncio.all_tasks()]
    await process.end()
    assert "fresh work" not in [task.get_name() for task in asyncio.all_tasks()]
    assert Closing.closed == before + 1
    assert process.retrier.snapshot()["waiting"] == 0


class Torn(MemoryLane):
    """What nobody can read."""

    async def take(self, partition: int, records_max: int) -> UnreadableRange:
        return UnreadableRange(5, 9, removed=False)


async def test_a_range_that_nobody_can_read_counts_as_read() -> None:
    for is_trusted, letters in ((False, 0), (True, 2)):
        bench = Bench()
        bench.retrier._doors = replace(bench.retrier._doors, failures=Torn(bench.process.link, topic=FAILURES))
        assert await rounds(bench, Accepting(), is_trusted=is_trusted) == 0
        assert bench.counted.letters.total() == letters, "one for each partition"
