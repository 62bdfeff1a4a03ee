"""A parked request has an outcome whatever becomes of its copy."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from headrace.broker.core.bounds import OVERDUE_AFTER_MS
from headrace.broker.ports import LedgerLog, LedgerRow, Outgoing, StoredOffset, TopicPartition, TransactionLog
from headrace.broker.testing.kafka_doors import MemoryLedger, MemoryTransactions
from headrace.broker.testing.upstream import Asked, Said
from headrace.schemas import topics
from headrace.schemas.codec import decode_failure, encode_retry
from headrace.schemas.dead_letter import Origin
from headrace.schemas.instants import to_wire
from headrace.schemas.record import Record
from tests.former_releases import LATER_LEDGER_FIELDS
from tests.unit.service.rig import NAME, PREFIX, WALL, Process, World, led, settings_of, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

FAILURES, LEDGER = topics.failures_topic(PREFIX), topics.ledger_topic(PREFIX)
IN_TEN_MINUTES = to_wire(WALL + timedelta(minutes=10))
OVERDUE_S = 600 + OVERDUE_AFTER_MS / 1_000


def shut(asked: Asked) -> Said | None:
    """The model of `parked` is used up for the day, at first."""
    message = "Rate limit reached on requests per day. Please try again in 7m12s."
    parks = asked.request_id.startswith("parked") and asked.nth == 1
    return Said(429, {"error": {"message": message, "code": None, "type": "requests"}}) if parks else None


async def parked(world: World, name: str = "parked", **fields: Any) -> list[Record]:
    """A request that waits for the retrier; its records in the failures topic."""
    other = {"model": "gpt-4o", "messages": [{"role": "user", "content": [[[[[[name]]]]]]}]}
    world.submit(name, "bulk", body=other, **fields)
    await until(lambda: bool(world.kafka.committed(FAILURES)))
    return [fetched.record for fetched in world.kafka.committed(FAILURES)]


def put_back(world: World, record: Record) -> None:
    """As the retrier does."""
    failure = decode_failure(record.value, record.headers)
    again = encode_retry(failure, Origin(FAILURES, 0, 0))
    world.kafka.append(topics.requests_topic(PREFIX, failure.lane), again)


def outcomes(world: World) -> list[dict[str, Any]]:
    """But for those of requests whose id is another's."""
    return [each for each in world.outcomes() if each.get("reason") != "id_conflict"]


def ends(world: World) -> list[tuple[str, int, str]]:
    return [(each["id"], each["run"], each.get("reason", each["status"])) for each in outcomes(world)]


def letters(world: World) -> list[tuple[str, bytes]]:
    return [(dict(each.headers)["headrace-reason"].decode(), each.value or b"") for each in world.dead_letters()]


async def test_a_copy_that_input_bounds_refuse_by_now_is_failed_by_the_identity_in_its_headers() -> None:
    world = World(latency_s=0.1, script=shut)
    first = Process(world, "generous").start()
    await led(first)
    (failure,) = await parked(world)
    await first.end()
    strict = Process(world, "strict", settings=settings_of(input={"nesting_max": 4})).start()
    await led(strict)
    put_back(world, failure)
    await until(lambda: bool(world.outcomes()), 10)
    world.submit("parked", "bulk", body={"model": "gpt-4o"})
    await asyncio.sleep(5)
    assert ends(world) == [("parked", 0, "invalid_request")]
    found = dict(letters(world))
    assert found.keys() == {"invalid_request", "id_conflict"}
    assert json.loads(found["invalid_request"])["body"]["messages"], "the dead letter holds the request as it came"
    await strict.end()


