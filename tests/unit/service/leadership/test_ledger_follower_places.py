"""Where the follower reads: what it opens, seeks and closes, and how it knows that the ledger was made anew."""

import asyncio
from collections.abc import Sequence

import pytest

from headrace.broker.core.progress.poison_records import CautiousRead
from headrace.broker.errors import LogUnavailable
from headrace.broker.ports import LedgerRow, LedgerStart
from headrace.broker.service.leadership.clock_check import TOLERANCE_MS
from headrace.broker.service.leadership.ledger_follower import CLAIMS_REMEMBERED, JUST_MS, LedgerFollower
from headrace.broker.service.publishing.ledger_lines import claim_record, left_record
from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.kafka_doors import MemoryCoordinators, MemoryLedger
from headrace.schemas.ids import id_hash
from headrace.schemas.ledger import LedgerKind, LedgerRecord
from tests.unit.service.leadership.test_ledger_follower import HOUR_MS, LEDGER, MINUTE_MS, step, write
from tests.unit.service.rig import Process, World, grants_of, proof_of
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

OWN = LedgerRecord(LedgerKind.STEP, 1, "a")


class WatchedLedger(MemoryLedger):
    """Notes what it is asked. It may refuse to be opened, or tell no id, as before Kafka 2.8."""

    def __init__(self, link: KafkaLink) -> None:
        super().__init__(link, topic=LEDGER)
        self.opened: list[tuple[int, int | None]] = []
        self.sought: list[int] = []
        self.closed = 0
        self.is_refusing = False
        self.tells_ids = True

    async def open(self, from_wall_ms: int, *, before_last_ms: int | None = None) -> LedgerStart:
        if self.is_refusing:
            raise LogUnavailable("refused")
        self.opened.append((from_wall_ms, before_last_ms))
        start = await super().open(from_wall_ms, before_last_ms=before_last_ms)
        self._forget_id()
        return start

    def seek(self, offset: int) -> None:
        self.sought.append(offset)
        super().seek(offset)

    async def at_end(self) -> bool:
        is_at_end = await super().at_end()
        self._forget_id()
        return is_at_end

    async def read(self, timeout_ms: int) -> Sequence[LedgerRow]:
        assert self._next is not None, "read while it is closed"
        return await super().read(timeout_ms)

    async def close(self) -> None:
        self.closed += 1
        await super().close()

    def _forget_id(self) -> None:
        if not self.tells_ids:
            self.topic_id = None


class WatchedCoordinators(MemoryCoordinators):
    closed = 0

    async def close(self) -> None:
        self.closed += 1


class Rig:
    """A follower with doors that are watched."""

    def __init__(self, *lines: LedgerRecord) -> None:
        self.world = World()
        write(self.world, *lines)
        self.process = Process(self.world, "a")
        self.log = WatchedLedger(self.process.link)
        self.coordinators = WatchedCoordinators(self.process.link)
        self.grants = grants_of(self.world.clock)
        self.follower = LedgerFollower(
            self.log,
            self.coordinators,
            self.process.driver,
            self.world.clock,
            window_ms=HOUR_MS,
            grants=self.grants,
            proof=proof_of(self.world.clock),
        )

    def made_anew(self, *lines: LedgerRecord) -> None:
        """The topic is deleted, and made with these lines."""
        self.world.kafka.delete(LEDGER)
        self.world.kafka.create(LEDGER)
        write(self.world, *lines)

    def knows(self, request_id: str) -> bool:
        return self.process.core.identities.knows(id_hash(request_id))


# ---------------------------------------------------------------------------------------------------- what it says


async def test_a_follower_that_has_read_nothing_knows_nothing() -> None:
    follower = Rig().follower
    assert (follower.claimed_at_ms, follower.stepped_at_ms, follower.reached_ms) == (0, 0, 0)
    assert not follower.made_anew
    await follower.catch_up()
    assert await follower.follow(0) == 0
    assert follower.reached_ms == 0


async def test_when_a_line_was_last_read_is_known() -> None:
    rig = Rig(step("first"))
    await rig.follower.catch_up()
    read_ms = rig.world.clock.now_ms()
    assert rig.follower.reached_ms == read_ms > 0
    await asyncio.sleep(1)
    assert await rig.follower.follow(0) == 0
    assert rig.follower.reached_ms == read_ms


async def test_a_leader_has_just_left_for_a_second() -> None:
    rig = Rig(claim_record(1, "x"), left_record(1, "x"))
    await rig.follower.catch_up()
    assert rig.follower.has_just_left
    await asyncio.sleep((JUST_MS - 1) / 1_000)
    assert rig.follower.has_just_left
    await asyncio.sleep(0.001)
    assert not rig.follower.has_just_left
    write(rig.world, left_record(1, "x"), claim_record(2, "y"))
    await rig.follower.catch_up()
    assert not rig.follower.has_just_left, "another one leads"


async def test_so_many_claims_are_remembered_and_no_more() -> None:
    rig = Rig(claim_record(1, "x"), *(claim_record(2 + number, "a") for number in range(CLAIMS_REMEMBERED - 1)))
    await rig.follower.catch_up()
    assert rig.follower.last_foreign("a") == "x"
    write(rig.world, claim_record(100, "a"))
    await rig.follower.catch_up()
    assert rig.follower.last_foreign("a") == ""


