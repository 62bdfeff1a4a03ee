"""Which limits' levels a line of the ledger states.

Once a second a line states those of some limits, in turn. The last lines of a leader that leaves state, at once, those
that have changed since a line stated them: its successor goes on from there.
"""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from headrace.broker.core import bounds
from headrace.broker.core.budget.budget import Budget, Checkpoint
from headrace.broker.core.lanes.scheduler import Scheduler


class _Turn(NamedTuple):
    """When levels were stated last, and which limit is the first of the next ones."""

    stated_at_ms: int = 0
    first: int = 0


class LevelTurns:
    """Turns of the limits; a limit whose line is not committed has not had its turn."""

    def __init__(self) -> None:
        self._turn = self._next_turn = _Turn()
        self._under_way: Sequence[Budget] = ()

    def owes(self, limits: Scheduler) -> bool:
        """Whether levels have changed since a committed line stated them."""
        return bool(self._under_way) or next(limits.unstated(), None) is not None

    def begin(self, limits: Scheduler, now_ms: int, *, owed: bool) -> tuple[Checkpoint, ...]:
        """Return the levels of the line that begins now; `owed`: what has changed is stated at once."""
        budgets = list(islice(limits.unstated(), bounds.LEVELS_A_LINE_MAX)) if owed else []
        in_turn = not budgets
        if in_turn:
            if now_ms - self._turn.stated_at_ms < bounds.PROBE_EVERY_MS:
                return ()
            budgets = limits.believed(self._turn.first, bounds.LEVELS_A_LINE_MAX)
        checkpoints = _fitting([budget.checkpoint(now_ms) for budget in budgets])
        self._under_way = budgets[: len(checkpoints)]
        self._next_turn = _Turn(now_ms, self._turn.first + (len(checkpoints) if in_turn else 0))
        for budget in self._under_way:
            budget.unstated = False
        return checkpoints

    def end(self) -> None:
        """The line is committed."""
        self._turn, self._under_way = self._next_turn, ()

    def interrupt(self) -> None:
        """The line's commit is unknown, or has failed."""
        for budget in self._under_way:
            budget.unstated = True
        self._next_turn, self._under_way = self._turn, ()


def _fitting(checkpoints: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    """Return the first ones that fit into a line, and at least one."""
    weight = 0
    for count, checkpoint in enumerate(checkpoints):
        name_bytes = bounds.LEVEL_NAME_CHAR_BYTES * len(checkpoint.limit)
        weight += len(checkpoint.levels) * (bounds.LEVEL_BYTES + name_bytes)
        weight += len(checkpoint.sides) * bounds.SIDE_LEVEL_BYTES
        if weight > bounds.LEVELS_BYTES_A_LINE_MAX:
            return tuple(checkpoints[: max(1, count)])
    return tuple(checkpoints)
