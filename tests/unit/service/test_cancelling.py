"""Cancels through whole dispatchers on doubles: whatever their request is doing, it has one outcome, and soon."""

import asyncio
import json

import pytest

from headrace.broker.testing.upstream import Asked, Said, completion
from headrace.schemas import topics
from headrace.schemas.record import Record
from tests.unit.service.rig import PREFIX, Process, World, led, until, warmed
from tests.virtual_time import VIRTUAL_TIME

pytestmark = [VIRTUAL_TIME, pytest.mark.timeout(10)]

CONTROL_TOPIC = topics.control_topic(PREFIX)


def outcome(world: World, request_id: str) -> dict[str, object]:
    (found,) = [each for each in world.outcomes() if each["id"] == request_id]
    return found


async def answered(world: World, request_id: str, within_s: float = 60) -> dict[str, object]:
    await until(lambda: any(each["id"] == request_id for each in world.outcomes()), within_s)
    return outcome(world, request_id)


async def test_a_call_in_flight_is_ended_and_its_request_answered_at_once() -> None:
    world = World(latency_s=20)
    process = Process(world, "a").start()
    await led(process)
    world.submit("x", metadata={"lead": 1})
    await until(lambda: world.upstream.inflight == 1)
    world.cancel("x")
    took = await answered(world, "x", 1)
    assert (took["status"], took["reason"], took["lane"], took["metadata"]) == (
        "failed",
        "cancelled",
        "urgent",
        {"lead": 1},
    )
    assert (took["attempts"], took["model"]) == (1, "gpt-4o-mini")
    assert world.upstream.inflight == 0
    assert world.dead_letters() == []
    assert process.metric("headrace_cancels_taken_total") == 1
    labels = {"lane": "urgent", "model": "gpt-4o-mini", "status": "failed", "reason": "cancelled"}
    assert process.metric("headrace_outcomes_total", labels) == 1
    assert process.metric("headrace_duplicates_total", {"lane": "control"}) == 0
    assert process.metric("headrace_requests_taken_total", {"lane": "control"}) == 0
    await asyncio.sleep(30)
    assert set(world.counts().values()) == {1}
    assert not process.hold.cargo
    await process.end()


async def test_a_cancel_that_comes_before_its_request_survives_the_leader_that_took_it() -> None:
    world = World(latency_s=1)
    first = Process(world, "first").start()
    await led(first)
    second = Process(world, "second").start()
    await until(lambda: second.health.role == "standby")
    world.cancel("x")
    await until(lambda: any(line.cancels for line in world.ledger()))
    first.telemetry.gauges(first.core, first.health, world.clock.now_ms())
    assert first.metric("headrace_cancels_waiting") == 1
    await first.kill()
    await led(second)
    world.submit("x")
    took = await answered(world, "x")
    assert took["reason"] == "cancelled"
    assert took["attempts"] == 0
    assert world.upstream.calls.get("x") is None
    assert second.status.snapshot(world.clock.now_ms())["cancels_waiting"] == 1
    await second.end()


async def test_a_leader_that_dies_with_a_cancel_leaves_it_to_its_successor() -> None:
    world = World(latency_s=20)
    first = Process(world, "first").start()
    await led(first)
    second = Process(world, "second").start()
    await until(lambda: second.health.role == "standby")
    await warmed(world)
    for number in range(5):
        world.submit(f"r{number}")
    await until(lambda: world.upstream.inflight == 5)
    first.link.cut()
    for number in range(5):
        world.cancel(f"r{number}")
    await first.kill()
    await led(second)
    await until(lambda: len(world.outcomes()) == 6)
    await asyncio.sleep(30)
    assert set(world.counts().values()) == {1}
    assert {outcome(world, f"r{number}")["reason"] for number in range(5)} == {"cancelled"}
    await second.end()


