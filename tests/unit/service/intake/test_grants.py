"""No producer can forge a run or an attempt; a replay is believed, also of what an older release has written."""

import asyncio
import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import structlog.testing

from headrace.broker.clock import WallClock
from headrace.broker.service.intake.grants import KEY_BYTES, NO_KEY, SAID_EVERY_MS, GrantKey, Grants
from headrace.broker.testing.kafka import KafkaLink, MemoryKafka
from headrace.broker.testing.kafka_doors import MemoryLane
from headrace.broker.testing.upstream import Asked, Said
from headrace.schemas import topics
from headrace.schemas.codec import decode_dead_letter
from headrace.schemas.ids import id_hash
from headrace.schemas.ledger import LedgerKind, LedgerRecord
from headrace.schemas.record import Record
from headrace.schemas.replay_codec import encode_replay
from tests.unit.service.leadership.test_parked_ids import FAILURES, Former, put_back, shut
from tests.unit.service.rig import PREFIX, WALL, Process, World, led, request, settings_of, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

LANE, DEAD_LETTERS = topics.requests_topic(PREFIX, "urgent"), topics.dead_letters_topic(PREFIX)
DAY_MS = 86_400_000
HOUR_S = 3_600


def refused(asked: Asked) -> Said | None:
    """What is called `bad` is refused at first."""
    is_refused = asked.request_id.startswith("bad") and asked.nth == 1
    return (
        Said(400, {"error": {"message": "No.", "code": None, "type": "invalid_request_error"}}) if is_refused else None
    )


def send(world: World, name: str, *headers: tuple[str, bytes]) -> None:
    world.kafka.append(LANE, Record(None, json.dumps(request(name)).encode(), headers))


def replay(world: World) -> Record:
    """The only dead letter as a replay puts it back."""
    (record,) = world.dead_letters()
    letter = decode_dead_letter(record.key, record.value, record.headers)
    deadline = world.clock.utc_now() + timedelta(minutes=10)
    return encode_replay(letter, json.loads(letter.value or b"")["id"], run=letter.run + 1, deadline=deadline)


def ends(world: World) -> list[tuple[str, int, str]]:
    return [(each["id"], each["run"], each["status"]) for each in world.outcomes()]


# ---------------------------------------------------------------------------------------------------- forged


async def test_a_forged_run_of_an_unknown_id_takes_nobodys_outcome() -> None:
    world = World(latency_s=0.1)
    process = Process(world, "a").start()
    await led(process)
    send(world, "lead", ("headrace-run", b"7"), ("headrace-grant", b"ab" * 32))
    await until(lambda: len(world.outcomes()) == 1)
    send(world, "lead")
    await asyncio.sleep(10)
    assert ends(world) == [("lead", 0, "completed")], "the first record was a submission, the second its duplicate"
    await process.end()


async def test_a_forged_run_of_garbage_is_no_run_either() -> None:
    world = World(latency_s=0.1)
    process = Process(world, "a").start()
    await led(process)
    world.kafka.append(LANE, Record(None, b"{", (("headrace-run", b"7"), ("ce_subject", b"lead"))))
    await until(lambda: len(world.outcomes()) == 1)
    assert ends(world) == [("lead", 0, "failed")]
    await process.end()


async def test_a_run_far_beyond_the_last_one_is_a_duplicate_and_the_next_one_a_replay() -> None:
    world = World(latency_s=0.1, script=refused)
    process = Process(world, "a").start()
    await led(process)
    send(world, "bad")
    await until(lambda: len(world.outcomes()) == 1)
    send(world, "bad", ("headrace-run", b"9"))
    await asyncio.sleep(10)
    assert ends(world) == [("bad", 0, "failed")]
    world.kafka.append(LANE, replay(world))
    await until(lambda: len(world.outcomes()) == 2)
    assert ends(world)[1] == ("bad", 1, "completed")
    await process.end()


async def test_forged_attempts_do_not_use_up_those_of_a_request() -> None:
    world = World(latency_s=0.1, script=lambda asked: Said(500, {"error": {}}) if asked.nth == 1 else None)
    process = Process(world, "a").start()
    await led(process)
    send(world, "lead", ("headrace-attempt", b"200"), ("headrace-failures", b"65535"))
    await until(lambda: len(world.outcomes()) == 1)
    assert ends(world) == [("lead", 0, "completed")]
    assert world.upstream.calls == {"lead": 2}
    await process.end()


# ---------------------------------------------------------------------------------------------------- put back


async def parked_under_a_forged_run(world: World) -> Record:
    """A first submission that says it is run 1 and waits for the retrier: its record in the failures topic."""
    other = request("parked", body={"model": "gpt-4o", "messages": []})
    world.kafka.append(LANE, Record(None, json.dumps(other).encode(), (("headrace-run", b"1"),)))
    await until(lambda: bool(world.kafka.committed(FAILURES)))
    (failure,) = world.kafka.committed(FAILURES)
    return failure.record