@pytest.mark.slow
async def test_garbage_that_only_names_a_parked_id_fails_nothing() -> None:
    world = World(latency_s=0.1, script=shut)
    process = Process(world, "a").start()
    await led(process)
    (failure,) = await parked(world)
    forged = (
        ("headrace-attempt", b"200"),
        ("ce_subject", b"parked"),
        ("headrace-identity", b"0000000000000000 0 parked"),
    )
    world.kafka.append(topics.requests_topic(PREFIX, "bulk"), Record(None, b"{", forged))
    await until(lambda: bool(world.dead_letters()), 10)
    put_back(world, failure)
    await until(lambda: bool(outcomes(world)), 600)
    assert ends(world) == [("parked", 0, "completed")]
    assert letters(world) == [("invalid_request", b"{")]
    await process.end()


# ---------------------------------------------------------------------------------------------------- overdue


class Former(Process):
    """The release before: it neither writes nor reads what a ledger line says of copies, nor the key of grants."""

    def producer(self) -> TransactionLog:
        class Producer(MemoryTransactions):
            async def transact(
                self, records: Sequence[Outgoing], offsets: Mapping[TopicPartition, StoredOffset]
            ) -> Sequence[int]:
                former = [_former(each) if each.topic == LEDGER else each for each in records]
                return await super().transact(former, offsets)

        return Producer(self.link, transactional_id=NAME)

    def ledger(self) -> LedgerLog:
        class Ledger(MemoryLedger):
            async def read(self, timeout_ms: int) -> Sequence[LedgerRow]:
                return [replace(row, value=_without(row.value)) for row in await super().read(timeout_ms)]

        return Ledger(self.link, topic=LEDGER)


def _former(outgoing: Outgoing) -> Outgoing:
    return replace(outgoing, record=replace(outgoing.record, value=_without(outgoing.record.value or b"")))


def _without(value: bytes) -> bytes:
    former = {name: each for name, each in json.loads(value).items() if name not in LATER_LEDGER_FIELDS}
    return json.dumps(former).encode()


@pytest.mark.slow
async def test_a_parked_request_whose_copy_never_comes_fails_a_quarter_of_an_hour_after_its_deadline() -> None:
    world = World(latency_s=0.1, script=shut)
    process = Process(world, "a").start()
    await led(process)
    await parked(world, deadline=IN_TEN_MINUTES)
    began_s = world.clock.now_ms() / 1_000
    await asyncio.sleep(OVERDUE_S - began_s % 1 - 65)
    assert world.outcomes() == []
    await until(lambda: bool(world.outcomes()), 150)
    world.submit("parked", "bulk", body={"model": "gpt-4o"})
    await asyncio.sleep(2 * 3_600)
    (outcome,) = outcomes(world)
    assert (outcome["id"], outcome["run"], outcome["reason"]) == ("parked", 0, "deadline_exceeded")
    assert outcome["attempts"] == 1
    (letter, conflict) = sorted(world.dead_letters(), key=lambda each: each.value or b"")
    told = dict(letter.headers)
    assert (letter.key, letter.value, told["ce_subject"]) == (b"parked", None, b"parked")
    assert (told["headrace-reason"], told["headrace-origin"]) == (b"deadline_exceeded", b"t.failures/-1/-1")
    assert dict(conflict.headers)["headrace-reason"] == b"id_conflict"
    labels = {"lane": "", "model": "", "status": "failed", "reason": "deadline_exceeded"}
    assert process.metric("headrace_outcomes_total", labels) == 1
    await process.end()


@pytest.mark.slow
async def test_a_copy_that_comes_when_its_request_has_failed_brings_its_dead_letter_and_no_outcome() -> None:
    world = World(latency_s=0.1, script=shut)
    process = Process(world, "a").start()
    await led(process)
    (failure,) = await parked(world, deadline=IN_TEN_MINUTES)
    await until(lambda: bool(world.outcomes()), 2 * OVERDUE_S)
    put_back(world, failure)
    await until(lambda: len(world.dead_letters()) == 2, 10)
    world.submit("parked", "bulk", body={"model": "gpt-4o"})
    await asyncio.sleep(600)
    assert ends(world) == [("parked", 0, "deadline_exceeded")]
    empty, whole = sorted(value for reason, value in letters(world) if reason == "deadline_exceeded")
    assert (empty, json.loads(whole)["body"]["model"]) == (b"", "gpt-4o")
    assert len(world.dead_letters()) == 3, "and one of the id's second use"
    assert process.core.identities.parked_count == 0
    await process.end()


