"""Calls that wait for the ledger line that says they begin."""

from headrace.broker.core.bounds import (
    LEAN_STARTED_MAX,
    LINGER_MS,
    NAMED_READ_MS,
)
from headrace.broker.core.commands import (
    AttemptEntry,
)
from headrace.broker.core.setback import Setback
from headrace.broker.core.ticket import Source
from tests.unit.core.batching import NOW, settled_bench
from tests.unit.core.specimens import candidate, identity, place, ticket


def test_a_call_that_waits_for_its_line_begins_a_transaction_soon_and_waits_for_its_commit() -> None:
    bench = settled_bench()
    assert bench.batches.add_start(AttemptEntry(identity("a"), 1)) == 0
    assert (bench.quiet() or 0) > NOW + LINGER_MS
    line = bench.batches.add_start(AttemptEntry(identity("b"), 1), awaited=True)
    later = bench.batches.add_start(AttemptEntry(identity("c"), 1))
    assert bench.quiet() == NOW + LINGER_MS
    bench.begin()
    bench.batches.interrupt()
    assert not bench.batches.has_written(line)
    assert bench.quiet() == NOW + LINGER_MS, "the commit is unknown: it is written again"
    batch = bench.begin()
    assert not bench.batches.has_written(line)
    assert len(batch.started) == 3
    bench.batches.end(batch.serial, 0)
    assert bench.batches.has_written(line)
    assert bench.batches.has_written(later)
    assert (bench.quiet() or 0) > NOW + LINGER_MS


def test_a_call_waits_for_its_line_while_one_before_it_in_its_ordering_key_does() -> None:
    bench = settled_bench()

    def started(order: bytes = b"", *, awaited: bool = False) -> int:
        return bench.batches.add_start(AttemptEntry(identity("x"), 1), awaited=awaited, order=order)

    assert started(b"k") == 0
    assert started(b"k", awaited=True) == 2
    assert started(awaited=True) == 3
    assert [started(), started(b"other")] == [0, 0], "however many of others wait"
    batch = bench.begin()
    assert started(b"k") == 6
    bench.batches.end(batch.serial, 0)
    assert bench.batches.has_written(3)
    assert started(b"k") == 7, "behind the one before it, whose line is not written yet"
    assert bench.batches.awaits_line
    bench.batches.end(bench.begin().serial, 0)
    assert not bench.batches.awaits_line
    assert started(b"k") == 0
    bench.batches.end(bench.begin().serial, 0)
    assert not bench.batches._awaited_line_of, "forgotten with the commit after the last"
    started(b"k", awaited=True)
    bench.batches.clear()
    assert started(b"k") == 0


def test_the_first_line_is_one_to_wait_for_like_any_other() -> None:
    bench = settled_bench()
    before, after = (ticket(candidate(name, order=b"k")) for name in "ab")
    before.turn, after.turn = 1, 2
    line = bench.batches.add_start(AttemptEntry(after.candidate.identity, 1), awaited=True, order=b"k")
    bench.batches.add_unsent(before)
    assert line == 1
    assert bench.batches.overtakes(line, after)


