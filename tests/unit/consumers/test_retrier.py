"""Requests that were parked come back to their lane when they are due, each once, whatever dies."""

import asyncio
import json
import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from broker.clock import WallClock
from broker.errors import ProgressUnreadable
from broker.ports import StoredOffset, TopicPartition
from broker.service.elected import KafkaWatch
from broker.service.timekeeping import ByTheLeader
from broker.testing.kafka import CommitFault
from consumers.retries.releases import Releases
from schemas import topics
from schemas.codec import decode_request
from schemas.record import Record
from schemas.request_codec import DecodedRequest
from tests.unit.consumers.rig import FAILURES, NAME, PREFIX, WALL, Process, World, leading
from tests.unit.service.rig import until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

HOUR_S = 3_600


# ---------------------------------------------------------------------------------------------------- putting back


async def test_a_request_comes_back_when_it_is_due_and_not_before() -> None:
    world = World()
    process = await leading(world)
    world.park("lead-1", 30)
    await asyncio.sleep(29.9)
    assert world.back() == []
    assert process.retrier.snapshot()["waiting_by_kind"] == {"rate_limited": 1}
    await asyncio.sleep(0.3)
    assert world.back() == ["lead-1"]
    assert process.retrier.snapshot()["waiting"] == 0
    assert process.counted.lanes == {"bulk": 1}
    await process.end()


async def test_it_comes_back_with_key_headers_and_the_time_of_its_first_submission() -> None:
    world = World()
    process = await leading(world)
    world.park("lead-1", 0, lane="urgent")
    await until(lambda: world.back("urgent") == ["lead-1"])
    (fetched,) = world.kafka.committed(topics.requests_topic(PREFIX, "urgent"))
    assert fetched.timestamp_ms == int((WALL - timedelta(hours=1)).timestamp() * 1_000)
    assert fetched.record.key == b"acme"
    assert fetched.record.headers[0] == ("x", b"y")
    decoded = decode_request(fetched.record.value, fetched.record.headers)
    assert isinstance(decoded, DecodedRequest)
    assert (decoded.attempt, decoded.failures) == (2, 0)
    assert decoded.failure_position is not None
    assert decoded.failure_position.startswith("t.failures/")
    await process.end()


async def test_many_leave_in_the_order_in_which_they_are_due() -> None:
    world = World(partitions=1)
    process = await leading(world)
    dues = {f"r{number}": world.park(f"r{number}", (number * 37) % 101 / 10) for number in range(300)}
    await until(lambda: len(world.back()) == 300)
    assert sorted(world.back(), key=lambda name: dues[name]) == sorted(dues, key=lambda name: dues[name])
    assert process.counted.transactions["committed"] < 150
    await process.end()


async def test_a_new_partition_is_found() -> None:
    world = World(partitions=1)
    process = await leading(world)
    world.kafka.create(FAILURES, 3)
    for number in range(20):
        world.park(f"r{number}", 1)
    assert await until(lambda: len(world.back()) == 20, 40) < 32
    await process.end()


async def test_what_does_not_fit_the_memory_is_read_again() -> None:
    world = World()
    process = await leading(world, held_bytes_max=2_000)
    for number in range(50):
        world.park(f"r{number}", 5 + number % 7)
    await asyncio.sleep(1)
    assert 0 < process.retrier.snapshot()["held_bytes"] <= 2_000
    await until(lambda: len(world.back()) == 50)
    assert world.all_back() == {f"r{number}": 1 for number in range(50)}
    assert process.retrier.snapshot()["read_again"] > 0
    await process.end()


# ---------------------------------------------------------------------------------------------------- what dies


async def test_a_standby_takes_over_within_the_life_of_the_lease() -> None:
    world = World()
    first = await leading(world, "a")
    second = Process(world, "b").start()
    await asyncio.sleep(3)
    world.park("lead-1", 0.5)
    await first.kill()
    assert await until(lambda: world.back() == ["lead-1"]) < 4
    assert second.health.term == 2
    await second.end()


