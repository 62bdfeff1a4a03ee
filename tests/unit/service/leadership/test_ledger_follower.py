"""Following the ledger: every line told to the core, every claim remembered, and no end that is not one."""

import asyncio

import pytest
import structlog.testing

from headrace.broker.adapters.openai.address import OPENAI_URL
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.progress.poison_records import CautiousRead
from headrace.broker.errors import LogUnavailable, ProgressUnreadable
from headrace.broker.service.calls.base_url_proof import mark_of
from headrace.broker.service.publishing.ledger_lines import claim_record, left_record
from headrace.schemas.ids import id_hash
from headrace.schemas.ledger import LedgerEntry, LedgerKind, LedgerRecord, LedgerState, encode_ledger
from headrace.schemas.record import Record
from headrace.schemas.topics import ledger_topic
from tests.unit.service.rig import PREFIX, Process, World
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

LEDGER = ledger_topic(PREFIX)
HOUR_MS, MINUTE_MS = 3_600_000, 60_000


def step(request_id: str, term: int = 1, owner: str = "old") -> LedgerRecord:
    entry = LedgerEntry(id_hash(request_id), 0, 0, LedgerState.COMPLETED, b"f" * 8)
    return LedgerRecord(LedgerKind.STEP, term, owner, settled=(entry,))


def write(world: World, *records: LedgerRecord, age_ms: int = 0) -> None:
    for record in records:
        world.kafka.append(LEDGER, Record(None, encode_ledger(record)), at_ms=world.clock.utc_ms() - age_ms)