async def test_a_claim_that_has_left_the_window_shows_in_the_steps_of_its_term() -> None:
    rig = Rig(step("first", 8, "old"), step("second", 8, "old"))
    await rig.follower.catch_up()
    assert rig.follower.last_claim == (8, "old")


async def test_a_step_of_our_own_is_not_the_claim_that_is_waited_for() -> None:
    rig = Rig()
    await rig.follower.catch_up()
    rig.follower.expect(1, "a")
    write(rig.world, OWN)
    with pytest.raises(LogUnavailable):
        await rig.follower.read_to_claim(1_000)


async def test_a_claim_that_stands_there_is_found_in_no_time() -> None:
    rig = Rig()
    await rig.follower.catch_up()
    rig.follower.expect(1, "a", 0)
    write(rig.world, claim_record(1, "a"))
    await rig.follower.read_to_claim(0)


async def test_kafkas_time_of_our_claim_is_that_of_the_one_that_was_expected() -> None:
    rig = Rig(OWN)
    write(rig.world, claim_record(1, "a"), age_ms=10 * MINUTE_MS)
    at_ms = rig.world.clock.utc_ms()
    write(rig.world, claim_record(1, "a"))
    rig.follower.expect(1, "a", 2)
    await rig.follower.catch_up()
    assert rig.follower.claimed_at_ms == at_ms
    await asyncio.sleep(1)
    write(rig.world, claim_record(2, "b"))
    await rig.follower.catch_up()
    assert rig.follower.claimed_at_ms == at_ms, "another's claim is not ours"


async def test_what_the_lines_say_is_borne_in_mind() -> None:
    rig = Rig(claim_record(1, "x", topic_ids={"t": "claimed"}))
    await rig.follower.catch_up()
    assert (rig.follower.topic_ids, rig.follower.stepped_at_ms) == ({"t": "claimed"}, 0)
    stepped_ms = rig.world.clock.utc_ms()
    write(rig.world, LedgerRecord(LedgerKind.STEP, 1, "x", topics={"u": "stepped"}))
    write(rig.world, LedgerRecord(LedgerKind.STEP, 1, "x", key="a2V5"), age_ms=1_000)
    await rig.follower.catch_up()
    assert rig.follower.topic_ids == {"t": "claimed", "u": "stepped"}
    assert rig.follower.stepped_at_ms == stepped_ms, "a clock that goes back takes nothing from it"
    assert (await rig.grants.for_claim()).key == "a2V5"


async def test_terms_that_left_in_peace_have_not_died() -> None:
    rig = Rig(*(line for n in range(1, 4) for line in (claim_record(n, f"p{n}"), left_record(n, f"p{n}"))))
    await rig.follower.catch_up()
    assert rig.follower.deaths.cautious_read(f"{LEDGER}/0", 9) is None


# ---------------------------------------------------------------------------------------------------- where it opens


async def test_an_open_ledger_is_not_opened_again() -> None:
    rig = Rig()
    for _ in range(3):
        await rig.follower.catch_up()
    assert rig.log.opened == [(rig.world.clock.utc_ms() - HOUR_MS, HOUR_MS)]
    assert rig.log.closed == 0


async def test_the_window_is_that_before_the_last_line_however_old_it_is() -> None:
    rig = Rig()
    write(rig.world, step("first"), age_ms=5 * HOUR_MS + 30 * MINUTE_MS)
    write(rig.world, step("last"), age_ms=5 * HOUR_MS)
    await rig.follower.catch_up()
    assert rig.knows("first")
    assert rig.knows("last")


@pytest.mark.parametrize(("earlier_ms", "is_again"), [(TOLERANCE_MS, False), (TOLERANCE_MS + 1, True)])
async def test_the_window_begins_earlier_where_it_is_earlier_than_it_was_taken_to_be(
    earlier_ms: int, *, is_again: bool
) -> None:
    named = LedgerRecord(LedgerKind.STEP, 1, "x", suspects=(f"{LEDGER}/0/7",))
    rig = Rig(claim_record(1, "x"), named, claim_record(2, "y"))
    await rig.follower.catch_up()
    ((begun_ms, _),) = rig.log.opened
    await rig.follower.reach_back(begun_ms + HOUR_MS - earlier_ms)
    await rig.follower.catch_up()
    assert [from_ms for from_ms, _ in rig.log.opened] == [begun_ms, *[begun_ms - earlier_ms] * is_again]
    assert rig.log.closed == is_again
    assert rig.follower.deaths.cautious_read(f"{LEDGER}/0", 9) == CautiousRead(9, {7: 1}), "a death counts once"


async def test_a_ledger_that_could_not_be_opened_anew_is_closed_and_opened_next_time() -> None:
    rig = Rig(step("first"))
    await rig.follower.catch_up()
    write(rig.world, step("second"), step("third"))
    rig.world.kafka.logs(LEDGER)[0].trim(2)
    rig.log.is_refusing = True
    with pytest.raises(LogUnavailable):
        await rig.follower.follow(0)
    rig.log.is_refusing = False
    assert await rig.follower.reaches_kafka(), "a closed ledger is asked nothing"
    await rig.follower.catch_up()
    assert rig.knows("third")


