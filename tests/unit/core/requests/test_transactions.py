from dataclasses import replace

from headrace.broker.core.bounds import (
    COMMIT_PATIENCE_MS,
    LINGER_MS,
    PROBE_EVERY_MS,
    RENEWALS_LOOKED_FOR_PARTS,
    STARTED_A_LINE_MAX,
)
from headrace.broker.core.commands import (
    AttemptEntry,
    Complete,
    DeadLetterOnly,
    Discard,
    Fail,
    Park,
    Remember,
    SettledEntry,
    Withdraw,
)
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.identity.outcome_index import Awaited
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.requests.ledger_notes import LedgerNotes
from headrace.broker.core.requests.outbox import Decided
from headrace.broker.core.requests.transactions import TransactionBuilder
from headrace.broker.core.ticket import Source
from tests.unit.core.batching import NOW, OVERDUE, Bench, settled_bench
from tests.unit.core.specimens import HOUR_MS, candidate, identity, place, ticket


def test_a_transaction_names_what_becomes_of_each_record_and_what_the_ledger_should_know() -> None:
    bench = settled_bench()
    done = bench.decide(Complete(), "a")
    failed = bench.decide(Fail("rejected", "No."), "b", attempt=2)
    parked = bench.decide(Park("quota", "Later.", NOW + 5, attempts=4, failures=0), "c", attempt=3)
    bench.decide(DeadLetterOnly("id_conflict", "Taken."), "d")
    bench.decide(Discard(), "e")
    batch = bench.begin()
    assert [each.decision.__class__ for each in batch.settlements] == [Complete, Fail, Park, DeadLetterOnly, Discard]
    assert [each.number for each in batch.settlements[:3]] == [done.number, failed.number, parked.number]
    assert batch.settled == (
        SettledEntry(identity("a"), 0, Fate.COMPLETED),
        SettledEntry(identity("b"), 2, Fate.FAILED),
        SettledEntry(identity("c"), 4, Fate.PARKED),
    )
    assert {partition: stored.offset for partition, stored in batch.offsets.items()} == {place(): 5}


def test_a_withdrawn_request_and_its_copy_that_returns_have_their_lines_in_the_ledger() -> None:
    bench = settled_bench()
    bench.decide(Withdraw(0, 3, "Cancelled."), "a", attempt=4)
    bench.decide(Discard(returned=True), "b", attempt=4)
    batch = bench.begin()
    assert batch.settled == (
        SettledEntry(identity("a"), 3, Fate.WITHDRAWN),
        SettledEntry(identity("b"), 4, Fate.FAILED),
    )


def test_a_cancel_that_waits_stands_in_the_ledger_beside_those_that_are_said_again() -> None:
    bench = settled_bench()
    new, old = CancelRecord(b"n" * 16, 5), CancelRecord(b"o" * 16, 4)
    made = bench.decide(Remember(new))
    batch = bench.batches.begin(3, bench.limits, LedgerNotes(cancels=(old,)), NOW)
    assert batch.cancels == (new, old)
    assert batch.settled == ()
    ended = bench.batches.end(batch.serial, 0)
    assert ended is not None
    assert (ended.cancels, ended.tickets) == ((new, old), [made])


def test_an_outcome_lingers_for_company() -> None:
    bench = settled_bench()
    bench.decide(Complete())
    assert bench.quiet() == NOW + LINGER_MS


def test_nothing_is_due_while_one_is_under_way() -> None:
    bench = Bench()
    bench.decide(Complete())
    bench.begin()
    assert bench.quiet(active=True) is None


def test_silence_ends_after_a_second_while_calls_are_under_way_and_after_half_a_window_at_the_latest() -> None:
    bench = settled_bench()
    assert bench.quiet(active=True) == NOW + PROBE_EVERY_MS
    assert bench.quiet(parked=True) == NOW + HOUR_MS // RENEWALS_LOOKED_FOR_PARTS
    assert bench.quiet() == NOW + HOUR_MS // 2


def test_a_started_attempt_reaches_the_ledger_within_a_second_although_nothing_is_active_any_more() -> None:
    bench = settled_bench()
    bench.batches.add_start(AttemptEntry(identity(), 1))
    assert bench.quiet() == NOW + PROBE_EVERY_MS
    assert bench.begin().started == (AttemptEntry(identity(), 1),)