async def test_a_parked_request_is_answered_with_what_is_known_of_it_and_its_copy_is_done() -> None:
    def quota(asked: Asked) -> Said:
        error = {"message": "Rate limit reached on requests per day. Please try again in 7m12s.", "code": None}
        body = {"error": error | {"type": "requests"}}
        return Said(429, body=body) if asked.request_id == "x" else Said(body=completion(asked))

    world = World(script=quota)
    process = Process(world, "a").start()
    await led(process)
    world.submit("x", "bulk")
    await until(lambda: bool(world.kafka.committed(topics.failures_topic(PREFIX))))
    world.cancel("x")
    took = await answered(world, "x", 2)
    assert (took["status"], took["reason"], took["attempts"]) == ("failed", "cancelled", 1)
    assert [took[name] for name in ("lane", "tenant", "endpoint", "model", "usage")] == [None] * 5
    labels = {"lane": "", "model": "", "status": "failed", "reason": "cancelled"}
    assert process.metric("headrace_outcomes_total", labels) == 1
    calls = world.upstream.calls["x"]
    (parked,) = world.kafka.committed(topics.failures_topic(PREFIX))
    value = json.dumps(json.loads(parked.record.value or b"")["request"]).encode()
    headers = (("headrace-attempt", b"2"),)
    world.kafka.append(topics.requests_topic(PREFIX, "bulk"), Record(None, value, headers))
    await asyncio.sleep(5)
    assert world.upstream.calls["x"] == calls
    assert world.counts()["x", 0] == 1
    assert process.core.identities.kept == 0
    assert process.metric("headrace_duplicates_total", {"lane": "bulk"}) == 0
    await process.end()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "undecodable"),
        (None, "undecodable"),
        (b'{"type": "pause", "id": "x"}', "invalid_request"),
        (b'{"type": "cancel", "id": ""}', "invalid_request"),
        (b'["x"]', "invalid_request"),
    ],
)
async def test_garbage_on_control_is_a_dead_letter_and_no_outcome_and_holds_up_nobody(
    value: bytes | None, reason: str
) -> None:
    world = World(latency_s=20)
    process = Process(world, "a").start()
    await led(process)
    world.submit("x")
    await until(lambda: world.upstream.inflight == 1)
    world.kafka.append(CONTROL_TOPIC, Record(b"x", value))
    world.cancel("x")
    assert (await answered(world, "x", 1))["reason"] == "cancelled"
    (dead,) = world.dead_letters()
    headers = dict(dead.headers)
    assert headers["headrace-reason"] == reason.encode()
    assert headers["headrace-origin"] == f"{CONTROL_TOPIC}/0/0".encode()
    assert (dead.key, dead.value) == (b"x", value)
    assert set(world.counts()) == {("x", 0)}
    assert process.metric("headrace_cancels_taken_total") == 1
    await process.end()


async def test_what_retention_took_from_control_is_one_dead_letter_and_the_rest_goes_on() -> None:
    world = World(latency_s=20)
    first = Process(world, "first").start()
    await led(first)
    await until(lambda: first.core.wake_at() is not None)
    await first.end()
    for number in range(4):
        world.cancel(f"r{number}")
    world.kafka.logs(CONTROL_TOPIC)[0].trim(3)
    second = Process(world, "second").start()
    await led(second)
    world.submit("r3")
    assert (await answered(world, "r3"))["reason"] == "cancelled"
    (dead,) = world.dead_letters()
    assert dict(dead.headers)["headrace-reason"] == b"lost_by_retention"
    await second.end()


async def test_a_control_topic_older_than_its_stored_offsets_is_read_from_where_it_begins() -> None:
    """No operator is asked: a cancel that is read again does what it did."""
    world = World(latency_s=20)
    world.kafka.append(
        CONTROL_TOPIC, Record(b"x", b'{"type": "cancel", "id": "x"}'), at_ms=world.clock.utc_ms() - 3 * 86_400_000
    )
    process = Process(world, "a").start()
    await led(process)
    await until(lambda: any(line.cancels for line in world.ledger()))
    await process.end()
