"""Sums over outcomes through whole dispatchers on doubles: exact, and never in the way of an outcome."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from headrace.broker.core.setback import Setback
from headrace.broker.service.spending.totals_topic import LOOK_EVERY_MS, REST_FIRST_MS
from headrace.broker.spending.book import LATE_A_TRANSACTION_MAX
from headrace.broker.spending.sums import SpendingSums, key_of
from headrace.broker.testing.kafka import CommitFault
from headrace.schemas import topics
from headrace.schemas.codec import decode_outcome
from headrace.schemas.record import Record
from headrace.schemas.spending import SpendingKey, SpendingTotal, decode_total, spent
from tests.unit.service.rig import PREFIX, Process, World, led, until, warmed
from tests.virtual_time import VIRTUAL_TIME

pytestmark = [VIRTUAL_TIME, pytest.mark.timeout(10)]

TOTALS = topics.totals_topic(PREFIX)


def summed(world: World) -> dict[SpendingKey, SpendingTotal]:
    """What the totals topic says: the last record of each key and series, added up."""
    last = {each.record.key: each.record for each in world.kafka.committed(TOTALS)}
    found: dict[SpendingKey, SpendingSums] = {}
    for record in last.values():
        key, _, total = decode_total(record)
        found.setdefault(key, SpendingSums()).add_total(total)
    return {key: SpendingTotal(**sums.fields()) for key, sums in found.items()}


def published(world: World) -> dict[SpendingKey, SpendingTotal]:
    """What the results topic says."""
    found: dict[SpendingKey, SpendingSums] = {}
    for each in world.kafka.committed(topics.results_topic(PREFIX)):
        outcome = spent(decode_outcome(each.record.value, each.record.headers))
        found.setdefault(key_of(outcome, world.clock.utc_now()), SpendingSums()).add(outcome)
    return {key: SpendingTotal(**sums.fields()) for key, sums in found.items()}


async def started(world: World, owner: str = "a") -> Process:
    process = Process(world, owner).start()
    await process.dispatcher.totals_topic.check()
    await led(process)
    return process


async def looked(process: Process) -> None:
    await asyncio.sleep(LOOK_EVERY_MS / 1_000)
    await process.dispatcher.totals_topic.check()


async def answered(world: World, *request_ids: str, **fields: Any) -> None:
    for request_id in request_ids:
        world.submit(request_id, **fields)
    await until(lambda: {each["id"] for each in world.outcomes()} >= set(request_ids))


def shown(process: Process) -> dict[str, Any]:
    topic: dict[str, Any] = process.status.snapshot(process.clock.now_ms())["spending"]["topic"]
    return topic


async def test_the_sums_are_those_of_the_outcomes_of_every_kind() -> None:
    world = World(latency_s=0.1)
    world.kafka.create(TOTALS)
    process = await started(world)
    await warmed(world)
    await answered(world, "a", "b", tenant="acme", template="welcome")
    await answered(world, "c", lane="bulk", tenant="bolt")
    await answered(world, "no-request", deadline="yesterday")
    await answered(world, "too-late", deadline="2026-11-30T00:00:00Z")
    assert summed(world) == published(world)
    assert sum(total.outcomes for total in summed(world).values()) == 6
    by_template = Counter({key.template: total.outcomes for key, total in summed(world).items() if key.template})
    assert by_template <= Counter({"welcome": 2})
    await process.end()


@pytest.mark.parametrize("fault", [CommitFault.STORED, CommitFault.LOST])
async def test_a_commit_whose_answer_is_lost_counts_its_outcomes_once(fault: CommitFault) -> None:
    world = World(latency_s=0.1)
    world.kafka.create(TOTALS)
    process = await started(world)
    await warmed(world)
    await answered(world, "before")
    world.kafka.commit_faults.append(fault)
    await answered(world, "lost")
    await answered(world, "after")
    await looked(process)
    await answered(world, "later")
    assert summed(world) == published(world)
    assert len({decode_total(each.record)[1] for each in world.kafka.committed(TOTALS)}) > 1
    await process.end()


async def test_a_successor_needs_to_read_nothing_and_counts_on() -> None:
    world = World(latency_s=0.1)
    world.kafka.create(TOTALS)
    first = await started(world, "a")
    await warmed(world)
    await answered(world, "one", "two")
    await first.kill()
    second = await started(world, "b")
    await answered(world, "three")
    assert summed(world) == published(world)
    await second.end()


async def test_without_the_topic_outcomes_go_on_and_are_summed_up_once_it_is_there() -> None:
    world = World(latency_s=0.1)
    process = await started(world)
    await warmed(world)
    await answered(world, "one", "two")
    assert (shown(process)["trouble"], shown(process)["unwritten"]) == ("does not exist", 3)
    assert shown(process)["mend"] == "create it with `headrace topics create`"
    world.kafka.create(TOTALS)
    await looked(process)
    await answered(world, "three")
    assert summed(world) == published(world)
    assert (shown(process)["trouble"], shown(process)["unwritten"]) == (None, 0)
    await process.end()


async def test_what_is_not_written_yet_is_written_when_the_leader_leaves() -> None:
    world = World(latency_s=0.1)
    process = await started(world)
    await warmed(world)
    world.kafka.create(TOTALS)
    await looked(process)
    await process.end()
    assert summed(world) == published(world)


async def test_a_topic_that_is_deleted_costs_one_transaction_and_no_outcome() -> None:
    world = World(latency_s=0.1)
    world.kafka.create(TOTALS)
    process = await started(world)
    await warmed(world)
    world.kafka.delete(TOTALS)
    await answered(world, "one", "two")
    assert [each["status"] for each in world.outcomes()] == ["completed"] * 3
    assert shown(process)["trouble"] is not None
    assert process.health.denied is None, "an operator's mistake with the sums is no denial of outcomes"
    world.kafka.create(TOTALS)
    await asyncio.sleep(REST_FIRST_MS / 1_000)
    await looked(process)
    await answered(world, "three")
    assert sum(total.outcomes for total in summed(world).values()) == 3, "those before are gone with the topic"
    await process.end()


@pytest.mark.parametrize("setback", [Setback.REFUSED, Setback.DENIED])
async def test_a_sum_that_kafka_refuses_shortens_no_outcome(setback: Setback) -> None:
    world = World(latency_s=0.1)
    world.kafka.create(TOTALS)
    process = await started(world)
    await warmed(world)

    def policy(topic: str, _record: Record) -> Setback | None:
        return setback if topic == TOTALS else None

    world.kafka.policy = policy
    began_s = asyncio.get_running_loop().time()
    await answered(world, *(f"r{number}" for number in range(20)))
    assert asyncio.get_running_loop().time() - began_s < 5
    assert {each["status"] for each in world.outcomes()} == {"completed"}
    assert world.dead_letters() == []
    assert shown(process)["trouble"] == ("refused a record" if setback is Setback.REFUSED else "was denied to us")
    world.kafka.policy = lambda _topic, _record: None
    await asyncio.sleep(REST_FIRST_MS / 1_000)
    await answered(world, "after")
    assert summed(world) == published(world)
    await process.end()


async def test_a_refused_outcome_is_counted_in_the_form_in_which_it_is_published_at_last() -> None:
    """Bisecting retries the others of its transaction, in other transactions."""
    world = World(latency_s=0.1)
    world.kafka.create(TOTALS)
    process = await started(world)
    await warmed(world)
    results = topics.results_topic(PREFIX)

    def policy(topic: str, record: Record) -> Setback | None:
        whole = topic == results and record.key == b"r3" and b'"completed"' in (record.value or b"")
        return Setback.REFUSED if whole else None

    world.kafka.policy = policy
    await answered(world, *(f"r{number}" for number in range(8)))
    await looked(process)
    await answered(world, "after")
    assert summed(world) == published(world)
    assert {each["id"]: each["status"] for each in world.outcomes()}["r3"] == "failed"
    await process.end()


@pytest.mark.slow
async def test_a_leader_that_leaves_writes_all_sums_that_it_could_not_write_before() -> None:
    world = World(latency_s=0.1)
    process = await started(world)
    await warmed(world)
    tenants = [f"tenant-{number}" for number in range(LATE_A_TRANSACTION_MAX + 20)]
    for tenant in tenants:
        world.submit(tenant, tenant=tenant)
    await until(lambda: len(world.outcomes()) == len(tenants) + 1)
    world.kafka.create(TOTALS)
    await looked(process)
    assert shown(process)["unwritten"] == len(tenants) + 1
    await process.end()
    assert summed(world) == published(world)


async def test_a_defect_in_the_sums_of_a_commit_that_has_returned_ends_no_leader() -> None:
    """Without the topic outcomes are counted then: outside of their transaction, in the task that leads."""
    world = World(latency_s=0.1)
    process = await started(world)
    await warmed(world)
    (hour,) = process.leadership._parts.bookkeeping._book._hours.values()
    hour.late.sums, kept = None, hour.late.sums  # type: ignore[assignment] # the defect
    await answered(world, "one", "two")
    assert process.health.role == "leader"
    assert shown(process)["lost"] == 2
    hour.late.sums = kept
    await answered(world, "three")
    assert (shown(process)["unwritten"], shown(process)["lost"]) == (2, 2)
    await process.end()


async def test_a_defect_in_the_sums_costs_no_outcome() -> None:
    world = World(latency_s=0.1)
    world.kafka.create(TOTALS)
    process = await started(world)
    await warmed(world)
    book = process.leadership._parts.bookkeeping._book
    taken = book._largest
    book._largest = None  # type: ignore[assignment] # the defect
    world.kafka.commit_faults.append(CommitFault.LOST)
    await answered(world, "one")
    assert shown(process)["lost"] == 1, "once, though its transaction was repeated"
    assert process.metric("headrace_contained_total", {"step": "totals"}) == 2
    book._largest = taken
    await answered(world, "two")
    assert sum(total.outcomes for total in summed(world).values()) == 2
    await process.end()
