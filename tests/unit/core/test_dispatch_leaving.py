"""A leader that leaves hands its levels on as they are: its successor spends no token that it has spent."""

from dataclasses import replace

import pytest

from headrace.broker.core.events import Draining
from tests.unit.core.shell import WALL_MS, Shell
from tests.unit.core.specimens import candidate

TOKENS, CHARGE = 10_000, 1_000


def stored(shell: Shell) -> None:
    """What is decided is committed within a tenth of a second."""
    for _ in range(10):
        shell.wait(10)
        if shell.batch is not None:
            shell.commit()


def spent_late(before: int, late: int) -> tuple[Shell, int]:
    """A leader that makes some calls, commits their outcomes, makes others within the second, and leaves.

    Return it, and how many calls it has made.
    """
    shell = Shell(tokens=TOKENS).lead()
    shell.wait(1_500)
    early = [shell.take(candidate(f"early-{number}", charge=CHARGE)) for number in range(before)]
    for number in early:
        shell.answer(number)
    stored(shell)
    others = [shell.take(candidate(f"late-{number}", charge=CHARGE)) for number in range(late)]
    shell.post(Draining(shell.now_ms + 20_000))
    called = len([number for number in others if number in shell.calls])
    for number in others[:called]:
        shell.answer(number)
    stored(shell)
    assert shell.core.idle
    return shell, before + called


@pytest.mark.parametrize(("before", "late"), [(1, 8), (5, 4), (1, 1)])
def test_a_successor_goes_on_from_the_levels_of_a_leader_that_has_left(before: int, late: int) -> None:
    left, made = spent_late(before, late)
    successor = Shell(tokens=TOKENS)
    successor.now_ms = left.now_ms
    for batch in left.committed:
        successor.read(levels=tuple(replace(each, at_ms=WALL_MS + each.at_ms) for each in batch.levels))
    successor.lead()
    calls = [successor.take(candidate(f"next-{number}", charge=CHARGE)) for number in range(10)]
    called = [number for number in calls if number in successor.calls]
    assert len(called) <= TOKENS // CHARGE - made + 1, "refilled meanwhile: less than one"
