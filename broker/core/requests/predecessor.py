"""What earlier terms left: calls they began and never settled, and how full the buckets were.

Of other leaders the ledger tells it; a term of our own tells it when it ends, for no leader reads what it wrote. A call
that died with its leader is made again and paid again; it is counted, and that is all one can do about it. The levels
keep a successor from spending what another term has spent.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice

from broker.core.bounds import INHERITED_CALLS_MAX, LIMITS_RESTING_MAX
from broker.core.budget.budget import Budget, Checkpoint
from broker.core.commands import SettledEntry, StartedEntry
from broker.core.identity.dedupe import Identity

MakeBudget = Callable[[str, int, Checkpoint | None], Budget]
"""Makes the mirror of a limit by name, at an instant, from what a predecessor left."""


class PredecessorState:
    """Read line by line while others lead, used up while we do."""

    def __init__(self, make_budget: MakeBudget) -> None:
        self._make_budget = make_budget
        self._calls: dict[tuple[bytes, int], int] = {}  # the attempt begun last
        self._checkpoints: dict[str, Checkpoint] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def begun(self, started: Iterable[StartedEntry]) -> None:
        """Another leader began these calls; the oldest are forgotten first."""
        for entry in started:
            self._calls[entry.identity.id_hash, entry.identity.run] = entry.attempt
        for key in list(islice(self._calls, max(0, len(self._calls) - INHERITED_CALLS_MAX))):
            del self._calls[key]

    def outlived(self, calls: Iterable[StartedEntry], checkpoints: Iterable[Checkpoint], ahead_ms: int) -> None:
        """A term of our own is over, which has made these calls and not settled them.

        The wall clock is `ahead_ms` of the checkpoints'.
        """
        self.begun(calls)
        self.levels(replace(checkpoint, at_ms=checkpoint.at_ms + ahead_ms) for checkpoint in checkpoints)

    def settled(self, entries: Iterable[SettledEntry]) -> None:
        """These were settled: whoever began their calls has seen them end."""
        for entry in entries if self._calls else ():
            key = entry.identity.id_hash, entry.identity.run
            attempt = self._calls.get(key)
            if attempt is not None and entry.ends(attempt):
                del self._calls[key]

    def repeats(self, identity: Identity) -> bool:
        """Whether a call made now repeats one of theirs: until one has been `made`."""
        return bool(self._calls) and (identity.id_hash, identity.run) in self._calls

    def made(self, identity: Identity) -> None:
        """A call of ours has left and ended: the next one repeats that."""
        if self._calls:
            self._calls.pop((identity.id_hash, identity.run), None)

    def levels(self, checkpoints: Iterable[Checkpoint]) -> None:
        """What a leader believed of its limits, on the wall clock; what was said longest ago is forgotten first."""
        for checkpoint in checkpoints:
            self._checkpoints.pop(checkpoint.limit, None)
            self._checkpoints[checkpoint.limit] = checkpoint
        for name in list(islice(self._checkpoints, max(0, len(self._checkpoints) - LIMITS_RESTING_MAX))):
            del self._checkpoints[name]

    def budget(self, limit: str, now_ms: int, wall_ms: int) -> Budget:
        """A new mirror of a limit; what was left is used once, since the mirror knows better from then on."""
        left = self._checkpoints.pop(limit, None)
        return self._make_budget(limit, now_ms, None if left is None else left.aged(wall_ms))