async def test_one_that_leaves_hands_over_at_once() -> None:
    world = World()
    first, second = await leading(world, "a"), Process(world, "b").start()
    await asyncio.sleep(3)
    await first.end()
    assert await until(lambda: second.health.role == "leader") < 0.6
    await second.end()


async def test_a_producer_that_died_is_replaced_while_the_lease_is_ours() -> None:
    world = World()
    process = await leading(world)
    world.kafka.commit_faults.append(CommitFault.STORED)
    world.park("lead-1", 0)
    await until(lambda: process.health.term == 2)
    await asyncio.sleep(3)
    assert world.all_back() == {"lead-1": 1}
    assert process.counted.transactions["unknown"] == 1
    await process.end()


async def test_while_redis_is_silent_nothing_is_put_back_and_nobody_begins() -> None:
    world = World()
    process = await leading(world)
    world.leases.available = False
    await asyncio.sleep(2)
    world.park("lead-1", 0)
    await asyncio.sleep(30)
    assert world.back() == []
    assert process.health.trouble is not None
    assert world.kafka.opened[NAME] == 1
    world.leases.available = True
    await until(lambda: world.back() == ["lead-1"])
    await process.end()


@pytest.mark.parametrize("emptied", [False, True])
async def test_one_that_works_keeps_its_lease_and_what_it_has_read_when_redis_is_back(*, emptied: bool) -> None:
    world = World()
    first, second = await leading(world, "a"), Process(world, "b").start()
    await asyncio.sleep(3)
    world.leases.available = False
    await asyncio.sleep(8)
    if emptied:
        world.leases.empty()
    world.leases.available = True
    await asyncio.sleep(4)
    world.park("lead-1", 0)
    await until(lambda: world.back() == ["lead-1"])
    assert (first.health.role, second.health.role, world.kafka.opened[NAME]) == ("leader", "standby", 1)
    await first.end()
    await second.end()


async def test_a_foreign_holder_ends_the_stretch() -> None:
    world = World()
    process = await leading(world)
    world.leases.set(f"headrace:cluster:{NAME}", "somebody", px=60_000)
    await until(lambda: process.health.role == "standby")
    world.park("lead-1", 0)
    await asyncio.sleep(10)
    assert (world.back(), world.kafka.opened[NAME]) == ([], 1)
    await process.end()


async def test_a_lease_lost_while_the_producer_started_claims_nothing() -> None:
    world = World()
    world.kafka.open_takes_s = 0.2
    key = f"headrace:cluster:{NAME}"
    process = Process(world, "a").start()
    await until(lambda: (world.leases.get(key) or ("",))[0] == "a")
    world.leases.set(key, "somebody", px=60_000)
    await asyncio.sleep(10)
    assert world.kafka.opened[NAME] == 1
    assert not process.counted.transactions
    assert process.health.role == "standby"
    await process.end()


async def test_kafka_away_is_said_and_waited_for() -> None:
    world = World()
    process = await leading(world)
    world.park("lead-1", 20)
    world.kafka.stop()
    await until(lambda: not process.health.kafka_ready)
    await asyncio.sleep(60)
    world.kafka.start_again()
    await until(lambda: world.back() == ["lead-1"])
    await asyncio.sleep(2)
    assert process.health.trouble is None
    await process.end()


# ---------------------------------------------------------------------------------------------------- what is rotten


async def test_what_is_no_failure_becomes_a_dead_letter_and_holds_up_nobody() -> None:
    world = World(partitions=1)
    process = await leading(world)
    world.kafka.append(FAILURES, Record(b"k", b"garbage"))
    world.kafka.append(FAILURES, Record(None, None))
    world.park("lead-1", 0)
    await until(lambda: world.back() == ["lead-1"])
    letters = world.dead_letters()
    assert [letter.value for letter in letters] == [b"garbage", None] or len(letters) == 2
    assert process.counted.letters == {"undecodable": 2}
    assert process.retrier.snapshot()["waiting_by_kind"] == {}
    await process.end()


