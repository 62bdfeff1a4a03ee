"""Copies of outcomes to reply topics through whole dispatchers on doubles: each once, and none holds up anybody."""

import asyncio
import json
from typing import Any

import pytest

from headrace.broker.core.setback import Setback
from headrace.broker.testing.kafka import CommitFault
from headrace.broker.testing.upstream import Asked, Said, completion
from headrace.schemas import topics
from headrace.schemas.codec import decode_dead_letter
from headrace.schemas.record import Record
from tests.unit.service.rig import PREFIX, Process, World, led, settings_of, until, warmed
from tests.virtual_time import VIRTUAL_TIME

pytestmark = [VIRTUAL_TIME, pytest.mark.timeout(10)]

REPLY = "acme.answers"
OTHER = "acme.others"
SETTINGS = settings_of(replies={"allow": [REPLY, OTHER]})


def copies(world: World, topic: str = REPLY) -> list[Record]:
    return [fetched.record for fetched in world.kafka.committed(topic)]


def ids(world: World, topic: str = REPLY) -> list[str]:
    return [json.loads(record.value or b"")["id"] for record in copies(world, topic)]


def result(world: World, request_id: str) -> Record:
    found = [fetched.record for fetched in world.kafka.committed(topics.results_topic(PREFIX))]
    (record,) = [each for each in found if each.key == request_id.encode()]
    return record


async def settled(world: World, *request_ids: str, within_s: float = 60) -> float:
    return await until(lambda: {each["id"] for each in world.outcomes()} >= set(request_ids), within_s)


async def started(world: World, owner: str = "a") -> Process:
    process = Process(world, owner, settings=SETTINGS).start()
    await led(process)
    return process


def served(**options: Any) -> World:
    world = World(**options)
    world.kafka.create(REPLY, 2)
    world.kafka.create(OTHER)
    return world


async def test_an_outcome_stands_in_the_results_and_its_copy_where_it_was_asked_for() -> None:
    world = served(latency_s=0.1)
    process = await started(world)
    world.submit("x", reply_to=REPLY)
    world.submit("bad", reply_to=REPLY, deadline="yesterday")
    world.submit("late", reply_to=OTHER, deadline="2026-12-01T08:00:00Z")
    world.submit("stray", reply_to="nobody.allowed")
    world.submit("plain")
    await settled(world, "x", "bad", "late", "stray", "plain")
    assert sorted(ids(world)) == ["bad", "x"]
    assert ids(world, OTHER) == ["late"]
    for record in (*copies(world), *copies(world, OTHER)):
        assert record == result(world, (record.key or b"").decode())
    failed = {each["id"]: (each["reason"], each["message"]) for each in world.outcomes() if each["status"] == "failed"}
    assert {name: reason for name, (reason, _) in failed.items()} == {
        "bad": "invalid_request",
        "late": "deadline_exceeded",
        "stray": "rejected",
    }
    assert failed["stray"][1] == "The topic 'nobody.allowed' is not on this dispatcher's list replies.allow."
    letters = [decode_dead_letter(each.key, each.value, each.headers) for each in world.dead_letters()]
    assert sorted((each.reason, each.message) for each in letters) == sorted(failed.values())
    assert not {"nobody.allowed"} & set(world.kafka.topic_names())
    assert process.metric("headrace_reply_copies_total", {"topic": REPLY, "result": "sent"}) == 2
    assert process.status.snapshot(process.clock.now_ms())["replies"] == {
        REPLY: {"trouble": None, "sent": 2, "dropped": 0},
        OTHER: {"trouble": None, "sent": 1, "dropped": 0},
    }
    await process.end()


async def test_a_repeat_has_no_second_copy_wherever_it_asks_for_one() -> None:
    world = served(latency_s=0.1)
    process = await started(world)
    world.submit("x", partition=0, reply_to=REPLY)
    world.submit("x", partition=0, reply_to=OTHER)
    await settled(world, "x")
    world.submit("x", partition=0, reply_to=OTHER)
    await asyncio.sleep(5)
    assert (ids(world), ids(world, OTHER)) == (["x"], [])
    await process.end()


async def test_a_topic_that_is_missing_costs_its_copies_alone() -> None:
    world = served(latency_s=0.1)
    world.kafka.delete(REPLY)
    process = await started(world)
    await warmed(world)
    opened = world.kafka.opened.copy()
    for number in range(20):
        world.submit(f"r{number}", reply_to=REPLY if number % 2 else OTHER)
    took_s = await settled(world, *(f"r{number}" for number in range(20)))
    assert took_s < 1
    assert world.kafka.opened == opened
    assert len(ids(world, OTHER)) == 10
    assert dict(result(world, "r1").headers)["headrace-reply-dropped"] == b"acme.answers does not exist"
    assert "headrace-reply-dropped" not in dict(result(world, "r0").headers)
    assert process.metric("headrace_reply_copies_total", {"topic": REPLY, "result": "dropped"}) == 10
    shown = process.status.snapshot(process.clock.now_ms())["replies"][REPLY]
    assert shown == {"trouble": "does not exist", "sent": 0, "dropped": 10}
    world.kafka.create(REPLY)
    world.submit("again", reply_to=REPLY)
    await settled(world, "again")
    assert ids(world) == ["again"]
    assert process.status.snapshot(process.clock.now_ms())["replies"][REPLY]["trouble"] is None
    await process.end()


