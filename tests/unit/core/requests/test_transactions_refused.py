"""What a transaction says again after Kafka has refused one."""

import pytest

from headrace.broker.core.bounds import (
    LEAN_MS,
    PROBE_EVERY_MS,
)
from headrace.broker.core.commands import (
    AttemptEntry,
    Batch,
    Complete,
    DeadLetterOnly,
    Fail,
    Form,
    Park,
    SettledEntry,
    Settlement,
)
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.requests.ledger_notes import LedgerNotes
from headrace.broker.core.requests.transactions import REFUSED_BY_KAFKA
from headrace.broker.core.setback import Setback
from tests.unit.core.batching import NOW, OVERDUE, Bench, settled_bench
from tests.unit.core.specimens import identity


def refused(bench: Bench, times: int = 1, now_ms: int = NOW) -> Batch:
    """A batch that Kafka refuses so often, each time with another transaction in between; then the next one."""
    for _ in range(times):
        bench.begin(now_ms)
        bench.batches.interrupt(Setback.REFUSED)
        between = bench.begin(now_ms)
        assert between.settlements == ()
        assert bench.batches.end(between.serial, 0) is not None
    return bench.begin(now_ms)


def test_an_answer_that_kafka_refuses_is_settled_as_a_failure_in_a_smaller_form() -> None:
    assert REFUSED_BY_KAFKA.reason == "unpublishable", "which readers know"
    bench = settled_bench()
    made = bench.decide(Complete(), "a")
    batch = refused(bench, 3)
    assert batch.settlements == (Settlement(made.number, REFUSED_BY_KAFKA, Form.SMALL),)
    assert batch.settled == (SettledEntry(identity("a"), 0, Fate.FAILED),)


def test_a_copy_to_be_tried_again_that_kafka_refuses_fails_instead() -> None:
    bench = settled_bench()
    made = bench.decide(Park("quota", "Later.", NOW + 5, attempts=4, failures=0), "a", attempt=3)
    batch = refused(bench, 3)
    assert batch.settlements == (Settlement(made.number, REFUSED_BY_KAFKA, Form.SMALL),)
    assert batch.settled == (SettledEntry(identity("a"), 3, Fate.FAILED),)


def test_a_failure_that_kafka_refuses_keeps_its_reason() -> None:
    bench = settled_bench()
    fail = Fail("rejected", "No.")
    made = bench.decide(fail, "a")
    assert refused(bench, 4).settlements == (Settlement(made.number, fail, Form.BARE),)


def test_an_answer_whose_copy_may_be_what_is_refused_is_an_answer_still() -> None:
    bench = settled_bench()
    made = bench.decide(Complete(), "a")
    batch = refused(bench, 2)
    assert batch.settlements == (Settlement(made.number, Complete(), Form.UNCOPIED),)
    assert batch.settled == (SettledEntry(identity("a"), 0, Fate.COMPLETED),)


def test_a_line_that_is_refused_alone_leaves_out_for_a_while_what_can_wait() -> None:
    bench = settled_bench()
    bench.limits.limit_queue("gpt-4o-mini", NOW)
    entry, fate = AttemptEntry(identity("s"), 1), SettledEntry(identity("r"), 1, Fate.PARKED)
    bench.batches.add_start(entry)
    cancel = CancelRecord(b"c" * 16, 1)
    at_ms, notes = NOW + PROBE_EVERY_MS, LedgerNotes(settled=(fate,), cancels=(cancel,))
    full = bench.batches.begin(3, bench.limits, notes, at_ms)
    assert (full.settled, full.started, full.cancels) == ((fate,), (entry,), (cancel,))
    bench.batches.interrupt(Setback.REFUSED)
    lean = bench.batches.begin(3, bench.limits, notes, at_ms)
    assert (lean.settled, lean.started, lean.cancels, lean.levels) == ((), (), (), ())
    assert bench.batches.end(lean.serial, 0) is not None
    later = bench.batches.begin(3, bench.limits, notes, at_ms + LEAN_MS)
    assert (later.settled, later.started, later.cancels) == ((fate,), (entry,), (cancel,))


def test_an_unknown_commit_of_a_line_alone_leaves_out_nothing() -> None:
    bench = settled_bench()
    bench.batches.add_start(AttemptEntry(identity("s"), 1))
    bench.begin()
    bench.batches.interrupt()
    assert len(bench.begin().started) == 1


def after_a_refusal(batch_of: str) -> Batch:
    """The next transaction after one that was refused, in a second in which levels are due."""
    bench = settled_bench()
    bench.limits.limit_queue("gpt-4o-mini", NOW)
    if "decision" in batch_of:
        bench.decide(DeadLetterOnly("id_conflict", "Taken."))
    notes = LedgerNotes(overdue=(OVERDUE,)) if "overdue" in batch_of else LedgerNotes()
    batch = bench.batches.begin(3, bench.limits, notes, NOW)
    if batch_of == "committed":
        bench.batches.end(batch.serial, 0)
    bench.batches.interrupt(Setback.REFUSED)
    return bench.batches.begin(3, bench.limits, LedgerNotes(overdue=(OVERDUE,)), NOW + PROBE_EVERY_MS)


@pytest.mark.parametrize(
    ("batch_of", "lean"),
    [("nothing", True), ("a decision", False), ("overdue", False), ("decision, overdue", False), ("committed", False)],
)
def test_only_a_refused_line_that_stood_alone_makes_the_next_one_lean(batch_of: str, lean: bool) -> None:  # noqa: FBT001 — the row of a table
    batch = after_a_refusal(batch_of)
    assert (batch.levels == ()) is lean
    assert batch.overdue == (OVERDUE,), "which is open until it is committed"


def lean(bench: Bench) -> Bench:
    """One whose next lines leave out what can wait, such as an attempt and a level."""
    bench.batches.add_start(AttemptEntry(identity("s"), 1))
    bench.begin()
    bench.batches.interrupt(Setback.REFUSED)
    bench.limits.limit_queue("gpt-4o-mini", NOW)
    return bench


def test_the_line_that_is_owed_at_last_leaves_out_nothing() -> None:
    bench = lean(settled_bench())
    batch = bench.begin(owed=True)
    assert (len(batch.started), len(batch.levels)) == (1, 1)
    assert bench.batches.end(batch.serial, NOW) is not None
    assert not bench.batches.owes_line(bench.limits)


def test_what_is_decided_or_overdue_stands_in_no_line_that_may_be_refused_again() -> None:
    bench = lean(settled_bench())
    bench.decide(DeadLetterOnly("id_conflict", "Taken."))
    decided = bench.begin(owed=True)
    assert (decided.started, decided.levels) == ((), ())
    assert bench.batches.end(decided.serial, NOW) is not None
    overdue = bench.batches.begin(3, bench.limits, LedgerNotes(overdue=(OVERDUE,)), NOW, owed=True)
    assert (overdue.started, overdue.levels) == ((), ())
    assert bench.batches.owes_line(bench.limits)


def test_no_line_is_owed_once_kafka_has_refused_it_and_only_it() -> None:
    bench = lean(settled_bench())
    bench.begin(owed=True)
    bench.batches.interrupt()
    assert bench.batches.owes_line(bench.limits), "it may be in the ledger, or not"
    for owed in (True, False):
        bench.begin(owed=owed)
        bench.batches.interrupt(Setback.REFUSED)
        assert not bench.batches.owes_line(bench.limits)
    assert bench.begin().started == ()
