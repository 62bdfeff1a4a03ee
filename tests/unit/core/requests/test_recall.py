"""A request whose call was under way when dispatchers died is called with care, and in the end not at all."""

import pytest

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import (
    DEATHS_BY_CALL,
    DEATHS_IN_A_ROW_WITHIN_MS,
    LINGER_MS,
    PROBE_EVERY_MS,
    PUT_OFF_MS,
    QUIET_MS,
)
from headrace.broker.core.commands import AttemptEntry, Call, Complete, Fail, SettledEntry
from headrace.broker.core.events import CallNotSent, LedgerRead, Suspected
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.requests.triage import CALLS_KILL
from headrace.broker.core.ticket import Source, TicketNumber
from tests.unit.core.shell import WALL_MS, Shell, leading
from tests.unit.core.specimens import candidate, identity, place, verdict

LIMITED = verdict(Meaning.RATE_LIMITED, wait_ms=500)


def line(shell: Shell, term: int, owner: str, *started: str, left: bool = False) -> None:
    entries = [AttemptEntry(identity(name), 1) for name in started]
    shell.post(LedgerRead(WALL_MS + shell.now_ms, (), entries, (), term=term, owner=owner, left=left))


def died_of_a_record(*names: str) -> Shell:
    """A leader after one that died while a record was named and these were being called."""
    shell = Shell()
    entries = [AttemptEntry(identity(name), 1) for name in names]
    shell.post(LedgerRead(WALL_MS + shell.now_ms, (), entries, (), term=1, owner="p1", named=True))
    line(shell, 2, "me")
    return shell.lead()


def test_what_was_called_while_a_record_was_named_waits_until_the_term_has_been_quiet() -> None:
    shell = died_of_a_record("x", "y")
    first, second, other = shell.take("x"), shell.take("y"), shell.take("z")
    assert list(shell.calls) == [other]
    shell.wait(QUIET_MS - PUT_OFF_MS)
    assert list(shell.calls) == [other]
    shell.wait(2 * PUT_OFF_MS)
    assert set(shell.calls) == {first, second, other}, "side by side: neither is a suspect"
    shell.answer(first)
    shell.answer(second)
    shell.answer(other)
    shell.settle_all()
    assert shell.is_empty()
    assert not shell.core._recall._interrupted, "what is answered is in doubt no more"


def successor(deaths: int, *names: str) -> Shell:
    """A leader after so many that died while these were being called."""
    shell = Shell()
    for term in range(1, deaths + 1):
        line(shell, term, f"p{term}", *names)
    line(shell, deaths + 1, "me")
    return shell.lead()


def test_after_one_death_a_call_is_repeated_at_once() -> None:
    shell = successor(1, "x")
    assert shell.calls[shell.take("x")].repeated


def test_after_three_deaths_it_is_not_called_a_fourth_time() -> None:
    shell = successor(DEATHS_BY_CALL, "x")
    number, other = shell.take("x"), shell.take("y")
    assert list(shell.calls) == [other]
    shell.settle_all()
    assert shell.decisions(number) == [CALLS_KILL]
    assert shell.fates("x") == [Fate.FAILED]
    assert shell.decisions(other) == [Complete()]
    assert shell.is_empty()
    again = shell.take(candidate("x", run=1))
    assert again in shell.calls, "a replay is another request"