def test_a_call_passes_one_before_it_that_was_turned_back_while_it_waited_for_its_line() -> None:
    bench = settled_bench()
    tickets = [ticket(candidate(name, order=b"k")) for name in "abcd"]
    unordered, later = ticket(candidate()), ticket(candidate())
    later.turn = 9
    for turn, each in enumerate(tickets, start=1):
        each.turn = turn
        bench.batches.add_start(AttemptEntry(each.candidate.identity, 1), awaited=True, order=b"k")

    def passing(*lines: int) -> list[bool]:
        return [bench.batches.overtakes(line, each) for line, each in zip(lines, tickets, strict=True)]

    bench.batches.add_unsent(unordered)
    assert passing(1, 2, 3, 4) == [False] * 4
    bench.batches.add_unsent(tickets[1])
    assert passing(1, 2, 3, 4) == [False, False, True, True]
    assert passing(1, 0, 0, 5) == [False] * 4, "what waits for no line, or was called afterwards, passes none"
    assert not any(bench.batches.overtakes(3, each) for each in (unordered, later)), "those without a key have no order"
    assert bench.batches.add_start(AttemptEntry(identity("b"), 1), awaited=True, order=b"k") == 5
    bench.batches.add_unsent(tickets[2])
    assert passing(1, 5, 4, 5) == [False, False, True, True]
    assert passing(1, 5, 5, 6) == [False] * 4, "the second was turned back before that one was noted"
    assert bench.batches.add_start(AttemptEntry(identity("c"), 1), awaited=True, order=b"k") == 6
    bench.batches.add_unsent(tickets[1])
    assert passing(1, 6, 6, 6) == [False, False, True, True]
    batch = bench.begin()
    assert bench.batches.add_start(AttemptEntry(identity("d"), 1), awaited=True, order=b"k") == 7
    bench.batches.add_unsent(tickets[1])
    for line in (6, 7):
        bench.batches.end(batch.serial, 0)
        assert bench.batches.has_written(line)
        assert passing(1, 6, line, 7) == [False, False, True, True], "it is asked now"
        batch = bench.begin()
    assert (batch.started, batch.ended) == ((), ())
    bench.batches.end(batch.serial, 0)
    assert not bench.batches._turned_back, "forgotten with the commit after the last"
    tickets[0].calls = 2
    bench.batches.add_unsent(tickets[0])
    assert passing(1, 2, 3, 4) == [False] * 4, "no call waits any more"
    assert bench.begin().ended == (AttemptEntry(identity("a"), 3),)


def test_no_line_is_awaited_any_more_once_another_leader_writes_the_ledger() -> None:
    bench = settled_bench()
    bench.batches.add_start(AttemptEntry(identity("a"), 1), awaited=True)
    bench.batches.clear()
    assert (bench.quiet() or 0) > NOW
    line = bench.batches.add_start(AttemptEntry(identity("b"), 1), awaited=True)
    assert not bench.batches.has_written(line)
    batch = bench.begin()
    bench.batches.end(batch.serial, 0)
    assert bench.batches.has_written(line)


def test_a_lean_line_names_a_bounded_number_of_calls_that_wait_for_it() -> None:
    bench = settled_bench()
    for number in range(LEAN_STARTED_MAX):
        bench.batches.add_start(AttemptEntry(identity(f"{number}"), 1))
    line = bench.batches.add_start(AttemptEntry(identity("x"), 1), awaited=True)
    assert len(bench.begin().started) == LEAN_STARTED_MAX + 1, "any other line names more"
    bench.batches.interrupt(Setback.REFUSED)
    for told, count in ((False, LEAN_STARTED_MAX), (True, 1)):
        batch = bench.begin()
        assert len(batch.started) == count
        bench.batches.end(batch.serial, 0)
        assert bench.batches.has_written(line) is told
    bench.batches.add_start(AttemptEntry(identity("y"), 1))
    assert bench.begin().started == ()


def test_the_next_transaction_waits_a_moment_for_the_line_that_strikes_off_what_is_named() -> None:
    bench, named = settled_bench(), (Source(place(), 7),)
    bench.batches.add_start(AttemptEntry(identity("a"), 1), awaited=True)
    bench.batches.suspects.name(named)
    assert bench.quiet() == NOW, "naming waits for nothing"
    batch = bench.begin()
    committed_ms = NOW + 200
    bench.batches.end(batch.serial, committed_ms)
    bench.batches.add_start(AttemptEntry(identity("b"), 1), awaited=True)
    assert bench.quiet() == committed_ms + NAMED_READ_MS
    bench.batches.suspects.name((Source(place(), 8),))
    assert (bench.quiet() or 0) <= committed_ms, "the next line waits for nothing"
    bench.batches.suspects.name(())
    assert (bench.quiet() or 0) <= committed_ms
