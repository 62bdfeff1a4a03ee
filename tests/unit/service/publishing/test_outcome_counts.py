"""How many outcomes all leaders have published: no failover forgets any."""

from collections import Counter
from dataclasses import replace

import pytest

from headrace.broker.core.commands import (
    Batch,
    Complete,
    DeadLetterOnly,
    Decision,
    Fail,
    Form,
    Park,
    Settlement,
    Withdraw,
)
from headrace.broker.core.identity.dedupe import Overdue
from headrace.broker.core.ticket import TicketNumber
from headrace.broker.service.publishing.outcome_counts import KIND_CHARS_MAX, KINDS_MAX, OutcomeCounts
from headrace.broker.testing.kafka import CommitFault
from headrace.schemas.ledger import LedgerKind, LedgerRecord, decode_ledger, encode_ledger
from tests.unit.core.specimens import identity
from tests.unit.service.rig import Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME

EMPTY = Batch(1, (), {}, (), (), ())
LINE = LedgerRecord(LedgerKind.STEP, 1, "me")


def batch_of(*decisions: Decision, form: Form = Form.WHOLE) -> Batch:
    settled = [Settlement(TicketNumber(number), each, form) for number, each in enumerate(decisions)]
    return replace(EMPTY, settlements=tuple(settled))


@pytest.mark.parametrize(
    ("decision", "kind"),
    [
        (Complete(), "completed"),
        (Fail("rejected", ""), "rejected"),
        (Withdraw(0, 1, ""), "cancelled"),
        (Park("quota", "", 0, 1, 1), None),
        (DeadLetterOnly("undecodable", ""), None),
    ],
)
def test_each_decision_counts_as_the_outcome_that_it_publishes(decision: Decision, kind: str | None) -> None:
    counts = OutcomeCounts()
    counts.observe(replace(LINE, totals={"completed": 5}))
    expected = Counter({"completed": 5}) + Counter([kind] if kind else [])
    assert counts.after(batch_of(decision)) == expected
    assert counts.counts == {"completed": 5}, "it is not committed yet"
    assert counts.after(batch_of(decision, form=Form.LETTER)) == {"completed": 5}


def test_what_crashed_while_its_records_were_made_is_no_completed() -> None:
    batch = batch_of(Complete(), Complete(), Fail("rejected", ""))
    assert OutcomeCounts().after(batch, {TicketNumber(0), TicketNumber(2)}) == {
        "crashed": 1,
        "completed": 1,
        "rejected": 1,
    }


def test_parked_requests_that_did_not_come_back_are_counted() -> None:
    overdue = Overdue(identity("x"), 1, 7, "x")
    assert OutcomeCounts().after(replace(EMPTY, overdue=(overdue, overdue))) == {"deadline_exceeded": 2}


def test_a_line_that_says_none_leaves_them_and_what_others_write_is_bounded() -> None:
    counts = OutcomeCounts()
    counts.observe(replace(LINE, totals={f"kind-{number:02}": number for number in range(2 * KINDS_MAX)}))
    assert len(counts.counts) == KINDS_MAX
    counts.observe(LINE)
    assert len(counts.counts) == KINDS_MAX
    counts.observe(replace(LINE, totals={"k" * (KIND_CHARS_MAX + 1): 1, "negative": -1, "completed": 3}))
    assert counts.counts == {"completed": 3}


def test_they_stand_in_the_line_of_the_ledger() -> None:
    line = replace(LINE, totals={"completed": 3, "rejected": 1})
    assert decode_ledger(encode_ledger(line)) == line
    assert decode_ledger(encode_ledger(LINE)).totals == {}


def test_a_claim_hands_them_on_and_never_lowers_a_count() -> None:
    """Its writer may not have read the last steps before it; they count all the same."""
    counts, claim = OutcomeCounts(), replace(LINE, kind=LedgerKind.CLAIM)
    counts.observe(replace(claim, totals={"completed": 5, "rejected": 1}))
    assert counts.counts == {"completed": 5, "rejected": 1}
    counts.observe(replace(LINE, totals={"completed": 7, "rejected": 1}))
    counts.observe(replace(claim, totals={"completed": 5, "rejected": 1}))
    counts.observe(claim)
    assert counts.counts == {"completed": 7, "rejected": 1}
    counts.observe(replace(claim, totals={f"kind-{number:02}": 1 for number in range(KINDS_MAX)}))
    assert len(counts.counts) == KINDS_MAX


@VIRTUAL_TIME
async def test_a_term_that_only_claims_hands_them_on_in_its_claim() -> None:
    """For a successor that finds no step within a dedupe window, claims are all that it reads."""
    world = World(latency_s=0.1)
    first = Process(world, "a").start()
    await led(first)
    for number in range(7):
        world.submit(f"r{number}")
    await until(lambda: len(world.outcomes()) == 7)
    await first.kill()
    second = Process(world, "b").start()
    await led(second)
    await second.kill()
    (claim,) = [line for line in world.ledger() if line.kind is LedgerKind.CLAIM and line.owner == "b"]
    assert claim.totals == {"completed": 7}
    third = OutcomeCounts()
    third.observe(claim)
    assert third.counts == {"completed": 7}


@VIRTUAL_TIME
async def test_a_failover_forgets_no_outcome_and_a_standby_knows_them_too() -> None:
    world = World(latency_s=0.1)
    first, second = Process(world, "a").start(), Process(world, "b").start()
    leader = await until_one_leads(first, second)
    standby = second if leader is first else first
    for number in range(7):
        world.submit(f"r{number}")
    world.submit("garbage", body={})
    await until(lambda: len(world.outcomes()) == 8)
    await until(lambda: sum(standby.follower.outcome_counts.counts.values()) == 8)
    told = leader.status.snapshot(world.clock.now_ms())["outcomes"]
    assert told == {"completed": 7, "invalid_request": 1} == standby.status.snapshot(world.clock.now_ms())["outcomes"]
    await leader.kill()
    world.submit("after")
    await until(lambda: len(world.outcomes()) == 9)
    await until(lambda: standby.status.snapshot(world.clock.now_ms())["outcomes"] == {**told, "completed": 8})
    late = Process(world, "c").start()
    await until(lambda: late.follower.outcome_counts.counts == {**told, "completed": 8})
    await standby.kill()
    await late.kill()


async def until_one_leads(*processes: Process) -> Process:
    await until(lambda: any(each.health.role == "leader" for each in processes))
    return next(each for each in processes if each.health.role == "leader")


@VIRTUAL_TIME
@pytest.mark.parametrize("fault", [CommitFault.LOST, CommitFault.STORED])
async def test_a_commit_whose_end_is_unknown_is_counted_once_if_it_was_stored(fault: CommitFault) -> None:
    world = World(latency_s=0.1)
    process = Process(world, "a").start()
    await led(process)
    for number in range(5):
        world.submit(f"r{number}")
    await until(lambda: len(world.outcomes()) >= 1)
    world.kafka.commit_faults.append(fault)
    world.submit("doubted")
    await until(lambda: len(world.outcomes()) == 6)
    await until(lambda: dict(process.follower.outcome_counts.counts) == {"completed": 6})
    await process.kill()