async def test_closing_closes_both_doors() -> None:
    rig = Rig()
    await rig.follower.catch_up()
    await rig.follower.close()
    assert (rig.log.closed, rig.coordinators.closed) == (1, 1)


# ---------------------------------------------------------------------------------------------------- where it seeks


async def test_reading_on_seeks_nothing_but_once_behind_what_we_wrote() -> None:
    rig = Rig(step("first"))
    await rig.follower.catch_up()
    write(rig.world, step("own"), step("second"))
    rig.follower.record_step(1, OWN)
    begun_s = asyncio.get_running_loop().time()
    await rig.follower.catch_up()
    for request_id in ("third", "fourth"):
        write(rig.world, step(request_id))
        await rig.follower.catch_up()
    assert rig.log.sought == [2]
    assert rig.knows("fourth")
    assert not rig.knows("own")
    write(rig.world, step("own"))
    rig.follower.record_step(5, OWN)
    await rig.follower.catch_up()
    assert asyncio.get_running_loop().time() == begun_s, "nothing is waited for: our own line was the last one"


async def test_our_own_line_may_be_the_first_of_all() -> None:
    rig = Rig()
    await rig.follower.catch_up()
    write(rig.world, step("own"), step("other"))
    rig.follower.record_step(0, OWN)
    await rig.follower.catch_up()
    assert not rig.knows("own")
    assert rig.knows("other")
    assert not rig.follower.made_anew


# ---------------------------------------------------------------------------------------------------- made anew


async def test_the_probe_sees_that_the_topic_is_another() -> None:
    rig = Rig(step("former"))
    await rig.follower.catch_up()
    assert await rig.follower.reaches_kafka()
    assert not rig.follower.made_anew
    rig.made_anew()
    assert await rig.follower.reaches_kafka()
    assert rig.follower.made_anew


@pytest.mark.parametrize("tells_ids", [True, False])
async def test_a_follower_that_was_closed_sees_that_the_topic_is_another_and_reads_it_whole(*, tells_ids: bool) -> None:
    rig = Rig(step("former"), step("former too"))
    rig.log.tells_ids = tells_ids
    await rig.follower.catch_up()
    await rig.follower.close()
    rig.made_anew(step("new"))
    await rig.follower.catch_up()
    assert rig.follower.made_anew
    assert rig.knows("new")
    rig.follower.made_anew = False
    await rig.follower.catch_up()
    write(rig.world, step("own"))
    rig.follower.record_step(1, OWN)
    await rig.follower.catch_up()
    assert not rig.follower.made_anew, "it is told once"
    assert not rig.knows("own")


async def test_a_topic_that_is_longer_by_now_than_the_former_one_is_known_by_its_id() -> None:
    rig = Rig(step("former"))
    await rig.follower.catch_up()
    await rig.follower.close()
    rig.made_anew(step("new"), step("new too"))
    await rig.follower.catch_up()
    assert rig.follower.made_anew
    assert rig.knows("new")


@pytest.mark.parametrize("lines", [0, 1])
async def test_a_topic_without_an_id_that_is_no_shorter_is_the_same(lines: int) -> None:
    rig = Rig(step("first"))
    rig.log.tells_ids = False
    await rig.follower.catch_up()
    await rig.follower.close()
    write(rig.world, *[step("second")] * lines)
    await rig.follower.catch_up()
    assert not rig.follower.made_anew
    assert rig.knows("second") is bool(lines)


async def test_an_id_that_is_not_told_for_a_while_is_not_forgotten() -> None:
    rig = Rig(step("former"))
    await rig.follower.catch_up()
    rig.log.tells_ids = False
    assert await rig.follower.reaches_kafka()
    rig.log.tells_ids = True
    rig.made_anew(step("new"), step("new too"))
    assert await rig.follower.reaches_kafka()
    assert rig.follower.made_anew


async def test_what_stands_in_the_former_topic_says_nothing_of_the_new_one() -> None:
    rig = Rig(step("former"), step("former too"))
    await rig.follower.catch_up()
    rig.made_anew()
    assert await rig.follower.reaches_kafka()
    await rig.follower.catch_up()
    rig.follower.made_anew = False
    write(rig.world, step("own"), step("other"))
    rig.follower.record_step(0, OWN)
    await rig.follower.catch_up()
    assert not rig.follower.made_anew
    assert (rig.knows("own"), rig.knows("other")) == (False, True)


@pytest.mark.parametrize(("offset", "is_another"), [(-1, False), (0, True), (1, True), (2, False)])
async def test_a_line_of_ours_before_what_was_read_stands_in_another_topic(offset: int, *, is_another: bool) -> None:
    rig = Rig(step("first"), step("second"))
    await rig.follower.catch_up()
    rig.follower.record_step(offset, OWN)
    assert rig.follower.made_anew is is_another
