"""Parked requests whose copies do not come back: failed by the leader, whatever comes meanwhile."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import OVERDUE_AFTER_MS, OVERDUE_LOOKED_FOR_MS, OVERDUE_MAX
from headrace.broker.core.commands import DeadLetterOnly, Discard, Fail, Remember, SettledEntry
from headrace.broker.core.identity.dedupe import Awaited, DedupeTable, Fate
from headrace.broker.core.identity.pending_cancels import CancelRecord
from headrace.broker.core.requests.ledger_notes import LedgerNotes, gather, observe
from headrace.broker.core.ticket import Candidate, Garbage
from tests.unit.core.shell import WALL_MS, Shell, leading
from tests.unit.core.specimens import candidate, identity, verdict

LIMITED = verdict(Meaning.RATE_LIMITED, wait_ms=500)
DEADLINE_MS = 110_000
DEADLINE_S = (WALL_MS + DEADLINE_MS) // 1_000
OVERDUE_MS = DEADLINE_MS + OVERDUE_AFTER_MS
LATE = Discard(returned=True, overdue=True)


def named(name: str = "x", *, attempt: int = 0) -> Candidate:
    return replace(candidate(name, limit=name, attempt=attempt, deadline_ms=DEADLINE_MS), name=name)


def parked(*names: str) -> Shell:
    """A leader with requests that wait for the retrier."""
    shell = leading(in_place_max_ms=100)
    for name in names:
        shell.answer(shell.take(named(name)), LIMITED)
        shell.commit()
    return shell


def failing(shell: Shell) -> None:
    """Until the transaction that fails what is overdue is under way."""
    shell.hangs = False
    for _ in range(100):
        if shell.batch is not None and shell.batch.overdue:
            return
        if shell.batch is not None:
            shell.commit()
        at_ms = shell.core.wake_at()
        assert at_ms is not None
        shell.now_ms = max(shell.now_ms, at_ms)
        shell.renew()
        shell.carry_out()
    raise AssertionError("nothing is overdue")


def test_the_ledger_is_told_deadline_and_id_of_what_is_parked_and_its_renewals_carry_them_on() -> None:
    shell = parked("x")
    told = Awaited(identity("x"), DEADLINE_S, "x")
    assert shell.committed[-1].awaited == (told,)
    heir = Shell()
    for batch in shell.committed:
        observe(heir.core.identities, batch.settled, batch.awaited, batch.cancels, WALL_MS)
    half_an_hour_ms = WALL_MS + 1_800_000
    renewed = gather(heir.core.identities, half_an_hour_ms - OVERDUE_AFTER_MS)
    assert renewed == LedgerNotes()
    before = DedupeTable(window_ms=100_000, ids_max=10)
    observe(before, [SettledEntry(identity("x"), 1, Fate.PARKED)], [told], [CancelRecord(b"c" * 16, WALL_MS)], WALL_MS)
    notes = gather(before, WALL_MS + 60_000)
    assert notes.settled == (SettledEntry(identity("x"), 1, Fate.PARKED),)
    assert notes.awaited == (told,)
    assert notes.cancels == (CancelRecord(b"c" * 16, WALL_MS),)
    assert notes.overdue == ()


def test_what_does_not_come_back_is_failed_a_while_after_its_deadline_and_its_copy_is_done_then() -> None:
    shell = parked("x", "y")
    failing(shell)
    assert OVERDUE_MS <= shell.now_ms <= OVERDUE_MS + OVERDUE_LOOKED_FOR_MS + 1_000
    batch = shell.commit()
    assert [(each.identity, each.attempts, each.name) for each in batch.overdue] == [
        (identity("x"), 1, "x"),
        (identity("y"), 1, "y"),
    ]
    assert shell.fates("x") == [Fate.PARKED, Fate.WITHDRAWN]
    assert Awaited(identity("x"), DEADLINE_S, "x", overdue=True) in batch.awaited
    copy, duplicate = shell.take(named("x", attempt=2)), shell.take(named("x"))
    shell.settle_all()
    assert shell.decisions(copy) == [LATE]
    assert shell.decisions(duplicate) == [Discard()]
    assert shell.fates("x")[-1] is Fate.FAILED
    assert shell.core.identities.awaited(identity("x").id_hash) is None
    assert shell.is_empty()


def test_what_comes_while_it_is_failed_waits_for_that_commit() -> None:
    shell = parked("x")
    failing(shell)
    copy, duplicate = shell.take(named("x", attempt=2)), shell.take(named("x"))
    rubbish = shell.take(Garbage(identity("x"), "Too deep.", "invalid_request", attempt=2))
    cancel = shell.cancel("x", at_ms=WALL_MS + shell.now_ms)
    shell.settle_all()
    assert shell.decisions(copy) == [LATE]
    assert shell.decisions(duplicate) == [Discard()]
    assert shell.decisions(rubbish) == [LATE], "both copies came before either was committed"
    assert [each.__class__ for each in shell.decisions(cancel)] == [Remember]
    assert shell.fates("x").count(Fate.WITHDRAWN) == 1
    assert shell.is_empty()


@pytest.mark.parametrize("stored", [True, False])
def test_after_an_unknown_commit_it_is_failed_once(*, stored: bool) -> None:
    shell = parked("x")
    failing(shell)
    copy = shell.take(named("x", attempt=2))
    batch = shell.store() if stored else shell.begun()
    shell.suspend()
    if stored:
        told = batch.settled, batch.awaited, batch.cancels
        observe(shell.core.identities, *told, WALL_MS + shell.now_ms)
    shell.lead(shell.restored())
    shell.settle_all()
    (decision,) = shell.decisions(copy)
    assert decision == LATE if stored else isinstance(decision, Fail)
    assert [each in (Fate.WITHDRAWN, Fate.FAILED) for each in shell.fates("x")].count(True) == (2 if stored else 1)
    assert shell.is_empty()


def test_who_stands_by_fails_nothing_and_who_leads_again_does() -> None:
    shell = parked("x")
    failing(shell)
    shell.stand_by()
    assert shell.is_empty()
    shell.lead(shell.restored())
    assert [each.name for each in shell.committed[-1].overdue] == ["x"]
    assert shell.fates("x") == [Fate.PARKED, Fate.WITHDRAWN]


def test_a_copy_that_is_under_way_is_not_failed_a_second_time() -> None:
    shell = parked("x")
    shell.now_ms = DEADLINE_MS - 10_000
    shell.renew()
    number = shell.take(named("x", attempt=2))
    assert number in shell.calls
    assert shell.core.identities.fail_overdue(WALL_MS + OVERDUE_MS) == []
    shell.settle_all()
    assert shell.core.identities.fail_overdue(WALL_MS + OVERDUE_MS + 60_000) == []


def test_what_is_overdue_fails_in_bounded_batches() -> None:
    identities = DedupeTable(window_ms=3_600_000, ids_max=10_000)
    for number in range(OVERDUE_MAX + 1):
        each = identity(str(number))
        identities.settle(each, 1, Fate.PARKED, WALL_MS)
        identities.record_awaited(Awaited(each, DEADLINE_S + number, str(number)))
    late_ms = WALL_MS + OVERDUE_MS + 1_000_000
    first = gather(identities, late_ms)
    assert len(first.overdue) == OVERDUE_MAX
    assert [each.name for each in identities.fail_overdue(late_ms)] == [str(OVERDUE_MAX)]
    observe(identities, first.withdrawn(), first.failed(), (), late_ms)
    assert identities.fail_overdue(late_ms) == []
    assert identities.was_overdue(identity("0").id_hash)
    assert not identities.was_overdue(identity("z").id_hash)


def test_what_was_cancelled_while_parked_is_not_failed_besides() -> None:
    shell = parked("x")
    shell.cancel("x")
    shell.settle_all()
    assert shell.core.identities.fail_overdue(WALL_MS + OVERDUE_MS + 60_000) == []
    copy = shell.take(named("x", attempt=2))
    shell.settle_all()
    assert shell.decisions(copy) == [Discard(returned=True)]


def test_garbage_that_names_a_run_that_is_failed_now_is_buried() -> None:
    shell = parked("x")
    failing(shell)
    number = shell.take(Garbage(identity("x", body="bytes"), "No body.", "invalid_request"))
    shell.settle_all()
    assert shell.decisions(number) == [DeadLetterOnly("invalid_request", "No body.")]


def test_what_is_failed_now_is_not_said_to_be_parked_in_the_same_line() -> None:
    identities = DedupeTable(window_ms=100_000, ids_max=10)
    told = Awaited(identity("x"), DEADLINE_S, "x")
    observe(identities, [SettledEntry(identity("x"), 1, Fate.PARKED)], [told], [], WALL_MS)
    notes = gather(identities, WALL_MS + OVERDUE_MS + 1_000)
    assert [each.name for each in notes.overdue] == ["x"]
    assert (notes.settled, notes.awaited) == ((), ())


def test_an_answer_that_is_written_again_since_the_ledger_is_gone_has_no_copy_on_its_way() -> None:
    identities = DedupeTable(window_ms=100_000, ids_max=10)
    answered, waiting = SettledEntry(identity("a"), 1, Fate.COMPLETED), SettledEntry(identity("x"), 1, Fate.PARKED)
    told = Awaited(identity("x"), DEADLINE_S, "x")
    observe(identities, [answered, waiting], [told], [], WALL_MS)
    identities.rewrite_all(WALL_MS)
    assert gather(identities, WALL_MS) == LedgerNotes((waiting, answered), (told,))