def test_a_record_that_is_struck_off_disturbs_no_quiet() -> None:
    shell = successor(2, "x")
    shell.take("x")
    for _ in range(2 * QUIET_MS // PUT_OFF_MS):
        shell.post(Suspected(()))
        shell.wait(PUT_OFF_MS)
    assert len(shell.calls) == 1


def test_after_two_deaths_it_waits_until_the_term_has_been_quiet_and_for_others_of_its_like() -> None:
    shell = successor(2, "x", "y")
    first, second = shell.take("x"), shell.take("y")
    assert shell.calls == {}
    shell.wait(QUIET_MS - 2 * PUT_OFF_MS)
    shell.post(Suspected((Source(place(), 9),)))
    shell.post(Suspected(()))
    shell.wait(QUIET_MS - PUT_OFF_MS)
    assert shell.calls == {}
    shell.wait(2 * PUT_OFF_MS)
    assert len(shell.calls) == 1
    (called,) = shell.calls
    waiting = second if called == first else first
    shell.wait(5 * PUT_OFF_MS)
    assert list(shell.calls) == [called]
    shell.answer(called)
    shell.wait(2 * PUT_OFF_MS)
    assert shell.calls == {}, "its answer is in memory alone"
    shell.commit()
    shell.wait(2 * PUT_OFF_MS)
    assert list(shell.calls) == [waiting]
    shell.answer(waiting)
    shell.settle_all()
    assert (shell.decisions(first), shell.decisions(second)) == ([Complete()], [Complete()])
    assert shell.is_empty()


def test_a_suspect_that_must_be_called_again_gives_its_place_to_another_meanwhile() -> None:
    shell = successor(2, "x", "y")
    both = {shell.take("x"), shell.take("y")}
    shell.wait(QUIET_MS + PUT_OFF_MS)
    (called,) = shell.calls
    shell.answer(called, verdict(Meaning.UPSTREAM_ERROR))
    shell.wait(PUT_OFF_MS)
    assert shell.calls == {}, "the ledger does not say yet that it has ended"
    shell.wait(10 * PUT_OFF_MS)
    assert set(shell.calls) == both - {called}


def test_a_suspect_that_is_parked_gives_its_place_to_another() -> None:
    """Though the terms that died had called it more often than this one."""
    shell = Shell()
    for term in (1, 2):
        entries = [AttemptEntry(identity(name), 2) for name in ("x", "y")]
        shell.post(LedgerRead(WALL_MS + shell.now_ms, (), entries, (), term=term, owner=f"p{term}"))
    line(shell, 3, "me")
    shell.lead()
    both = {shell.take("x"), shell.take("y")}
    shell.wait(QUIET_MS + PUT_OFF_MS)
    (called,) = shell.calls
    shell.answer(called, verdict(Meaning.RATE_LIMITED, wait_ms=600_000))
    shell.settle_all()
    shell.wait(700_000)
    assert set(shell.calls) == both - {called}


def test_a_suspect_that_was_parked_in_a_commit_whose_answer_was_lost_gives_its_place_to_another() -> None:
    shell = successor(2, "x", "y")
    both = {shell.take("x"), shell.take(candidate("y", limit="other"))}
    shell.wait(QUIET_MS + PUT_OFF_MS)
    (called,) = shell.calls
    shell.answer(called, verdict(Meaning.RATE_LIMITED, wait_ms=600_000))
    while not shell.begun().settled:
        shell.commit()
    batch = shell.store()
    shell.suspend()
    shell.post(LedgerRead(WALL_MS + shell.now_ms, batch.settled, batch.started, (), term=3, owner="me"))
    shell.promote(shell.restored())
    shell.commit()
    assert shell.fates("x") + shell.fates("y") == [Fate.PARKED]
    shell.wait(QUIET_MS + 2 * PUT_OFF_MS)
    assert set(shell.calls) == both - {called}


@pytest.mark.parametrize("calls", [1, 2])
def test_that_a_suspect_was_parked_is_said_again_while_its_copy_is_called_and_frees_no_place(calls: int) -> None:
    shell = Shell()
    parked = SettledEntry(identity("x"), 1, Fate.PARKED)
    shell.read(parked)
    for term in (1, 2):
        line(shell, term, f"p{term}", "x", "y")
    line(shell, 3, "me")
    shell.lead()
    copy = shell.take(candidate("x", attempt=2))
    shell.wait(QUIET_MS + PUT_OFF_MS)
    if calls == 2:
        shell.answer(copy, verdict(Meaning.UPSTREAM_ERROR))
        shell.wait(20 * PUT_OFF_MS)
    other = shell.take("y")
    shell.post(LedgerRead(WALL_MS + shell.now_ms, (parked,), (), (), term=3, owner="me"))
    shell.wait(2 * PUT_OFF_MS)
    assert list(shell.calls) == [copy]
    shell.answer(copy)
    shell.settle_all()
    shell.wait(2 * PUT_OFF_MS)
    assert list(shell.calls) == [other]


def test_a_suspect_whose_deadline_passes_meanwhile_has_failed_for_that() -> None:
    shell = successor(2, "x")
    number = shell.take(candidate("x", deadline_ms=shell.now_ms + QUIET_MS // 2))
    shell.wait(QUIET_MS)
    shell.settle_all()
    (decision,) = shell.decisions(number)
    assert isinstance(decision, Fail)
    assert decision.reason == "deadline_exceeded"
    assert shell.is_empty()


def test_suspects_of_one_ordering_key_keep_their_order() -> None:
    shell = successor(2, "a")
    first = shell.take(candidate("a", order=b"key"))
    second = shell.take(candidate("b", order=b"key"))
    shell.wait(QUIET_MS // 2)
    assert shell.calls == {}, "the second does not pass the first, that waits"
    shell.wait(QUIET_MS)
    assert list(shell.calls) == [first, second]


def test_who_stands_by_calls_no_suspect_any_more() -> None:
    shell = successor(2, "x", "y")
    shell.take("x")
    shell.wait(QUIET_MS + PUT_OFF_MS)
    assert len(shell.calls) == 1
    shell.stand_by()
    shell.calls.clear()
    shell.lead(shell.restored())
    shell.take_at(Source(place(), 1), "y")
    shell.wait(QUIET_MS + PUT_OFF_MS)
    assert len(shell.calls) == 1


def test_after_two_deaths_each_call_waits_for_the_line_that_says_that_it_begins() -> None:
    shell = successor(2)
    number = shell.take("x")
    line = shell.calls[number].line
    assert line > 0
    assert not shell.core.batches.has_written(line)
    shell.wait(LINGER_MS)
    assert shell.batch is not None, "and that line is written soon"
    assert shell.batch.started == (AttemptEntry(identity("x"), 1),)
    shell.commit()
    assert shell.core.batches.has_written(line)
    shell.wait(DEATHS_IN_A_ROW_WITHIN_MS)
    assert shell.calls[shell.take("y")].line == 0, "caution ends by itself"


def test_as_caution_ends_a_call_does_not_pass_one_of_its_ordering_key_that_waits_for_its_line() -> None:
    shell = successor(2)
    shell.wait(shell.core._recall._cautious_until_ms - shell.now_ms - 1)
    first = shell.take(candidate("a", order=b"k"))
    shell.wait(1)
    second, other = shell.take(candidate("b", order=b"k", limit="other")), shell.take("c")
    lines = [shell.calls[number].line for number in (first, second, other)]
    assert 0 < lines[0] < lines[1]
    assert lines[2] == 0
    shell.settle_all()
    assert shell.calls[shell.take(candidate("d", order=b"k"))].line == 0


def test_caution_ends_for_requests_with_ordering_keys_too_however_many_come() -> None:
    shell = successor(2)
    shell.wait(shell.core._recall._cautious_until_ms - shell.now_ms - 1)
    last = shell.take(candidate("last", order=b"k0"))
    shell.wait(1)
    for number in range(1, 5):
        other = shell.take(candidate(f"other {number}", order=b"k%d" % number))
        assert shell.calls[other].line == 0
        assert shell.batch is not None
        assert shell.batch.started[0].identity == identity("last"), "which is still under way"
    assert shell.calls[last].line > 0
    next_of_its_key = shell.take(candidate("next", order=b"k0"))
    shell.commit()
    third_of_its_key = shell.take(candidate("third", order=b"k0"))
    assert 0 < shell.calls[next_of_its_key].line < shell.calls[third_of_its_key].line
    shell.settle_all()
    assert not shell.core.batches.awaits_line


def test_a_call_that_waits_for_its_line_does_not_pass_one_of_its_key_that_was_turned_back_and_is_called_again() -> None:
    shell = successor(2)
    shell.hangs = True
    pair = []
    for name in "ab":
        pair.append(shell.take(candidate(name, order=b"k")))
        shell.wait(LINGER_MS)
    first, second = (shell.calls.pop(number) for number in pair)
    shell.commit()
    shell.wait(LINGER_MS)
    shell.post(CallNotSent(first.call))
    again, batches = shell.calls.pop(pair[0]), shell.core.batches
    waits = shell.core.flights.find(second.call).ticket
    shell.commit()
    assert batches.has_written(second.line)
    assert not batches.has_written(again.line), "it is behind the one that comes after it"
    assert batches.overtakes(second.line, waits)
    shell.post(CallNotSent(second.call))
    assert shell.calls[pair[1]].line > again.line
    assert not batches.overtakes(shell.calls[pair[1]].line, waits)
    shell.calls[pair[0]] = again
    shell.settle_all()
    assert shell.is_empty()


def awaiting_its_line(*begun: str) -> tuple[Shell, TicketNumber]:
    """A leader after two deaths, the last one of which had begun these, calls one once the ledger says so."""
    shell = Shell()
    line(shell, 1, "p1")
    line(shell, 2, "p2", *begun)
    line(shell, 3, "me")
    return shell.lead(), shell.take("x")


def called_by_the_next_term(shell: Shell) -> Call:
    shell.stand_by()
    shell.now_ms += 1_000
    shell.lead(shell.restored())
    return shell.calls[shell.take_at(Source(place(), 0), "x")]


def test_a_call_that_waited_for_its_line_as_the_term_ended_has_never_left() -> None:
    shell, _ = awaiting_its_line()
    assert not called_by_the_next_term(shell).repeated


def test_a_call_whose_line_was_written_has_left() -> None:
    shell, _ = awaiting_its_line()
    shell.commit()
    assert called_by_the_next_term(shell).repeated


def test_a_call_that_has_never_left_repeats_still_what_another_leader_had_begun() -> None:
    shell, number = awaiting_its_line("x")
    assert shell.calls[number].repeated
    assert called_by_the_next_term(shell).repeated


def test_after_one_death_no_call_waits_for_its_line() -> None:
    shell = successor(1)
    assert shell.calls[shell.take("x")].line == 0
    assert shell.batch is None


def test_the_ledger_is_told_of_calls_that_end_without_a_fate() -> None:
    shell = leading()
    number = shell.take("x")
    shell.wait(PROBE_EVERY_MS)
    shell.commit()
    shell.answer(number, LIMITED)
    shell.wait(PROBE_EVERY_MS)
    assert shell.commit().ended == (AttemptEntry(identity("x"), 1),)
    shell.post(CallNotSent(shell.calls.pop(number).call))
    shell.wait(PROBE_EVERY_MS)
    assert shell.commit().ended == (AttemptEntry(identity("x"), 2),)


def test_a_call_that_had_ended_before_its_dispatcher_died_is_called_like_any_other() -> None:
    for said in ("ended", "settled", "left"):
        shell = Shell()
        for term in range(1, DEATHS_BY_CALL + 1):
            line(shell, term, f"p{term}", "x")
            ended = [AttemptEntry(identity("x"), 1)] if said == "ended" else []
            settled = [SettledEntry(identity("x"), 1, Fate.PARKED)] if said == "settled" else []
            at_ms, left = WALL_MS + shell.now_ms, said == "left"
            shell.post(LedgerRead(at_ms, settled, [], [], ended=ended, term=term, owner=f"p{term}", left=left))
        line(shell, DEATHS_BY_CALL + 1, "me")
        assert not shell.core._recall._interrupted, said
