"""A leader that leaves hands its levels on as they are: its successor spends no token that it has spent."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.bounds import LEVELS_A_LINE_MAX, PROBE_EVERY_MS
from headrace.broker.core.commands import AttemptEntry, Batch
from headrace.broker.core.events import Draining, Suspended
from headrace.broker.core.setback import Setback
from headrace.broker.core.ticket import TicketNumber
from tests.unit.core.shell import WALL_MS, Shell
from tests.unit.core.specimens import candidate, identity, verdict

TOKENS, CHARGE, LATE = 10_000, 1_000, 6
DRAIN_MS = 20_000
LOOK_MS = 5
"""How long a commit takes here; and how often the process looks whether it may leave."""

CUT_OFF = verdict(Meaning.CONNECTION, counts=False)
REPEATED = [
    verdict(Meaning.TIMEOUT),
    verdict(Meaning.UPSTREAM_ERROR),
    CUT_OFF,
    verdict(Meaning.RATE_LIMITED, wait_ms=30_000),
]


def led() -> Shell:
    """A leader that committed its levels and one outcome a moment ago, with one call paid."""
    shell = Shell(tokens=TOKENS).lead()
    shell.wait(1_500)
    early = shell.take(candidate("early", charge=CHARGE))
    shell.commit()
    shell.answer(early)
    shell.commit()
    return shell


def called(shell: Shell, count: int, limit: str = "gpt") -> list[TicketNumber]:
    """Those of so many requests that are called at once."""
    numbers = [shell.take(candidate(f"{limit}-{number}", limit=limit, charge=CHARGE)) for number in range(count)]
    return [number for number in numbers if number in shell.calls]


def late_calls(shell: Shell, limit: str = "gpt") -> list[TicketNumber]:
    """As many calls as a limit pays at once, after another one."""
    numbers = called(shell, LATE, limit)
    assert len(numbers) == LATE
    return numbers


def drain(shell: Shell) -> None:
    shell.post(Draining(shell.now_ms + DRAIN_MS))


def until_left(shell: Shell) -> list[Batch]:
    """Commit what is left to say, until the process may leave; return that. No call is made meanwhile."""
    before = len(shell.committed)
    for _ in range(100):
        if shell.core.idle:
            return shell.committed[before:]
        if shell.batch is not None:
            shell.commit()
        else:
            shell.wait(LOOK_MS)
    raise AssertionError("it never leaves")


def calls_of_successor(left: Shell, limit: str = "gpt") -> int:
    """How many of ten requests a successor calls at once, from what the ledger says."""
    successor = Shell(tokens=TOKENS)
    successor.now_ms = left.now_ms
    for batch in left.committed:
        successor.read(levels=tuple(replace(each, at_ms=WALL_MS + each.at_ms) for each in batch.levels))
    successor.lead()
    return len(called(successor, 10, limit))


def refuse(shell: Shell) -> None:
    """Kafka refuses the transaction under way; the process goes on with its next producer."""
    assert shell.batch is not None
    shell.batch = None
    shell.post(Suspended(Setback.REFUSED))
    shell.promote(shell.restored())


# ---------------------------------------------------------------------------------------------------- the levels


@pytest.mark.parametrize(("before", "late"), [(1, 8), (5, 4), (1, 1)])
def test_a_successor_goes_on_from_the_levels_of_a_leader_that_has_left(before: int, late: int) -> None:
    shell = Shell(tokens=TOKENS).lead()
    shell.wait(1_500)
    for number in called(shell, before):
        shell.answer(number)
    shell.commit()
    others = called(shell, late, "gpt")
    drain(shell)
    for number in others:
        shell.answer(number)
    until_left(shell)
    assert calls_of_successor(shell) <= TOKENS // CHARGE - before - len(others) + 1, "refilled meanwhile: less than one"


@pytest.mark.parametrize("end", REPEATED, ids=lambda end: end.meaning.value)
def test_a_successor_goes_on_from_there_when_the_last_calls_are_to_be_repeated(end: Verdict) -> None:
    shell = led()
    late = late_calls(shell)
    drain(shell)
    for number in late:
        shell.answer(number, end)
    assert not shell.core.idle
    (line,) = until_left(shell)
    entries = {AttemptEntry(identity(f"gpt-{number}"), 1) for number in range(len(late))}
    assert (set(line.started), set(line.ended)) == (entries, entries)
    assert calls_of_successor(shell) <= (0 if end.wait_ms else TOKENS // CHARGE - 1 - len(late) + 1)


def test_a_successor_goes_on_from_there_when_the_calls_are_cut_off_at_the_end_of_the_drain() -> None:
    shell = led()
    late = late_calls(shell)
    drain(shell)
    shell.wait(LOOK_MS)
    shell.post(Draining(shell.now_ms))
    for number in late:
        shell.answer(number, CUT_OFF)
    until_left(shell)
    assert calls_of_successor(shell) <= TOKENS // CHARGE - 1 - len(late) + 1


def test_a_leader_that_was_quiet_hands_on_what_it_spent_last() -> None:
    shell = led()
    late = late_calls(shell)
    for number in late:
        shell.answer(number)
    while shell.core.outbox:
        assert not shell.commit().levels
    drain(shell)
    (line,) = until_left(shell)
    assert [each.limit for each in line.levels] == ["gpt"]
    assert calls_of_successor(shell) <= TOKENS // CHARGE - 1 - len(late) + 1


@pytest.mark.slow
def test_each_limit_that_was_used_is_stated_before_the_leader_leaves_however_many_there_are() -> None:
    shell, limits = led(), [f"limit-{number}" for number in range(2 * LEVELS_A_LINE_MAX + 1)]
    late = [(limit, late_calls(shell, limit)) for limit in limits]
    drain(shell)
    for _, numbers in late:
        for number in numbers:
            shell.answer(number)
    lines = [[each.limit for each in batch.levels] for batch in until_left(shell)]
    assert max(map(len, lines)) == LEVELS_A_LINE_MAX
    assert sorted(name for line in lines for name in line) == sorted([*limits, "gpt"]), "each of them once"
    for limit, numbers in (late[0], late[100], late[-1]):
        assert calls_of_successor(shell, limit) <= TOKENS // CHARGE - len(numbers) + 1


def test_while_calls_are_under_way_lines_have_no_more_levels_than_ever() -> None:
    shell = led()
    late = late_calls(shell)
    drain(shell)
    for number in late[1:]:
        shell.wait(PROBE_EVERY_MS // 20)
        shell.answer(number)
        assert shell.commit().levels == ()
    shell.answer(late[0])
    assert len(shell.commit().levels) == 1


# ---------------------------------------------------------------------------------------------------- until it leaves


def test_a_leader_whose_ledger_says_everything_leaves_without_another_line() -> None:
    shell = led()
    shell.wait(2_000)
    shell.post(Draining(shell.now_ms + DRAIN_MS))
    until_left(shell)
    drain(shell)
    assert shell.core.idle
    assert until_left(shell) == []


def test_it_leaves_when_its_last_line_is_committed_and_not_before() -> None:
    shell = led()
    shell.answer(called(shell, 1)[0], CUT_OFF)
    drain(shell)
    assert shell.begun().levels
    assert not shell.core.idle
    shell.commit()
    assert shell.core.idle


def test_levels_whose_commit_is_unknown_are_stated_again() -> None:
    shell = led()
    late = late_calls(shell)
    drain(shell)
    for number in late:
        shell.answer(number)
    assert shell.begun().levels
    shell.suspend()
    shell.promote(shell.restored())
    until_left(shell)
    assert calls_of_successor(shell) <= TOKENS // CHARGE - 1 - len(late) + 1


def lean() -> Shell:
    """A leader of which Kafka has just refused a line, so that it leaves out levels for a minute."""
    shell = led()
    shell.take("slow")
    shell.wait(PROBE_EVERY_MS)
    assert not shell.begun().settlements
    refuse(shell)
    assert not shell.commit().levels
    shell.answer(min(shell.calls))
    assert not shell.commit().levels
    return shell


def test_a_leader_whose_lines_leave_out_the_levels_tries_a_whole_one_before_it_leaves() -> None:
    shell = lean()
    late = late_calls(shell)
    drain(shell)
    for number in late:
        shell.answer(number)
    *outcomes, line = until_left(shell)
    assert sum(len(batch.settlements) for batch in outcomes) == len(late), "what is paid comes first"
    assert [len(batch.levels) for batch in (*outcomes, line)] == [0] * len(outcomes) + [1]
    assert calls_of_successor(shell) <= TOKENS // CHARGE - 1 - len(late) + 1


def test_it_leaves_without_if_kafka_refuses_that_too() -> None:
    shell = lean()
    for number in late_calls(shell):
        shell.answer(number, CUT_OFF)
    drain(shell)
    assert shell.begun().levels
    refuse(shell)
    assert [batch.levels for batch in until_left(shell)] in ([], [()])


def test_a_process_that_leads_no_more_owes_no_line() -> None:
    shell = led()
    shell.answer(called(shell, 1)[0], CUT_OFF)
    shell.stand_by()
    drain(shell)
    assert shell.core.idle
