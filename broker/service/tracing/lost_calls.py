"""Calls of a leader that died: what the ledger says of them, until the successor has written their spans.

The ledger names a call that has begun, with the time of the line. The dead leader could not export its span; the
successor, which makes the call again, writes it with the id that the dead leader gave it, so that the time between is
no gap, and what a gateway has noted below that call has a parent.
"""

from dataclasses import dataclass

from headrace.broker.core.bounds import INHERITED_CALLS_MAX
from headrace.broker.core.events import LedgerRead

Key = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class LostCall:
    """A call that had begun: the number of the attempt, the leader's token, and when the ledger says so (ms)."""

    attempt: int
    owner: str
    at_ms: int


class LostCalls:
    """Calls that other leaders began and did not end, by identity; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._calls: dict[Key, LostCall] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def observe(self, line: LedgerRead) -> None:
        """Learn from a line of the ledger."""
        for entry in line.started:
            key = entry.identity.id_hash, entry.identity.run
            self._calls[key] = LostCall(entry.attempt, line.owner, line.at_ms)
        if self._calls:
            self._remove(line)
        for key in list(self._calls)[: max(0, len(self._calls) - INHERITED_CALLS_MAX)]:
            del self._calls[key]

    def take(self, key: Key) -> LostCall | None:
        """Return the lost call of a request, once."""
        return self._calls.pop(key, None)

    def _remove(self, line: LedgerRead) -> None:
        """Forget calls that the line ends; one line may end an attempt and begin the next one of the same request."""
        for entry in line.settled:
            key = entry.identity.id_hash, entry.identity.run
            call = self._calls.get(key)
            if call is not None and entry.ends(call.attempt):
                del self._calls[key]
        for ended in line.ended:
            key = ended.identity.id_hash, ended.identity.run
            call = self._calls.get(key)
            if call is not None and call.attempt <= ended.attempt:
                del self._calls[key]