async def test_every_line_within_the_window_is_told_and_older_ones_are_not() -> None:
    world = World()
    write(world, step("forgotten"), age_ms=HOUR_MS + 10_000)
    write(world, step("first"), age_ms=HOUR_MS - 10_000)
    write(world, step("between"), age_ms=HOUR_MS // 2)
    write(world, step("last"))
    process = Process(world, "a")
    await process.follower.catch_up()
    known = [one for one in ("forgotten", "first", "last") if process.core.identities.knows(id_hash(one))]
    assert known == ["first", "last"]
    assert process.core.identities.fate(id_hash("last")) == (Fate.COMPLETED, 0, 0)
    assert process.follower.lines == 3


@pytest.mark.parametrize("pauses_ms", [(3 * HOUR_MS,), (40 * MINUTE_MS, 40 * MINUTE_MS), (2 * HOUR_MS, 50 * MINUTE_MS)])
async def test_time_in_which_nobody_led_is_no_part_of_the_window(pauses_ms: tuple[int, ...]) -> None:
    """Short terms follow, which died before they could say again what they had read."""
    world = World()
    ago_ms = sum(pauses_ms) + 50 * MINUTE_MS
    write(world, step("forgotten"), age_ms=ago_ms + HOUR_MS)
    write(world, step("parked"), age_ms=ago_ms)
    for number in range(5):
        write(world, step(f"led {number}"), age_ms=ago_ms - (number + 1) * 10 * MINUTE_MS)
    for number, pause_ms in enumerate(pauses_ms):
        ago_ms -= (50 * MINUTE_MS if number == 0 else 0) + pause_ms
        write(world, claim_record(2 + number, f"p{number}"), age_ms=ago_ms)
    process = Process(world, "a")
    await process.follower.catch_up()
    assert process.core.identities.knows(id_hash("led 0"))
    assert process.follower.highest_term == 1 + len(pauses_ms)
    told = process.follower.lines
    await process.follower.catch_up()
    assert process.follower.lines == told


async def test_a_standby_that_follows_reads_nothing_again_however_long_nobody_led() -> None:
    world = World()
    write(world, step("first"))
    process = Process(world, "a")
    await process.follower.catch_up()
    await asyncio.sleep(5 * HOUR_MS / 1_000)
    write(world, step("last"))
    await process.follower.catch_up()
    await process.follower.catch_up()
    assert process.follower.lines == 2


@pytest.mark.parametrize(("age_ms", "is_said"), [(61 * MINUTE_MS, False), (30 * MINUTE_MS, True), (None, True)])
async def test_that_retention_leaves_less_than_a_window_is_said(age_ms: int | None, *, is_said: bool) -> None:
    world = World()
    write(world, step("removed"), age_ms=2 * HOUR_MS)
    if age_ms is not None:
        for part in range(7):
            write(world, step(f"r{part}"), age_ms=age_ms - part * age_ms // 6)
    world.kafka.logs(LEDGER)[0].trim(1)
    process = Process(world, "a")
    with structlog.testing.capture_logs() as logs:
        await process.follower.catch_up()
    assert any(each["event"] == "ledger_reaches_back_less" for each in logs) is is_said


async def test_what_retention_left_of_a_window_is_said_in_seconds() -> None:
    world = World()
    write(world, step("removed"), age_ms=2 * HOUR_MS)
    for part in range(3):
        write(world, step(f"r{part}"), age_ms=10 * MINUTE_MS - part * 5 * MINUTE_MS)
    world.kafka.logs(LEDGER)[0].trim(1)
    process = Process(world, "a")
    with structlog.testing.capture_logs() as logs:
        await process.follower.catch_up()
    assert [each["seconds"] for each in logs if each["event"] == "ledger_reaches_back_less"] == [600]


@pytest.mark.slow
async def test_catching_up_ends_at_the_end_and_goes_on_from_there() -> None:
    world = World()
    write(world, *(step(f"r{number}") for number in range(2_000)))
    process = Process(world, "a")
    await process.follower.catch_up()
    assert process.follower.lines == 2_000
    write(world, step("later"))
    assert await process.follower.follow(0) == 1
    assert await process.follower.follow(50) == 0
    assert process.follower.lines == 2_001


async def test_the_last_claim_and_the_highest_term_are_known() -> None:
    world = World()
    process = Process(world, "a")
    await process.follower.catch_up()
    assert (process.follower.last_claim, process.follower.highest_term) == (None, 0)
    write(world, claim_record(3, "x"), claim_record(2, "y"), left_record(2, "y"))
    await process.follower.catch_up()
    assert (process.follower.last_claim, process.follower.highest_term) == ((2, "y"), 3)
    assert process.follower.foreign_claim_from(3, "a")
    assert not process.follower.foreign_claim_from(4, "a")
    assert not process.follower.foreign_claim_from(3, "x")
    assert (process.follower.last_foreign("y"), process.follower.last_foreign("x")) == ("x", "y")


async def test_a_claim_of_ours_is_waited_for_until_it_comes_back() -> None:
    world = World()
    process = Process(world, "a")
    await process.follower.catch_up()
    write(world, claim_record(1, "a"))
    await process.follower.catch_up()
    process.follower.expect(2, "a")
    waiting = asyncio.create_task(process.follower.read_to_claim(15_000))
    await asyncio.sleep(3)
    assert not waiting.done(), "an older claim of ours is not the one"
    write(world, claim_record(2, "b"))
    await asyncio.sleep(1)
    assert not waiting.done()
    write(world, claim_record(2, "a"))
    await waiting


async def test_a_claim_that_does_not_come_back_is_not_waited_for_without_end() -> None:
    world = World()
    process = Process(world, "a")
    await process.follower.catch_up()
    process.follower.expect(2, "a")
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    with pytest.raises(LogUnavailable):
        await process.follower.read_to_claim(15_000)
    assert 15 <= loop.time() - begun_s < 16


@pytest.mark.parametrize("value", [b"", b"{", b'{"v": 2}', b'{"v": 1, "kind": "unheard", "term": 1, "owner": "x"}'])
async def test_a_line_that_cannot_be_read_is_never_passed_over(value: bytes) -> None:
    world = World()
    world.kafka.append(LEDGER, Record(None, value))
    with pytest.raises(ProgressUnreadable, match="run the release that wrote it"):
        await Process(world, "a").follower.catch_up()


async def test_a_kafka_that_is_away_is_told_by_what_must_be_answered() -> None:
    world = World()
    process = Process(world, "a")
    with_kafka = process.follower
    await with_kafka.catch_up()
    assert await with_kafka.reaches_kafka()
    world.kafka.stop()
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    assert not await with_kafka.reaches_kafka()
    assert loop.time() - begun_s < 2
    with pytest.raises(LogUnavailable):
        await with_kafka.catch_up()
    world.kafka.start_again()
    assert await with_kafka.reaches_kafka()


async def test_terms_that_died_are_counted_once_however_often_the_ledger_is_read() -> None:
    world = World()
    stands = (f"{PREFIX}.requests.bulk/0/7",)
    named = LedgerRecord(LedgerKind.STEP, 2, "z", suspects=(f"{PREFIX}.requests.bulk/0/9",))
    write(world, *(claim_record(1 + number, owner, stands) for number, owner in enumerate("yz")), named)
    process = Process(world, "a")
    for _ in range(3):
        await process.follower.catch_up()
        await process.follower.close()
    await process.follower.catch_up()
    assert process.follower.deaths.cautious_read(f"{PREFIX}.requests.bulk/0", 99) is None
    write(world, claim_record(3, "a", stands))
    await process.follower.catch_up()
    assert process.follower.deaths.cautious_read(f"{PREFIX}.requests.bulk/0", 99) == CautiousRead(99, {9: 1})


async def test_what_we_wrote_is_not_read_nor_is_any_line_before_it() -> None:
    world = World()
    process = Process(world, "a")
    write(world, claim_record(1, "a"))
    await process.follower.catch_up()
    write(world, step("own"), step("own too"), step("unknown"))
    written = LedgerRecord(LedgerKind.STEP, 1, "a", topics={"t": "id"}, totals={"completed": 3})
    process.follower.record_step(2, written)
    assert process.follower.topic_ids == {"t": "id"}, "what a line says is known though it is not read"
    assert process.follower.outcome_counts.counts == {"completed": 3}, (
        "a leader counts on from what it has written itself"
    )
    await process.follower.catch_up()
    assert not process.core.identities.knows(id_hash("own too"))
    assert process.core.identities.knows(id_hash("unknown"))
    write(world, step("next"))
    process.follower.record_step(-1, LedgerRecord(LedgerKind.STEP, 1, "a"))
    await process.follower.catch_up()
    assert process.core.identities.knows(id_hash("next")), "Kafka did not say where it stands"


async def test_what_a_line_says_of_outcomes_and_of_the_base_url_is_known_once_it_is_read() -> None:
    world = World()
    process = Process(world, "a")
    write(world, LedgerRecord(LedgerKind.STEP, 1, "old", totals={"completed": 3}))
    write(world, LedgerRecord(LedgerKind.STEP, 1, "old", proved=mark_of(OPENAI_URL)))
    await process.follower.catch_up()
    assert process.follower.outcome_counts.counts == {"completed": 3}
    assert process.promotion.proof.is_proved


async def test_a_follower_that_was_closed_goes_on_where_it_stopped() -> None:
    world = World()
    write(world, step("first"), step("second"))
    process = Process(world, "a")
    await process.follower.catch_up()
    await process.follower.close()
    write(world, step("third"))
    await process.follower.catch_up()
    assert process.follower.lines == 3


@pytest.mark.parametrize("is_closed", [False, True])
async def test_where_retention_was_faster_everything_in_the_window_is_read_anew(*, is_closed: bool) -> None:
    world = World()
    write(world, step("forgotten"), age_ms=HOUR_MS + 10_000)
    write(world, claim_record(1, "x", ()), step("first"))
    process = Process(world, "a")
    await process.follower.catch_up()
    write(world, step("removed"), step("last"), claim_record(2, "y", ()))
    world.kafka.logs(LEDGER)[0].trim(4)
    if is_closed:
        await process.follower.close()
        await process.follower.catch_up()
    else:
        assert await process.follower.follow(0) == 1
    assert process.follower.last_claim == (2, "y")
    assert process.core.identities.knows(id_hash("last"))
    write(world, step("later"))
    await process.follower.catch_up()
    assert process.core.identities.knows(id_hash("later"))


async def test_an_older_claim_of_the_same_term_that_is_read_anew_is_not_the_one_that_is_waited_for() -> None:
    world = World()
    process = Process(world, "a")
    write(world, claim_record(1, "a"), step("between"))
    await process.follower.catch_up()
    process.follower.record_step(10**6, LedgerRecord(LedgerKind.STEP, 1, "a"))
    write(world, claim_record(1, "a"))
    process.follower.expect(1, "a", 2)
    await process.follower.read_to_claim(15_000)
    assert process.follower.lines == 5


async def test_coordinators_that_are_away_are_as_good_as_no_kafka_though_the_ledger_answers() -> None:
    world = World()
    process = Process(world, "a")
    await process.follower.catch_up()
    world.kafka.coordinates = False
    assert not await process.follower.reaches_kafka()
    await process.follower.catch_up()
    world.kafka.coordinates = True
    await process.follower.close()
    assert await process.follower.reaches_kafka(), "the ledger may be closed in doubt, and is asked nothing then"


async def test_reading_it_all_again_changes_nothing() -> None:
    world = World()
    write(world, claim_record(1, "x"), step("first"), claim_record(2, "y"))
    process = Process(world, "a")
    await process.follower.catch_up()
    await process.follower.close()
    await process.follower.catch_up()
    assert process.follower.last_claim == (2, "y")
    assert len(process.core.identities) == 1