def test_every_half_window_every_partition_is_stored_again() -> None:
    bench = Bench()
    assert bench.quiet() == 0
    first = bench.begin()
    assert set(first.offsets) == {place(), place("bulk")}
    bench.batches.end(first.serial, 0)
    bench.decide(Complete())
    soon = bench.begin(NOW + 1)
    assert set(soon.offsets) == {place()}
    bench.batches.end(soon.serial, 0)
    assert set(bench.begin(NOW + HOUR_MS // 2).offsets) == {place(), place("bulk")}


def test_a_promotion_stores_every_partition_at_once() -> None:
    bench = settled_bench()
    bench.batches.recommit(NOW + 10)
    assert bench.quiet() == NOW + 10


def test_levels_are_written_once_a_second_at_most() -> None:
    bench = Bench()
    bench.limits.limit_queue("gpt", NOW)
    written = []
    for now_ms in (NOW, NOW + PROBE_EVERY_MS - 1, NOW + PROBE_EVERY_MS):
        batch = bench.begin(now_ms)
        written.append([checkpoint.limit for checkpoint in batch.levels])
        bench.batches.end(batch.serial, 0)
    assert written == [["gpt"], [], ["gpt"]]


def test_a_commit_ends_what_was_in_it_renewals_included() -> None:
    bench = settled_bench()
    made = bench.decide(Complete())
    renewal = SettledEntry(identity("old"), 2, Fate.PARKED)
    batch = bench.begin(renewals=[renewal])
    ended = bench.batches.end(batch.serial, 0)
    assert ended is not None
    assert ended.tickets == [made]
    assert ended.settled == batch.settled == (SettledEntry(identity(), 0, Fate.COMPLETED), renewal)


def test_an_unknown_transaction_is_made_again_whole() -> None:
    bench = settled_bench()
    made = bench.decide(Complete())
    bench.batches.add_start(AttemptEntry(identity(), 1))
    unknown = bench.begin()
    bench.batches.add_start(AttemptEntry(identity("y"), 1))
    bench.batches.interrupt()
    stored = PartitionProgress(0)
    stored.take(0, 0)
    bench.registry.replace_progress({place(): stored})
    again = bench.begin()
    assert again.serial > unknown.serial
    assert again.settlements == unknown.settlements
    assert again.started == (AttemptEntry(identity(), 1), AttemptEntry(identity("y"), 1))
    ended = bench.batches.end(again.serial, 0)
    assert ended is not None
    assert ended.tickets == [made]


def test_a_commit_that_returns_after_it_was_called_unknown_ends_nothing() -> None:
    bench = settled_bench()
    bench.decide(Complete())
    batch = bench.begin()
    bench.batches.interrupt()
    assert bench.batches.end(batch.serial, 0) is None
    assert len(bench.outbox) == 1


def test_a_commit_of_a_former_batch_does_not_end_this_one() -> None:
    bench = settled_bench()
    bench.decide(Complete())
    batch = bench.begin()
    assert bench.batches.end(batch.serial - 1, 0) is None
    assert bench.outbox.busy


def test_a_follower_starts_no_line_with_what_it_once_called() -> None:
    bench = settled_bench()
    bench.batches.add_start(AttemptEntry(identity(), 1))
    bench.begin()
    bench.batches.add_start(AttemptEntry(identity("y"), 1))
    bench.batches.interrupt()
    bench.batches.clear()
    assert bench.begin().started == ()


def test_who_must_be_named_before_he_is_read_begins_a_transaction_at_once() -> None:
    bench = settled_bench()
    assert (bench.quiet() or 0) > NOW
    bench.batches.suspects.name((Source(place(), 7),))
    assert (bench.quiet() or 0) <= NOW
    batch = bench.begin()
    assert batch.suspects == (Source(place(), 7),)
    bench.batches.end(batch.serial, 0)
    assert bench.batches.suspects.is_written((Source(place(), 7),))
    assert (bench.quiet() or 0) > NOW
    bench.batches.interrupt()
    assert not bench.batches.suspects.is_written((Source(place(), 7),))


def test_a_commit_hangs_once_it_takes_longer_than_a_slow_one() -> None:
    bench = Bench()
    assert not bench.batches.is_hanging(NOW + 60_000), "none is under way"
    batch = bench.begin()
    assert not bench.batches.is_hanging(NOW + COMMIT_PATIENCE_MS - 1)
    assert bench.batches.is_hanging(NOW + COMMIT_PATIENCE_MS)
    bench.batches.end(batch.serial, 0)
    assert not bench.batches.is_hanging(NOW + COMMIT_PATIENCE_MS)
    bench.begin(NOW + COMMIT_PATIENCE_MS)
    bench.batches.interrupt()
    assert not bench.batches.is_hanging(NOW + 60_000)


def test_what_was_published_as_failed_is_settled_as_failed_whatever_was_decided() -> None:
    bench = settled_bench()
    bad, good = bench.decide(Complete(), "a"), bench.decide(Complete(), "b")
    parked = bench.decide(Park("quota", "Later.", NOW + 5, attempts=4, failures=0), "c", attempt=3)
    renewal = SettledEntry(identity("d"), 1, Fate.PARKED)
    ended = bench.batches.end(bench.begin(renewals=(renewal,)).serial, 0, frozenset({bad.number, parked.number}))
    assert ended is not None
    assert ended.settled == (
        SettledEntry(identity("a"), 0, Fate.FAILED),
        SettledEntry(identity("b"), 0, Fate.COMPLETED),
        SettledEntry(identity("c"), 4, Fate.FAILED),
        renewal,
    )
    assert list(ended.tickets) == [bad, good, parked]


def test_calls_that_ended_and_wait_for_another_are_told_once_and_again_after_an_unknown_commit() -> None:
    bench = settled_bench()
    bench.batches.add_end(AttemptEntry(identity("a"), 1))
    first = bench.begin()
    assert first.ended == (AttemptEntry(identity("a"), 1),)
    bench.batches.interrupt()
    bench.batches.add_end(AttemptEntry(identity("b"), 2))
    again = bench.begin()
    assert again.ended == (AttemptEntry(identity("a"), 1), AttemptEntry(identity("b"), 2))
    ended = bench.batches.end(again.serial, 0)
    assert ended is not None
    assert list(ended.calls) == list(again.ended)
    assert bench.begin().ended == ()
    bench.batches.interrupt()
    bench.batches.add_end(AttemptEntry(identity("c"), 1))
    bench.batches.clear()
    assert bench.begin().ended == ()


def test_one_line_names_a_bounded_number_of_started_attempts_and_the_next_one_the_rest() -> None:
    bench = settled_bench()
    for number in range(STARTED_A_LINE_MAX + 1):
        bench.batches.add_start(AttemptEntry(identity(str(number)), 1))
    counts = []
    for _ in range(2):
        batch = bench.begin()
        counts.append(len(batch.started))
        assert bench.batches.end(batch.serial, 0) is not None
    assert counts == [STARTED_A_LINE_MAX, 1]


def test_the_end_of_a_call_that_waits_for_another_reaches_the_ledger_within_a_second() -> None:
    bench = settled_bench()
    bench.batches.add_end(AttemptEntry(identity("s"), 1))
    assert bench.quiet() == NOW + PROBE_EVERY_MS


def test_every_partition_is_stored_in_time_however_little_there_is_to_say() -> None:
    bench = settled_bench()
    bench.batches.recommit(NOW + 10)
    assert bench.quiet(active=True) == NOW + 10
    bench.decide(Complete())
    assert bench.quiet() == NOW + 10


def test_what_is_known_of_a_copy_stands_in_the_ledger_and_is_known_once_that_is_committed() -> None:
    bench = settled_bench()
    made = ticket(replace(candidate("a", deadline_ms=60_001, tenant_mark=b"acme...."), name="a"))
    bench.registry.progress[place()].take(made.source.offset, 0)
    bench.registry.add(made)
    bench.outbox.add(Decided(made, Park("quota", "Later.", NOW + 5, 4, 0), 10), NOW, at_once=False)
    bench.decide(Complete(), "b")
    told = Awaited(identity("c"), 800, "c")
    notes = LedgerNotes(awaited=(told,), overdue=(OVERDUE,))
    batch = bench.batches.begin(3, bench.limits, notes, NOW, wall_offset_ms=1_000_000)
    parked = Awaited(identity("a"), 1_061, "a", tenant_mark=b"acme....")
    known = (parked, told, Awaited(identity("late"), 900, "late", overdue=True))
    assert (batch.awaited, batch.overdue) == (known, (OVERDUE,))
    assert batch.settled[-1] == SettledEntry(identity("late"), 3, Fate.WITHDRAWN)
    ended = bench.batches.end(batch.serial, 0)
    assert ended is not None
    assert (ended.awaited, ended.overdue) == (known, (OVERDUE,))


def test_what_an_unknown_commit_would_have_told_is_told_once_however_often_it_is_called_unknown() -> None:
    bench = settled_bench()
    started, ended = AttemptEntry(identity("s"), 1), AttemptEntry(identity("e"), 1)
    bench.batches.add_start(started)
    bench.batches.add_end(ended)
    bench.begin()
    for _ in range(2):
        bench.batches.interrupt()
    batch = bench.begin()
    assert (batch.started, batch.ended) == ((started,), (ended,))


def test_a_line_that_is_owed_begins_at_once() -> None:
    bench = settled_bench()
    assert bench.batches.due_at(active=False, parked=False, owed=True) == NOW


def test_attempts_owe_a_line_until_it_is_committed() -> None:
    for add in (TransactionBuilder.add_start, TransactionBuilder.add_end):
        bench = settled_bench()
        assert not bench.batches.owes_line(bench.limits)
        add(bench.batches, AttemptEntry(identity("s"), 1))
        assert bench.batches.owes_line(bench.limits)
        batch = bench.begin()
        assert bench.batches.owes_line(bench.limits)
        assert bench.batches.end(batch.serial, NOW) is not None
        assert not bench.batches.owes_line(bench.limits)


def test_levels_owe_a_line_until_it_is_committed() -> None:
    bench = settled_bench()
    bench.limits.limit_queue("gpt", NOW)
    lost = bench.begin(owed=True)
    bench.batches.interrupt()
    assert bench.batches.owes_line(bench.limits)
    batch = bench.begin(owed=True)
    assert batch.levels == lost.levels
    assert bench.batches.end(batch.serial, NOW) is not None
    assert not bench.batches.owes_line(bench.limits)
