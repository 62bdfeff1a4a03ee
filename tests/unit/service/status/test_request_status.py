"""Where one request is, through everything that may become of it, in a whole dispatcher on doubles."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from headrace.broker.core.commands import Complete, DeadLetterOnly, Discard, Fail, Park, Remember, Withdraw
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.service.status.request_status import _decided
from headrace.broker.service.tracing.request_trace import RequestTrace
from headrace.broker.testing.kafka import CommitFault
from headrace.broker.testing.upstream import Asked, Said
from headrace.broker.trace_context import TraceContext
from headrace.schemas.instants import from_wire
from headrace.schemas.record import Record
from tests.unit.service.rig import MODEL, PREFIX, Process, World, led, settings_of, until, warmed
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

SECRET = "confidential-prompt-text"
RATE = {"limits": {MODEL: {"tokens_per_minute": 6_000, "charge_law": "chat-legacy"}}}
LANES = {"urgent": {"order": 1}, "standard": {"order": 2}}
SERIAL = {"lanes": LANES | {"bulk": {"order": 3, "serial": True}}}
BODY = {"model": MODEL, "messages": [{"role": "user", "content": SECRET}], "max_tokens": 200}


@asynccontextmanager
async def leader(world: World, **groups: Any) -> AsyncIterator[Process]:
    """One that leads and knows its limit."""
    process = Process(world, "a", settings=settings_of(**groups)).start()
    await led(process)
    await warmed(world)
    yield process
    await process.end()


def where(process: Process, request_id: str, run: int | None = None) -> dict[str, Any]:
    told = process.whereabouts.of(request_id, run, process.clock.now_ms())
    assert SECRET not in json.dumps(told), "no prompt, no answer, no metadata"
    return told


def submit(world: World, *ids: str, lane: str = "bulk", **fields: Any) -> None:
    for each in ids:
        world.submit(each, lane, 0, **({"body": BODY, "metadata": {"note": SECRET}} | fields))


async def reaches(process: Process, request_id: str, state: str, run: int | None = None) -> dict[str, Any]:
    await until(lambda: where(process, request_id, run)["state"] == state)
    return where(process, request_id, run)


def kinds(told: dict[str, Any]) -> list[str]:
    return [each["kind"] for each in told["waits_for"]]


# ---------------------------------------------------------------------------------------------------- who waits


@pytest.mark.slow
async def test_who_waits_is_told_its_place_what_it_waits_for_and_about_when_it_starts() -> None:
    world = World(latency_s=1)
    async with leader(world, **RATE) as process:
        submit(world, *(f"r{n}" for n in range(45)), tenant="acme", template="welcome")
        await reaches(process, "r44", "waiting")
        await until(lambda: kinds(where(process, "r44")) == ["limit"])
        told = where(process, "r44")
        begun_ms, charge = process.clock.now_ms(), told["charge_tokens"]
        waiting = process.core.limits.waiting()
        assert (told["run"], told["lane"], told["tenant"], told["limit"]) == (0, "bulk", "acme", MODEL)
        assert told["template"] == "welcome"
        assert told["before"]["tenant"] == told["before"]["lane"]
        assert told["before"]["lane"] == {"requests": waiting - 1, "tokens": charge * (waiting - 1)}
        assert told["before"]["lanes_above"] == {}
        (limit,) = told["waits_for"]
        assert (limit["kind"], limit["metric"], limit["own"]) == ("limit", "tokens", False)
        await until(lambda: where(process, "r44")["state"] == "calling", 120)
        took_s = (process.clock.now_ms() - begun_ms) / 1_000
        assert told["estimated_start"]["in_s"] == pytest.approx(took_s, rel=0.05)
        assert told["deadline"] > told["estimated_start"]["at"] > told["taken_at"]


async def test_an_estimate_is_never_before_the_limit_can_pay_next() -> None:
    world = World(latency_s=1)
    async with leader(world) as process:
        process.core.limits.limit_queues()[MODEL].budget.pause_until(process.clock.now_ms() + 7_000)
        submit(world, "r")
        told = await reaches(process, "r", "waiting")
        assert kinds(told) == ["cooldown"]
        assert told["estimated_start"]["in_s"] == told["waits_for"][0]["payable_in_s"] > 6


async def test_who_is_next_itself_waits_for_nobody_s_floor() -> None:
    world = World(latency_s=1)
    async with leader(world, **RATE) as process:
        submit(world, *(f"r{n}" for n in range(45)))
        await until(lambda: bool(process.core.limits.waiting()) and kinds(where(process, "r44")) == ["limit"])
        submit(world, "u", lane="urgent", body=BODY | {"max_tokens": 1_000})
        told = await reaches(process, "u", "waiting")
        assert told["waits_for"][0]["own"]
        assert told["estimated_start"]["in_s"] == told["waits_for"][0]["payable_in_s"]


async def test_an_estimate_keeps_to_the_pace_at_which_a_limit_is_spent() -> None:
    world = World(latency_s=1)
    limits = {MODEL: {"tokens_per_minute": 6_000, "charge_law": "chat-legacy", "burst_s": 1}}
    async with leader(world, limits=limits) as process:
        submit(world, "first", "second")
        told = await reaches(process, "second", "waiting")
        assert kinds(told) == ["pace"]
        assert told["estimated_start"]["in_s"] == told["waits_for"][0]["payable_in_s"] > 1
        await reaches(process, "second", "answered")


async def test_behind_an_open_breaker_nobody_can_tell_when_it_starts() -> None:
    world = World(latency_s=0.1)
    async with leader(world) as process:
        world.upstream.script = lambda _: Said(503, {"error": {"message": SECRET}})
        submit(world, *(f"r{n}" for n in range(8)))
        await until(lambda: not process.core.limits.limit_queues()[MODEL].budget.breaker.closed)
        submit(world, "late")
        told = await reaches(process, "late", "waiting")
        assert kinds(told) == ["breaker"]
        assert told["waits_for"][0]["tripped"]["request_id"].startswith("r")
        assert told["estimated_start"] is None
        world.upstream.script = None
        await until(lambda: len(world.outcomes()) == 10)


async def test_before_a_call_has_ended_nobody_can_tell_when_the_next_one_starts() -> None:
    world = World(latency_s=5)
    process = Process(world, "a", settings=settings_of(limits={})).start()
    await led(process)
    large = [{"role": "user", "content": "a" * 12_000}]  # too large for two to go before an answer
    submit(world, "first", "second", body={"model": MODEL, "messages": large})
    told = await reaches(process, "second", "waiting")
    assert (kinds(told), told["estimated_start"]) == (["first_answer"], None)
    await until(lambda: len(world.outcomes()) == 2)
    await process.end()


async def test_where_a_call_must_end_first_it_is_told_how_long_calls_usually_take() -> None:
    world = World(latency_s=4)
    async with leader(world, limits={MODEL: {"inflight_max": 1}}) as process:
        submit(world, "first", "second")
        told = await reaches(process, "second", "waiting")
        assert kinds(told) == ["places"]
        assert told["estimated_start"]["in_s"] == 4.0
        await until(lambda: len(world.outcomes()) == 3)


# ---------------------------------------------------------------------------------------------------- order, retries


async def test_who_waits_for_its_ordering_key_is_told_who_is_first() -> None:
    world = World(latency_s=1)
    async with leader(world, **SERIAL) as process:
        for each in ("first", "second", "third"):
            keyed(world, each)
        told = await reaches(process, "third", "waiting_for_order")
        (order,) = told["waits_for"]
        assert order == {"kind": "order", "before": 2, "first": "first", "first_state": "calling", "serial": True}
        assert told["estimated_start"]["in_s"] == pytest.approx(2.0, abs=0.1)
        assert where(process, "first")["state"] == "calling"
        await until(lambda: len(world.outcomes()) == 4)


def keyed(world: World, request_id: str) -> None:
    value = json.dumps({"id": request_id, "body": BODY}).encode()
    world.kafka.append(f"{PREFIX}.requests.bulk", Record(b"key", value, (("ce_partitionkey", b"key"),)), partition=0)


async def test_who_waits_behind_a_key_that_waits_itself_starts_no_sooner() -> None:
    world = World(latency_s=1)
    async with leader(world) as process:
        process.core.limits.limit_queues()[MODEL].budget.pause_until(process.clock.now_ms() + 7_000)
        for each in ("first", "second"):
            keyed(world, each)
        told = await reaches(process, "second", "waiting_for_order")
        assert told["waits_for"][0]["first_state"] == "waiting"
        assert told["estimated_start"] == where(process, "first")["estimated_start"]


async def test_in_a_serial_lane_nobody_can_tell_before_a_call_has_ended() -> None:
    world = World(latency_s=5)
    process = Process(world, "a", settings=settings_of(**SERIAL)).start()
    await led(process)
    for each in ("first", "second"):
        keyed(world, each)
    told = await reaches(process, "second", "waiting_for_order")
    assert told["estimated_start"] is None
    await process.end()


async def test_who_waits_for_another_attempt_is_told_until_when() -> None:
    def once(asked: Asked) -> Said | None:
        if asked.request_id == "r" and not tried:
            tried.append(asked)
            return Said(429, {"error": {"message": SECRET}}, {"retry-after": "20"})
        return None

    tried: list[Asked] = []
    world = World(latency_s=1, script=once)
    async with leader(world) as process:
        submit(world, "r")
        told = await reaches(process, "r", "waiting_for_retry")
        retry = told["waits_for"][0]
        assert (retry["kind"], told["calls"]) == ("retry", 1)
        assert 19 < retry["payable_in_s"] <= 21
        assert told["estimated_start"]["at"] >= retry["until"]
        submit(world, "hasty", deadline="2026-12-01T12:00:00Z")
        await reaches(process, "hasty", "waiting")
        assert where(process, "r")["before"]["lane"] == {"requests": 0, "tokens": 0}, "it comes back to the front"
        await reaches(process, "r", "answered")


async def test_another_attempt_starts_no_sooner_than_its_wait_is_over_though_all_could_pay() -> None:
    def once(asked: Asked) -> Said | None:
        if asked.request_id == "r" and not tried:
            tried.append(asked)
            return Said(500, {"error": {"message": SECRET}})
        return None

    tried: list[Asked] = []
    world = World(latency_s=1, script=once)
    async with leader(world) as process:
        submit(world, "r")
        told = await reaches(process, "r", "waiting_for_retry")
        assert told["estimated_start"]["at"] == told["waits_for"][0]["until"]
        await reaches(process, "r", "answered")


# ---------------------------------------------------------------------------------------------------- other states


async def test_from_the_call_to_the_commit_it_is_told_what_happens() -> None:
    world = World(latency_s=3)
    async with leader(world) as process:
        submit(world, "r")
        await until(lambda: world.upstream.inflight == 1)
        await until(lambda: where(process, "r")["for_s"] >= 1)
        assert (where(process, "r")["state"], where(process, "r")["calls"]) == ("calling", 1)
        world.kafka.commit_faults.append(CommitFault.LOST)
        told = await reaches(process, "r", "settled")
        assert told["decided"] == {"status": "completed", "reason": None}
        told = await reaches(process, "r", "answered")
        outcome = told["outcome"]
        assert (told["run"], outcome["status"], outcome["reason"], outcome["calls"]) == (0, "completed", None, 1)
        assert outcome["submitted_at"] < outcome["at"]
        assert outcome["origin"].startswith(f"{PREFIX}.requests.")
        assert SECRET not in json.dumps(told)


@pytest.mark.slow
async def test_while_commits_are_in_doubt_who_waits_waits_for_the_leader() -> None:
    world = World(latency_s=3)
    async with leader(world, **RATE) as process:
        submit(world, *(f"r{n}" for n in range(60)))
        await reaches(process, "r59", "waiting")
        world.kafka.commit_faults.append(CommitFault.LOST)
        await until(lambda: process.health.role == "suspended")
        told = where(process, "r59")
        assert (told["waits_for"], told["estimated_start"]) == ([{"kind": "leader", "why": "suspended"}], None)
        await led(process)


async def test_another_run_waits_for_the_one_under_way() -> None:
    world = World(latency_s=3)
    async with leader(world) as process:
        submit(world, "r")
        await reaches(process, "r", "calling")
        value = json.dumps({"id": "r", "body": BODY, "metadata": {"note": SECRET}}).encode()
        world.kafka.append(f"{PREFIX}.requests.bulk", Record(None, value, (("headrace-run", b"1"),)), partition=0)
        told = await reaches(process, "r", "joined", 1)
        assert (told["behind"]["state"], told["behind"]["run"]) == ("calling", 0)
        assert where(process, "r")["state"] == "calling", "without a run, the one that is under way is told"
        assert where(process, "r", 2)["state"] == "unknown"


async def test_a_failed_id_says_so_and_an_earlier_run_that_a_later_one_followed_it() -> None:
    def refused(asked: Asked) -> Said | None:
        return Said(400, {"error": {"message": SECRET, "code": "bad"}}) if asked.request_id == "r" else None

    world = World(latency_s=0.1, script=refused)
    async with leader(world) as process:
        submit(world, "r")
        told = await reaches(process, "r", "answered")
        assert (told["outcome"]["status"], told["outcome"]["reason"]) == ("failed", "rejected")
        assert SECRET not in json.dumps(told)
        value = json.dumps({"id": "r", "body": BODY}).encode()
        world.kafka.append(f"{PREFIX}.requests.bulk", Record(None, value, (("headrace-run", b"1"),)), partition=0)
        await reaches(process, "r", "answered", 1)
        told = where(process, "r", 0)
        assert (told["state"], told["outcome"]["status"], told["last_run"]) == ("answered", None, 1)


async def test_what_is_parked_is_told_with_when_it_comes_back_by_the_leader_that_parked_it() -> None:
    def away(asked: Asked) -> Said | None:
        return Said(429, {"error": {"message": SECRET}}, {"retry-after": "300"}) if asked.request_id == "r" else None

    world = World(latency_s=0.1, script=away)
    async with leader(world) as process:
        submit(world, "r")
        told = await reaches(process, "r", "parked")
        assert told["attempts"] == 1
        back_at = from_wire(told["retry_at"])
        assert timedelta(seconds=290) < back_at - process.clock.utc_now() < timedelta(seconds=340)
        second = Process(world, "b").start()
    await led(second)
    told = where(second, "r")
    assert (told["state"], told["retry_at"]) == ("parked", None), "the ledger does not say when"
    world.cancel("r")
    told = await reaches(second, "r", "answered")
    assert told["outcome"] == {"status": "failed", "reason": "cancelled"}
    await second.end()


async def test_nobody_knows_what_was_not_taken_and_which_lanes_have_no_room_is_told() -> None:
    world = World(latency_s=3)
    async with leader(world, lanes=LANES | {"bulk": {"order": 3, "buffer_max": 10}}, **RATE) as process:
        assert where(process, "r99")["lanes_without_room"] == []
        submit(world, *(f"r{n}" for n in range(100)))
        await until(lambda: process.core.limits.waiting() > 5)
        await until(lambda: bool(where(process, "r99")["lanes_without_room"]))
        told = where(process, "r99")
        assert (told["state"], told["lanes_without_room"], told["dedupe_window_s"]) == ("unknown", ["bulk"], 3_600)
        since = process.health.leading_since
        assert since is not None
        assert told["leads_for_s"] == pytest.approx((process.clock.utc_now() - since).total_seconds(), abs=0.1)
        process.health.leading_since = None
        assert where(process, "r99")["leads_for_s"] is None


async def test_a_standby_names_the_leader_and_who_asks_it_alone_is_told_where_to_ask() -> None:
    world = World()
    async with leader(world):
        second = Process(world, "b").start()
        assert where(second, "r")["state"] == "elsewhere"
        assert "no process leads at present" in where(second, "r")["sentence"]
        await until(lambda: second.health.holder == "a")
        told = where(second, "r")
        assert (told["state"], told["role"], told["leader"]) == ("elsewhere", "standby", "a")
        assert "a leads. Ask that one" in told["sentence"]
        second.health.holder = "released"
        assert where(second, "r")["leader"] is None
        await second.end()


async def test_who_waits_for_its_key_while_nobody_asks_for_its_limit_has_no_place_yet() -> None:
    world = World(latency_s=3)
    async with leader(world, **SERIAL) as process:
        keyed(world, "first")
        await reaches(process, "first", "calling")
        other = json.dumps({"id": "second", "body": BODY | {"model": "gpt-4o"}}).encode()
        world.kafka.append(
            f"{PREFIX}.requests.bulk", Record(b"key", other, (("ce_partitionkey", b"key"),)), partition=0
        )
        await reaches(process, "second", "waiting_for_order")
        del process.core.limits.limit_queues()["gpt-4o"]  # as if many others had been asked for since
        told = where(process, "second")
        assert (told["before"], told["estimated_start"]) == (None, None)
        await until(lambda: len(world.outcomes()) == 3)


@pytest.mark.parametrize(
    ("decision", "status", "reason"),
    [
        (Complete(), "completed", None),
        (Fail("rejected", SECRET), "failed", "rejected"),
        (Withdraw(0, 1, SECRET), "failed", "cancelled"),
        (Park("quota", SECRET, 0, 1, 1), "parked", "quota"),
        (DeadLetterOnly("id_conflict", SECRET), "dead_letter", "id_conflict"),
        (Discard(), "duplicate", None),
    ],
)
def test_what_is_decided_is_told_in_two_words(decision: Any, status: str, reason: str | None) -> None:
    assert _decided(decision) == {"status": status, "reason": reason}


def test_what_publishes_nothing_is_not_told() -> None:
    assert _decided(None) is _decided(Remember(CancelRecord(b"x" * 16, 0))) is None


async def test_a_request_that_is_traced_names_its_trace() -> None:
    world = World(latency_s=5)
    async with leader(world) as process:
        submit(world, "r")
        assert "trace_id" not in await reaches(process, "r", "calling")
        for cargo in process.hold.cargo.values():
            cargo.trace = RequestTrace(None, TraceContext(10, 1, sampled=True), 0, 0, 0)
        assert where(process, "r")["trace_id"] == f"{10:032x}"