@pytest.mark.slow
async def test_a_parked_first_submission_comes_back_as_what_it_was_whatever_run_its_header_forges() -> None:
    """Run 0 is known by then: the copy was believed to be run 1, and waited for the end of run 0, which was itself."""
    world = World(latency_s=0.1, script=shut)
    process = Process(world, "a").start()
    await led(process)
    failure = await parked_under_a_forged_run(world)
    await asyncio.sleep(600)
    put_back(world, failure)
    await until(lambda: bool(world.outcomes()), 10)
    await asyncio.sleep(2 * HOUR_S)
    assert ends(world) == [("parked", 0, "completed")]
    await process.end()


@pytest.mark.slow
async def test_what_was_cancelled_while_parked_is_not_called_as_the_run_that_its_header_forges() -> None:
    world = World(latency_s=0.1, script=shut)
    process = Process(world, "a").start()
    await led(process)
    failure = await parked_under_a_forged_run(world)
    world.cancel("parked")
    await until(lambda: bool(world.outcomes()), 10)
    calls = world.upstream.calls["parked"]
    await asyncio.sleep(600)
    put_back(world, failure)
    await asyncio.sleep(2 * HOUR_S)
    assert [(each["id"], each["run"], each.get("reason")) for each in world.outcomes()] == [("parked", 0, "cancelled")]
    assert world.upstream.calls["parked"] == calls
    await process.end()


# ---------------------------------------------------------------------------------------------------- believed


@pytest.mark.slow
async def test_a_replay_of_an_id_that_is_long_forgotten_is_the_run_that_its_dead_letter_grants() -> None:
    world = World(latency_s=0.1, script=refused)
    first = Process(world, "first").start()
    await led(first)
    send(world, "bad")
    await until(lambda: len(world.outcomes()) == 1)
    await asyncio.sleep(3 * HOUR_S)
    await first.kill()
    second = Process(world, "second").start()
    await led(second)
    again = replay(world)
    assert dict(again.headers)["headrace-grant"] == dict(world.dead_letters()[0].headers)["headrace-grant"]
    stolen = Record(None, json.dumps(request("other")).encode(), again.headers)
    world.kafka.append(LANE, again)
    world.kafka.append(LANE, stolen)
    await until(lambda: len(world.outcomes()) == 3)
    assert sorted(ends(world)) == [("bad", 0, "failed"), ("bad", 1, "completed"), ("other", 0, "completed")]
    await second.end()


@pytest.mark.parametrize(("days", "run"), [(29, 1), (32, 0)])
async def test_a_dead_letter_of_the_release_before_grants_nothing_and_its_replay_is_believed_while_it_may_be_there(
    days: int, run: int
) -> None:
    world = World(latency_s=0.1, script=refused)
    former = Former(world, "former").start()
    await led(former)
    send(world, "bad")
    await until(lambda: len(world.outcomes()) == 1)
    await former.end()
    record = world.dead_letters()[0]
    letter = decode_dead_letter(record.key, record.value, record.headers)
    await asyncio.sleep(HOUR_S)
    process = Process(world, "a").start()
    await led(process)
    await process.end()
    since = [line.key_since_s for line in world.ledger() if line.key]
    assert since[0] >= WALL.timestamp() + HOUR_S
    grants = granting(world, since_s=since[0])
    world_now = WALL + timedelta(days=days)
    grants.clock_is(world_now)
    again = encode_replay(replace(letter, grant=None), "bad", run=1, deadline=world_now)
    assert grants.believes("bad", 1, again.headers) is (run == 1)


class Settable(Grants):
    """With a clock that is set, and ids that are known."""

    def __init__(self, kafka: MemoryKafka, *, known: dict[bytes, int] | None = None) -> None:
        self.now = WALL
        self.loop_s = 0.0
        clock = WallClock(lambda: self.loop_s, lambda: self.now)
        super().__init__(
            MemoryLane(KafkaLink(kafka), topic=DEAD_LETTERS),
            clock,
            retention_ms=31 * DAY_MS,
            window_ms=HOUR_S * 1_000,
            secret=lambda size: b"s" * size,
            knows=lambda hashed, run: (known or {}).get(hashed, -1) >= run,
        )

    def clock_is(self, now: datetime) -> None:
        self.loop_s += (now - self.now).total_seconds()
        self.now = now


def granting(world: World, *, since_s: int) -> Settable:
    grants = Settable(world.kafka)
    grants.observe(line(key=KEY, since_s=since_s))
    return grants


def line(kind: LedgerKind = LedgerKind.CLAIM, *, key: str = "", since_s: int = 0) -> LedgerRecord:
    return LedgerRecord(kind, 1, "me", key=key, key_since_s=since_s)