@pytest.mark.parametrize(
    "fields",
    [{"key": None, "key_base64": "x"}, {"request": {"a": math.nan}}, {"request": {"a": math.inf}},
     {"attempt": int("9" * 4_300)}],
)  # fmt: skip
async def test_a_failure_that_cannot_be_written_again_is_a_dead_letter_and_ends_no_retrier(
    fields: dict[str, Any],
) -> None:
    """Whoever may write to the topic can write this; each retrier in turn would end at it."""
    world = World(partitions=1)
    process = await leading(world)
    world.park("odd", 0)
    (parked,) = world.kafka.committed(FAILURES)
    shape = json.loads(parked.record.value or b"") | fields
    world.kafka.append(FAILURES, Record(None, json.dumps(shape).encode(), parked.record.headers))
    world.park("lead-1", 0)
    await until(lambda: sorted(world.back()) == ["lead-1", "odd"])
    await until(lambda: process.counted.letters == {"undecodable": 1})
    assert process.retrier.snapshot()["waiting_by_kind"] == {}
    await process.end()


async def test_a_batch_that_cannot_be_read_becomes_one_dead_letter() -> None:
    world = World(partitions=1)
    process = await leading(world)
    world.kafka.logs(FAILURES)[0].damage(0, 3)
    for number in range(6):
        world.park(f"r{number}", 1)
    await until(lambda: sorted(world.back()) == ["r4", "r5"])
    await process.end()
    second = await leading(world, "b")
    await asyncio.sleep(1)
    assert process.counted.letters + second.counted.letters == {"undecodable": 1}
    await second.end()


async def test_what_retention_removed_is_a_dead_letter_for_the_range() -> None:
    world = World(partitions=1)
    process = await leading(world)
    for number in range(5):
        world.park(f"r{number}", 5)
    world.park("done", 0)
    await until(lambda: world.back() == ["done"])
    await process.kill()
    world.kafka.logs(FAILURES)[0].trim(3)
    second = await leading(world, "b")
    await until(lambda: sorted(world.back()) == ["done", "r3", "r4"])
    (letter,) = world.dead_letters()
    assert dict(letter.headers)["headrace-reason"] == b"lost_by_retention"
    assert dict(letter.headers)["headrace-origin"] == b"t.failures/0/0"
    await second.end()


async def test_a_record_that_is_gone_when_it_is_due_is_a_dead_letter() -> None:
    world = World(partitions=1)
    process = await leading(world, held_bytes_max=1)
    world.park("r0", 5)
    world.park("r1", 5)
    await asyncio.sleep(1)
    world.kafka.logs(FAILURES)[0].trim(1)
    await until(lambda: world.back() == ["r1"])
    assert process.counted.letters == {"lost_by_retention": 1}
    await process.end()


async def test_the_requests_of_a_lane_that_is_gone_go_to_the_last() -> None:
    world = World()
    process = await leading(world)
    world.park("lead-1", 0, lane="express")
    await until(lambda: world.back("bulk") == ["lead-1"])
    await process.end()


# ---------------------------------------------------------------------------------------------------- where to go on


async def refused(process: Process) -> str:
    assert process.task is not None
    with pytest.raises(ProgressUnreadable) as caught:
        await asyncio.wait_for(process.task, 20)
    return str(caught.value)


async def test_old_failures_without_progress_are_an_operators_decision() -> None:
    world = World(partitions=1)
    world.park("lead-1", 0, at_ms=world.clock.utc_ms() - 90_000_000)
    assert "--from-start" in await refused(Process(world, "a").start())
    assert world.back() == []
    process = await leading(world, "b", from_start=True)
    await until(lambda: world.back() == ["lead-1"])
    await process.end()


async def test_a_progress_that_another_wrote_is_refused() -> None:
    world = World(partitions=1)
    world.kafka.commit(NAME, NAME, {TopicPartition(FAILURES, 0): StoredOffset(0, "hr1:AAAA")})
    assert "not ours or damaged" in await refused(Process(world, "a").start())


