"""Runs of the chosen ids that exist already: those must not be put back again.

Ids are kept as the 16 bytes of the ledger. Only chosen ids are noted, so it grows with the number put back, not with
the size of the results topic.
"""

from headrace.schemas.ids import id_hash
from headrace.schemas.request_codec import RUN_MAX

_NONE = -1
_COMPLETED = RUN_MAX + 1


class KnownRuns:
    """By id, the highest run that was answered or put back; a completed one beats every run."""

    def __init__(self) -> None:
        self._runs: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def choose(self, request_id: str) -> None:
        """Track this id, which is to be put back: runs noted from now on count."""
        self._runs.setdefault(id_hash(request_id), _NONE)

    def note(self, request_id: str, run: int, *, is_completed: bool = False) -> None:
        """Note an existing run; an id that is not chosen is ignored."""
        hashed = id_hash(request_id)
        known = self._runs.get(hashed)
        if known is not None:
            self._runs[hashed] = max(known, _COMPLETED if is_completed else run)

    def forget(self, request_id: str, run: int) -> None:
        """Withdraw that run, which was noted last: it was not put back after all."""
        hashed = id_hash(request_id)
        if self._runs.get(hashed) == run:
            self._runs[hashed] = run - 1

    def rules_out(self, request_id: str, run: int) -> bool:
        """Whether that run exists already, or its id is completed."""
        return self._runs.get(id_hash(request_id), _NONE) >= run