KEY = base64.b64encode(b"k" * KEY_BYTES).decode()


async def test_where_no_dead_letter_has_ever_been_nothing_is_believed_without_a_grant() -> None:
    world = World()
    grants = Settable(world.kafka)
    assert await grants.for_claim() == GrantKey(base64.b64encode(b"s" * KEY_BYTES).decode(), 0)
    assert grants.grant("lead", 1) is None, "not before the claim stands in the ledger"
    world.kafka.append(DEAD_LETTERS, Record(None, b"x"))
    assert (await grants.for_claim()).since_s == int(WALL.timestamp())


async def test_a_leader_of_the_release_before_makes_all_of_it_begin_anew_under_the_same_key() -> None:
    grants = granting(World(), since_s=5)
    assert await grants.for_claim() == GrantKey(KEY, 5)
    grants.observe(line(LedgerKind.STEP))
    assert await grants.for_claim() == GrantKey(KEY, 5)
    grants.observe(line(LedgerKind.CLAIM))
    assert await grants.for_claim() == GrantKey(KEY, int(WALL.timestamp()))
    grants.observe(line(LedgerKind.CLAIM, key=KEY, since_s=9))
    assert await grants.for_claim() == GrantKey(KEY, 9)


async def test_without_its_topic_dead_letters_are_taken_to_have_been_there() -> None:
    grants = Settable(MemoryKafka(lambda: 0))
    assert (await grants.for_claim()).since_s == int(WALL.timestamp())


async def test_the_key_is_said_again_four_times_a_window() -> None:
    grants = granting(World(), since_s=5)
    said = []
    for _ in range(60):
        said.append(grants.for_step() != NO_KEY)
        grants.clock_is(grants.now + timedelta(minutes=1))
    assert sum(said) == 4


@pytest.mark.parametrize(
    ("request_id", "run", "is_believed"),
    [
        ("lead", 0, True),
        ("lead", 1, True),
        ("lead", 2, False),
        ("other", 1, False),
        ("known", 3, True),
        ("known", 4, False),
    ],
)
async def test_a_grant_is_for_one_run_of_one_id_and_the_run_after_a_known_one_needs_none(
    request_id: str, run: int, *, is_believed: bool
) -> None:
    grants = Settable(World().kafka, known={id_hash("known"): 2})
    assert not grants.believes("lead", 1, ())
    grants.observe(line(key=KEY))
    grant = grants.grant("lead", 1)
    assert grant is not None
    assert grants.believes(request_id, run, (("headrace-grant", grant.encode()),)) is is_believed
    assert grants.believes(None, run, ())
    assert not grants.believes("lead", 1, (("headrace-grant", b"\xff"),))


async def test_what_is_ignored_is_said_once_a_minute() -> None:
    grants = granting(World(), since_s=0)
    with structlog.testing.capture_logs() as logs:
        for _ in range(100):
            grants.believes("lead", 7, ())
        grants.clock_is(grants.now + timedelta(milliseconds=SAID_EVERY_MS))
        grants.believes("lead", 7, ())
    assert [(each["event"], each["records"]) for each in logs] == [("run_not_believed", 1), ("run_not_believed", 100)]


@pytest.mark.slow
async def test_the_key_outlives_every_leader_and_many_windows() -> None:
    world = World(latency_s=0.1, script=refused)
    keys = set[str]()
    for number in range(3):
        process = Process(world, f"p{number}", settings=settings_of(dedupe={"window_s": 60})).start()
        await led(process)
        send(world, f"lead-{number}")
        await asyncio.sleep(600)
        await process.kill()
        keys |= {line.key for line in world.ledger() if line.key}
    assert len(keys) == 1


def grants_with(key: bytes) -> Grants:
    made = Settable(MemoryKafka(lambda: 0))
    made.knows = lambda _id, _run: False
    made.observe(LedgerRecord(LedgerKind.CLAIM, 1, "a", key=base64.b64encode(key).decode()))
    return made


async def test_a_grant_is_the_one_that_every_release_writes() -> None:
    """Dead letters hold them for days, so what is signed, and with what, stays as it is."""
    key = b"k" * KEY_BYTES
    assert grants_with(key).grant("lead", 1) == hmac.new(key, b"1 lead", hashlib.sha256).hexdigest()


async def test_a_line_between_two_that_say_the_key_says_none() -> None:
    grants = grants_with(b"k")
    assert [grants.for_step() for _ in range(2)] == [GrantKey(base64.b64encode(b"k").decode(), 0), GrantKey("", 0)]


async def test_the_first_run_needs_no_grant() -> None:
    assert grants_with(b"k").believes("lead", 0, ())
    assert not grants_with(b"k").believes("lead", 1, ())