async def test_a_failure_of_a_release_that_this_one_cannot_read_is_refused_and_not_lost() -> None:
    world = World()
    world.park("lead-1", 0)
    log = world.kafka.logs(FAILURES)[0 if world.kafka.logs(FAILURES)[0].end else 1]
    (slot,) = log.slots
    assert slot.record is not None
    later = tuple((name, value.replace(b".v1", b".v2")) for name, value in slot.record.headers)
    log.slots[0] = replace(slot, record=replace(slot.record, headers=later))
    process = Process(world, "a").start()
    assert process.task is not None
    with pytest.raises(ProgressUnreadable, match="run the release that wrote it"):
        await asyncio.wait_for(process.task, 10)
    assert world.dead_letters() == []
    log.slots[0] = slot  # to a release that can read it, it says this
    again = await leading(world, "b")
    await until(lambda: world.back() == ["lead-1"])
    await again.end()


async def test_a_topic_that_was_made_anew_is_refused() -> None:
    world = World(partitions=1)
    releases = Releases(0)
    releases.see(7, "bulk", 0)
    releases.release("bulk")
    stored = releases.stored(1)
    world.kafka.commit(NAME, NAME, {TopicPartition(FAILURES, 0): StoredOffset(stored.offset, stored.metadata)})
    assert "made anew" in await refused(Process(world, "a").start())


@pytest.mark.parametrize("count", [1, 9])
async def test_a_topic_that_is_made_anew_under_a_living_retrier_is_read_from_its_beginning(count: int) -> None:
    world = World(partitions=1)
    process = await leading(world)
    for number in range(4):
        world.park(f"former-{number}", 0)
    await until(lambda: len(world.back()) == 4)
    world.kafka.delete(FAILURES)
    world.kafka.create(FAILURES, 1)
    for number in range(count):
        world.park(f"new-{number}", 0)
    new = {f"new-{number}" for number in range(count)}
    await until(lambda: new <= set(world.back()), 20)
    await process.end()


async def test_a_retrier_that_comes_back_believes_the_progress_that_another_has_stored_meanwhile() -> None:
    world = World(partitions=1)
    first = await leading(world)
    world.park("former", 0)
    await until(lambda: world.back() == ["former"])
    first.link.cut()
    world.kafka.delete(FAILURES)
    world.kafka.create(FAILURES, 1)
    world.kafka.groups[NAME].stored.clear()
    world.kafka.groups[NAME].shown.clear()
    second = await leading(world, "b")
    world.park("new", 0)
    await until(lambda: world.back() == ["former", "new"])
    await second.end()
    first.link.mend()
    await asyncio.sleep(30)
    assert world.back() == ["former", "new"]
    await first.end()


async def test_offsets_are_stored_again_now_and_then_since_they_expire() -> None:
    world = World()
    process = await leading(world, recommit_every_ms=20_000)
    await asyncio.sleep(45)
    assert process.counted.transactions["committed"] == 3
    await process.end()


# ---------------------------------------------------------------------------------------------------- a wrong clock


@pytest.mark.parametrize("error_s", [HOUR_S, -HOUR_S])
async def test_a_retrier_whose_clock_is_an_hour_off_puts_back_to_the_second(error_s: int) -> None:
    world = World()
    world.park("lead-1", 30)
    await world.dispatcher_leads()
    process = await leading(world, clock_error_s=error_s)
    await asyncio.sleep(25)
    assert world.back() == []
    await asyncio.sleep(8)
    assert world.back() == ["lead-1"]
    await process.end()


async def test_while_only_redis_contradicts_its_clock_it_waits_for_the_dispatcher_that_leads() -> None:
    world = World()
    world.park("lead-1", 30)
    world.park("lead-2", 0)
    process = await leading(world, clock_error_s=HOUR_S)
    await asyncio.sleep(5)
    assert world.back() == []
    await world.dispatcher_leads()
    await until(lambda: world.back() == ["lead-2"])
    await asyncio.sleep(20)
    assert world.back() == ["lead-2"]
    await process.end()


