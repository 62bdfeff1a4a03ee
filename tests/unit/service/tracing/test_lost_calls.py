"""Calls of a dead leader are known until the ledger says that they, and no later ones, have ended."""

from collections.abc import Sequence

from headrace.broker.core.bounds import INHERITED_CALLS_MAX
from headrace.broker.core.commands import AttemptEntry, SettledEntry
from headrace.broker.core.events import LedgerRead
from headrace.broker.core.identity.dedupe import Fate, Identity
from headrace.broker.service.tracing.lost_calls import LostCall, LostCalls
from tests.unit.core.specimens import identity

A = identity("a")
KEY = A.id_hash, A.run


def line(
    at_ms: int = 7,
    *,
    started: Sequence[tuple[Identity, int]] = (),
    ended: Sequence[tuple[Identity, int]] = (),
    settled: Sequence[SettledEntry] = (),
) -> LedgerRead:
    begun = [AttemptEntry(*each) for each in started]
    return LedgerRead(at_ms, settled, begun, (), ended=[AttemptEntry(*each) for each in ended], owner="leader-1")


def test_a_call_that_began_is_lost_once() -> None:
    calls = LostCalls()
    calls.observe(line(started=[(A, 2)]))
    assert calls.take(KEY) == LostCall(2, "leader-1", 7)
    assert calls.take(KEY) is None


def test_an_attempt_that_ended_in_the_line_in_which_the_next_one_began_leaves_the_next_one() -> None:
    calls = LostCalls()
    calls.observe(line(started=[(A, 1)]))
    calls.observe(line(9, started=[(A, 2)], ended=[(A, 1)]))
    assert calls.take(KEY) == LostCall(2, "leader-1", 9)


def test_an_attempt_that_ended_is_not_lost() -> None:
    calls = LostCalls()
    calls.observe(line(started=[(A, 1)]))
    calls.observe(line(ended=[(A, 1)]))
    assert calls.take(KEY) is None


def test_a_fate_ends_the_call_unless_it_repeats_that_the_request_was_parked_before_it() -> None:
    for entry, is_lost in (
        (SettledEntry(A, 2, Fate.COMPLETED), False),
        (SettledEntry(A, 1, Fate.COMPLETED), False),
        (SettledEntry(A, 2, Fate.PARKED), False),
        (SettledEntry(A, 1, Fate.PARKED), True),
    ):
        calls = LostCalls()
        calls.observe(line(started=[(A, 2)]))
        calls.observe(line(settled=[entry]))
        assert (calls.take(KEY) is not None) is is_lost


def test_the_oldest_calls_are_forgotten_beyond_the_bound() -> None:
    calls = LostCalls()
    calls.observe(line(started=[(identity(str(number)), 1) for number in range(INHERITED_CALLS_MAX + 3)]))
    assert len(calls) == INHERITED_CALLS_MAX
    assert calls.take((identity("2").id_hash, 0)) is None
    assert calls.take((identity("3").id_hash, 0)) is not None