async def test_a_topic_that_takes_no_record_so_large_costs_that_copy_alone() -> None:
    def long(asked: Asked) -> Said:
        said = completion(asked)
        said["padding"] = "x" * (5_000 if asked.request_id == "long" else 1)
        return Said(body=said)

    world = served(latency_s=0.1, script=long)
    world.kafka.message_bytes_max[REPLY] = 3_000
    process = await started(world)
    await warmed(world)
    opened = world.kafka.opened.copy()
    world.submit("long", reply_to=REPLY)
    world.submit("short", reply_to=REPLY)
    await settled(world, "long", "short")
    assert ids(world) == ["short"]
    assert dict(result(world, "long").headers)["headrace-reply-dropped"] == b"acme.answers takes no record so large"
    assert world.kafka.opened == opened
    await process.end()


@pytest.mark.parametrize("fault", CommitFault)
async def test_a_transaction_whose_fate_nobody_knows_leaves_one_copy_all_the_same(fault: CommitFault) -> None:
    world = served(latency_s=0.1)
    process = await started(world)
    await warmed(world)
    world.submit("x", reply_to=REPLY)
    await until(lambda: world.upstream.inflight == 1)
    world.kafka.commit_faults.append(fault)
    await settled(world, "x")
    await asyncio.sleep(5)
    assert (ids(world), world.counts()["x", 0]) == (["x"], 1)
    await process.end()


async def test_a_leader_that_dies_leaves_the_copy_to_its_successor() -> None:
    world = served(latency_s=5)
    first = await started(world, "first")
    await warmed(world)
    world.submit("x", reply_to=REPLY)
    await until(lambda: world.upstream.inflight == 1)
    await first.kill()
    second = await started(world, "second")
    await settled(world, "x")
    assert ids(world) == ["x"]
    await second.end()


async def test_a_request_that_is_parked_and_cancelled_has_its_copy_once_its_record_comes_back() -> None:
    def quota(asked: Asked) -> Said:
        error = {"message": "Rate limit reached on requests per day. Please try again in 7m12s.", "code": None}
        return Said(429, body={"error": error | {"type": "requests"}}) if asked.request_id == "x" else Said()

    world = served(script=quota)
    process = await started(world)
    world.submit("x", "bulk", reply_to=REPLY, tenant="acme")
    await until(lambda: bool(world.kafka.committed(topics.failures_topic(PREFIX))))
    (parked,) = world.kafka.committed(topics.failures_topic(PREFIX))
    kept = json.loads(parked.record.value or b"")["request"]
    assert kept["reply_to"] == REPLY
    world.cancel("x")
    await settled(world, "x", within_s=2)
    assert ids(world) == []
    for _ in range(2):
        headers = (("headrace-attempt", b"2"),)
        world.kafka.append(
            topics.requests_topic(PREFIX, "bulk"), Record(None, json.dumps(kept).encode(), headers), partition=0
        )
        await asyncio.sleep(5)
    (copy,) = copies(world)
    told = json.loads(copy.value or b"")
    assert (told["id"], told["reason"], told["tenant"]) == ("x", "cancelled", "acme")
    assert world.counts()["x", 0] == 1
    await process.end()


async def test_a_replay_and_a_retry_go_where_the_first_was_to_go() -> None:
    world = served(latency_s=0.1)
    process = await started(world)
    world.submit("x", reply_to=REPLY, deadline="2026-12-01T08:00:00Z")
    await settled(world, "x")
    (letter,) = world.dead_letters()
    headers = (("headrace-run", b"1"), ("headrace-deadline", b"2026-12-01T10:00:00Z"))
    world.kafka.append(topics.requests_topic(PREFIX, "urgent"), Record(letter.key, letter.value, headers))
    await until(lambda: world.counts()["x", 1] == 1)
    assert [(json.loads(each.value or b"")["run"], dict(each.headers)["ce_id"]) for each in copies(world)] == [
        (0, b"x"),
        (1, b"x#1"),
    ]
    await process.end()


async def test_a_copy_that_its_topic_refuses_costs_that_copy_and_no_answer() -> None:
    """Others of that topic pass in between, so that it is not the topic."""
    world = served(latency_s=1)
    process = await started(world)
    await warmed(world)
    world.kafka.policy = lambda topic, record: Setback.REFUSED if topic == REPLY and record.key == b"evil" else None
    for name in ("evil", *(f"r{number}" for number in range(20))):
        world.submit(name, reply_to=REPLY)
    await settled(world, "evil", *(f"r{number}" for number in range(20)), within_s=20)
    assert {outcome["status"] for outcome in world.outcomes()} == {"completed"}
    assert dict(result(world, "evil").headers)["headrace-reply-dropped"].startswith(REPLY.encode())
    assert "evil" not in ids(world)
    await process.end()


async def test_a_topic_that_may_not_be_written_is_no_trouble_once_outcomes_do_without_it() -> None:
    world = served(latency_s=1)
    process = await started(world)
    world.kafka.policy = lambda topic, _: Setback.DENIED if topic == REPLY else None
    world.submit("lead", reply_to=REPLY)
    await settled(world, "lead", within_s=60)
    await until(lambda: process.health.trouble is None, 5)
    await process.end()


async def test_a_topic_is_not_blamed_for_what_another_refuses() -> None:
    world = served(latency_s=1)
    process = await started(world)
    results = topics.results_topic(PREFIX)
    world.kafka.policy = lambda topic, record: (
        Setback.REFUSED
        if topic == results and record.key == b"evil" and b'"completed"' in (record.value or b"")
        else None
    )
    for name in ("evil", *(f"r{number}" for number in range(20))):
        world.submit(name, reply_to=REPLY)
    await settled(world, "evil", *(f"r{number}" for number in range(20)), within_s=20)
    assert sorted(ids(world)) == sorted(f"r{number}" for number in range(20))
    await process.end()