@pytest.mark.parametrize(
    ("off_s", "status"),
    [(HOUR_S, None), (HOUR_S / 2, None), (0, "{}"), (0, "no JSON")],
    ids=["agrees with us", "says something else than both", "of a release that does not say", "garbage"],
)
async def test_a_clock_that_only_redis_contradicts_is_gone_by(off_s: float, status: str | None) -> None:
    world = World()
    world.park("lead-1", HOUR_S + 3)
    await world.dispatcher_leads(off_s=off_s, status=status)
    process = await leading(world, clock_error_s=HOUR_S)
    assert world.back() == []
    await until(lambda: world.back() == ["lead-1"])
    assert world.clock.utc_now() - WALL < timedelta(seconds=10)
    await process.end()


@pytest.mark.parametrize("off_s", [2 * HOUR_S, HOUR_S], ids=["says something else than both", "agrees with us"])
async def test_a_dispatcher_that_is_being_promoted_may_have_the_wrong_clock_and_settles_none(off_s: float) -> None:
    world = World()
    world.park("lead-1", 30)
    await world.dispatcher_leads(off_s=off_s, role="promoting")
    process = await leading(world, clock_error_s=HOUR_S)
    await asyncio.sleep(5)
    await world.dispatcher_leads()
    await asyncio.sleep(20)
    assert world.back() == []
    await asyncio.sleep(8)
    assert world.back() == ["lead-1"]
    await process.end()


async def test_a_clock_that_redis_confirms_needs_no_dispatcher() -> None:
    world = World()
    world.park("lead-1", 0)
    process = await leading(world)
    await until(lambda: world.back() == ["lead-1"])
    await process.end()


async def test_a_redis_that_is_silent_settles_no_clock() -> None:
    world = World()
    world.park("lead-1", 30)
    keeper = ByTheLeader(WallClock(asyncio.get_running_loop().time), world.dispatchers_lease("a"))
    world.leases.available = False
    await keeper.ask()
    assert not keeper.is_settled
    world.leases.available = True
    await world.dispatcher_leads()
    await keeper.ask()
    assert keeper.is_settled


# ---------------------------------------------------------------------------------------------------- defects


def spoiled(world: World, name: str, **fields: object) -> None:
    """A failure of which some fields are no good."""
    scratch = World()
    scratch.park(name, 0)
    (fetched,) = scratch.kafka.committed(FAILURES)
    told = json.loads(fetched.record.value or b"") | fields
    world.kafka.append(FAILURES, replace(fetched.record, value=json.dumps(told).encode()))


@pytest.mark.parametrize(
    ("fields", "contained"),
    [
        ({"key": None, "key_base64": "x"}, 1),
        ({"request": {"id": "bad", "body": {"temperature": float("nan")}}}, 1),
        ({"lane": "x" * 5_000}, 0),
    ],
    ids=["its key cannot be restored", "its request cannot be written", "no progress could name its lane"],
)
async def test_a_failure_that_cannot_be_put_back_is_a_dead_letter_and_the_others_come_back(
    fields: dict[str, object], contained: int
) -> None:
    """Before, an exception ended the retrier, and each one that took over from it."""
    world = World()
    process = await leading(world)
    spoiled(world, "bad", **fields)
    world.park("lead-1", 0)
    world.park("lead-2", 5)
    await until(lambda: sorted(world.back()) == ["lead-1", "lead-2"])
    (letter,) = world.dead_letters()
    assert dict(letter.headers)["headrace-reason"] == b"undecodable"
    assert letter.value is not None
    assert process.counted.contained_steps["retry"] == contained
    assert process.task is not None
    assert not process.task.done()
    await process.end()


async def test_a_watch_that_raises_looks_again_and_the_retrier_keeps_its_lease() -> None:
    """Before, its task ended in silence: Kafka counted as away, and the standby took over after 15 s."""
    raising: list[bool] = []

    class RottenWatch(KafkaWatch):
        async def reaches_kafka(self) -> bool:
            if raising:
                raising.pop()
                raise RuntimeError
            return await super().reaches_kafka()

    world = World()
    process = Process(world, "a", watch_type=RottenWatch).start()
    await until(lambda: process.health.role == "leader")
    other = Process(world, "b").start()
    raising.extend([True] * 3)
    await asyncio.sleep(60)
    assert process.health.role == "leader"
    assert process.health.kafka_ready
    await process.end()
    await other.end()
