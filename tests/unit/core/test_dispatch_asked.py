"""What may be asked of the machine beside its commands: its role, until when a ticket sleeps, why no call starts."""

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import COMMIT_PATIENCE_MS
from headrace.broker.core.config import Pause, Role
from headrace.broker.core.events import Committed, Draining, Suspended
from tests.unit.core.shell import Shell, leading
from tests.unit.core.specimens import LANES, verdict


def test_until_when_a_ticket_waits_for_another_attempt_can_be_asked() -> None:
    shell = leading()
    number = shell.take()
    (ticket,) = shell.core.registry.tickets()
    assert shell.core.sleeps_until(ticket) is None
    shell.answer(number, verdict(Meaning.RATE_LIMITED, wait_ms=500))
    assert shell.core.sleeps_until(ticket) == shell.now_ms + 500


def test_a_leader_whose_first_commit_has_returned_starts_calls() -> None:
    shell = Shell(lanes=LANES)
    assert shell.core.pauses_for(shell.now_ms) is Pause.SUSPENDED, "a follower starts none"
    shell.promote()
    assert shell.core.pauses_for(shell.now_ms) is Pause.UNPROVED
    shell.commit()
    assert shell.core.pauses_for(shell.now_ms) is None
    assert shell.core.pauses_for(shell.now_ms + 60_000) is Pause.UNPROVED, "nothing has proved it for a minute"


def test_while_a_commit_hangs_no_call_starts_and_once_it_returns_they_go_on() -> None:
    shell = leading()
    shell.hangs = True
    shell.answer(shell.take("first"))
    shell.begun()
    begun_ms = shell.core.batches._begun_at_ms
    shell.wait(begun_ms + COMMIT_PATIENCE_MS - 1 - shell.now_ms)
    early = shell.take("early")
    assert early in shell.calls, "it is only slow"
    shell.wait(1)
    late = shell.take("late")
    assert shell.core.pauses_for(shell.now_ms) is Pause.UNPROVED
    shell.wait(60_000)
    assert late not in shell.calls
    shell.commit()
    assert late in shell.calls


def test_who_has_lost_its_producer_or_is_leaving_starts_none() -> None:
    shell = leading()
    shell.post(Draining(shell.now_ms - 1))
    assert shell.core.pauses_for(shell.now_ms) is Pause.LEAVING
    shell.suspend()
    assert shell.core.pauses_for(shell.now_ms) is Pause.SUSPENDED


def test_a_follower_that_could_not_be_promoted_is_still_a_follower() -> None:
    shell = Shell()
    shell.post(Suspended())
    assert shell.core.role is Role.FOLLOWING


def test_a_commit_that_returns_after_all_settles_nothing_and_confirms_nothing() -> None:
    shell = leading()
    number = shell.take()
    shell.answer(number)
    batch = shell.store()
    shell.suspend()
    shell.promote(shell.restored())
    shell.post(Committed(batch.serial, shell.now_ms))
    shell.take("y")
    assert shell.calls == {}
