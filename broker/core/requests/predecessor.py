"""State left by earlier terms: calls that began and were never settled, and the levels of the buckets.

For other leaders it comes from the ledger; a term of our own hands it over when it ends, because no leader reads the
lines that it wrote itself. A call that died with its leader is made again and paid for again; it is counted, and
nothing more can be done about it. The levels keep a successor from spending tokens that another term has spent.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice

from headrace.broker.core.bounds import INHERITED_CALLS_MAX, LIMITS_RESTING_MAX
from headrace.broker.core.budget.budget import Budget, Checkpoint
from headrace.broker.core.commands import AttemptEntry, SettledEntry
from headrace.broker.core.identity.dedupe import Identity

MakeBudget = Callable[[str, int, Checkpoint | None], Budget]
"""Makes the budget of a limit, by name, as of an instant, from the checkpoint of a predecessor if there is one."""


class PredecessorState:
    """State of earlier terms, read line by line while others lead and used up while this process leads."""

    def __init__(self, make_budget: MakeBudget) -> None:
        self._make_budget = make_budget
        self._calls: dict[tuple[bytes, int], int] = {}  # the attempt that began last
        self._checkpoints: dict[str, Checkpoint] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add_calls(self, started: Iterable[AttemptEntry]) -> None:
        """Add calls that another leader began; above the bound the oldest are forgotten first."""
        for entry in started:
            self._calls[entry.identity.id_hash, entry.identity.run] = entry.attempt
        for key in list(islice(self._calls, max(0, len(self._calls) - INHERITED_CALLS_MAX))):
            del self._calls[key]

    def take_over(self, calls: Iterable[AttemptEntry], checkpoints: Iterable[Checkpoint], ahead_ms: int) -> None:
        """Take over from an ended term of our own: calls that it made and did not settle, and its checkpoints.

        The wall clock is `ahead_ms` ahead of the clock of the checkpoints.
        """
        self.add_calls(calls)
        self.keep_checkpoints(replace(checkpoint, at_ms=checkpoint.at_ms + ahead_ms) for checkpoint in checkpoints)

    def remove_settled(self, entries: Iterable[SettledEntry]) -> None:
        """Remove the calls that these fates end: the leader that began them has seen their end."""
        for entry in entries if self._calls else ():
            key = entry.identity.id_hash, entry.identity.run
            attempt = self._calls.get(key)
            if attempt is not None and entry.ends(attempt):
                del self._calls[key]

    def repeats(self, identity: Identity) -> bool:
        """Whether a call made now repeats one that an earlier term left; true until `record_call` is called for it."""
        return bool(self._calls) and (identity.id_hash, identity.run) in self._calls

    def record_call(self, identity: Identity) -> None:
        """Note that a call of ours was sent and has ended: the next call repeats this one, not a predecessor's."""
        if self._calls:
            self._calls.pop((identity.id_hash, identity.run), None)

    def keep_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Keep what a leader believed of its limits, on the wall clock; the oldest statement is forgotten first."""
        for checkpoint in checkpoints:
            self._checkpoints.pop(checkpoint.limit, None)
            self._checkpoints[checkpoint.limit] = checkpoint
        for name in list(islice(self._checkpoints, max(0, len(self._checkpoints) - LIMITS_RESTING_MAX))):
            del self._checkpoints[name]

    def make_budget(self, limit: str, now_ms: int, wall_ms: int) -> Budget:
        """Make the budget of a limit; its checkpoint is used once, since from then on the budget knows better."""
        checkpoint = self._checkpoints.pop(limit, None)
        return self._make_budget(limit, now_ms, None if checkpoint is None else checkpoint.aged(wall_ms))