@pytest.mark.slow
async def test_a_successor_fails_what_its_predecessor_has_parked() -> None:
    world = World(latency_s=0.1, script=shut)
    first = Process(world, "first").start()
    await led(first)
    await parked(world, deadline=IN_TEN_MINUTES)
    await asyncio.sleep(5)
    await first.kill()
    second = Process(world, "second").start()
    await led(second)
    await until(lambda: bool(world.outcomes()), 2 * OVERDUE_S)
    await asyncio.sleep(3_600)
    assert ends(world) == [("parked", 0, "deadline_exceeded")]
    assert len(world.dead_letters()) == 1
    await second.end()


@pytest.mark.parametrize("crashes", [0, 2])
async def test_what_was_parked_is_known_however_long_nobody_led(crashes: int) -> None:
    """Also where leaders died as soon as they had claimed: they could not say again what they had read."""
    world = World(latency_s=0.1, script=shut)
    first = Process(world, "first").start()
    await led(first)
    await parked(world, deadline=IN_TEN_MINUTES)
    await asyncio.sleep(5)
    await first.kill()
    for number in range(crashes):
        await asyncio.sleep(5 * 3_600)
        short = Process(world, f"short {number}").start()
        await until(lambda: len(world.claims()) == number + 2)  # noqa: B023 -- called before the next turn
        await short.kill()
    await asyncio.sleep(5 * 3_600)
    second = Process(world, "second").start()
    await led(second)
    await until(lambda: bool(world.outcomes()), 60)
    assert ends(world) == [("parked", 0, "deadline_exceeded")]
    assert [term for term, _ in world.claims()] == list(range(1, crashes + 3))
    await second.end()


async def test_an_id_that_was_answered_a_window_ago_is_called_again_however_long_nobody_led() -> None:
    world = World(latency_s=0.1)
    first = Process(world, "first").start()
    await led(first)
    world.submit("answered")
    await until(lambda: len(world.outcomes()) == 1)
    await first.kill()
    await asyncio.sleep(3_601)
    world.submit("answered")
    second = Process(world, "second").start()
    await until(lambda: len(world.outcomes()) == 2, 20)
    await second.end()


@pytest.mark.slow
async def test_the_release_before_may_lead_in_between_and_take_over_the_parked() -> None:
    world = World(latency_s=0.1, script=shut)
    first = Process(world, "first").start()
    await led(first)
    (failure,) = await parked(world, deadline=IN_TEN_MINUTES)
    standby = Process(world, "standby").start()
    await asyncio.sleep(5)
    await first.kill()
    await led(standby)
    former = Former(world, "former").start()
    await asyncio.sleep(5)
    await standby.end()
    await led(former)
    second = Process(world, "second").start()
    await asyncio.sleep(2 * OVERDUE_S)
    assert world.outcomes() == [], "the release before fails nothing"
    await former.end()
    await led(second)
    await until(lambda: bool(world.outcomes()), 120)
    put_back(world, failure)
    await asyncio.sleep(60)
    assert ends(world) == [("parked", 0, "deadline_exceeded")]
    await second.end()


@pytest.mark.slow
async def test_the_copy_of_what_the_release_before_has_parked_answers_for_it() -> None:
    world = World(latency_s=0.1, script=shut)
    former = Former(world, "former").start()
    await led(former)
    (failure,) = await parked(world, deadline=IN_TEN_MINUTES)
    await former.end()
    process = Process(world, "a").start()
    await led(process)
    world.submit("parked", "bulk", body={"model": "gpt-4o", "messages": []})
    await asyncio.sleep(2 * OVERDUE_S)
    assert outcomes(world) == []
    put_back(world, failure)
    await until(lambda: bool(outcomes(world)), 600)
    await asyncio.sleep(60)
    assert ends(world) == [("parked", 0, "deadline_exceeded")]
    await process.end()
