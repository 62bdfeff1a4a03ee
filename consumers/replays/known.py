"""Which runs of the chosen ids there are already: those must not be put back again.

Ids stand there as the 16 bytes of the ledger. Only ids that are chosen are noted, so it grows with what is put back,
not with what the results topic holds.
"""

from schemas.ids import id_hash
from schemas.request_codec import RUN_MAX

_NONE = -1
_COMPLETED = RUN_MAX + 1


class Known:
    """By id the highest run that was answered or put back; one that is completed beats every run."""

    def __init__(self) -> None:
        self._runs: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def choose(self, request_id: str) -> None:
        """This id is one to be put back: what is noted of it counts from now on."""
        self._runs.setdefault(id_hash(request_id), _NONE)

    def note(self, request_id: str, run: int, *, is_completed: bool = False) -> None:
        """A run that there is; of an id that is not chosen nothing is kept."""
        hashed = id_hash(request_id)
        known = self._runs.get(hashed)
        if known is not None:
            self._runs[hashed] = max(known, _COMPLETED if is_completed else run)

    def forget(self, request_id: str, run: int) -> None:
        """That run, which was noted last, was not put back after all."""
        hashed = id_hash(request_id)
        if self._runs.get(hashed) == run:
            self._runs[hashed] = run - 1

    def rules_out(self, request_id: str, run: int) -> bool:
        """Whether that run would be none, or a second one."""
        return self._runs.get(id_hash(request_id), _NONE) >= run
