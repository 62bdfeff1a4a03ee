"""What is decided and waits to be committed: gathered into bounded transactions, one under way at a time.

An outcome of the most urgent lane starts a transaction at once; others linger a moment for company. What is under way
stays here until its commit has returned, so that an unknown commit loses nothing.
"""

from collections import deque
from dataclasses import dataclass

from broker.core.bounds import LINGER_MS, OUTCOMES_PER_TRANSACTION_MAX, TRANSACTION_BYTES_MAX
from broker.core.commands import Decision
from broker.core.ticket import State, Ticket


@dataclass(frozen=True, slots=True)
class Decided:
    """A ticket and what becomes of it."""

    ticket: Ticket
    decision: Decision
    bytes: int


class Outbox:
    """Decided tickets in order; `due_at` says when the next transaction should begin."""

    def __init__(self) -> None:
        self._waiting: deque[Decided] = deque()
        self._under_way: list[Decided] = []
        self._due_at: int | None = None
        self.busy = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._under_way)

    def add(self, decided: Decided, now_ms: int, *, at_once: bool) -> None:
        """Line up a decision."""
        self._waiting.append(decided)
        self.hasten(now_ms if at_once else now_ms + LINGER_MS)

    def hasten(self, at_ms: int) -> None:
        """Begin a transaction no later than that instant, even an empty one."""
        self._due_at = at_ms if self._due_at is None else min(self._due_at, at_ms)

    def due_at(self) -> int | None:
        """When to begin; None while one is under way or nothing waits."""
        if self.busy:
            return None
        return self._due_at

    def begin(self, now_ms: int) -> list[Decided]:
        """The decisions of the next transaction, bounded in count and bytes; the first always fits."""
        assert not self.busy
        self.busy = True
        weight = 0
        while self._waiting and len(self._under_way) < OUTCOMES_PER_TRANSACTION_MAX:
            weight += self._waiting[0].bytes
            if self._under_way and weight > TRANSACTION_BYTES_MAX:
                break
            self._under_way.append(self._waiting.popleft())
        self._due_at = now_ms if self._waiting else None
        return list(self._under_way)

    def end(self) -> list[Decided]:
        """The commit returned: these are settled for good."""
        settled, self._under_way = self._under_way, []
        self.busy = False
        return settled

    def interrupt(self) -> None:
        """The transaction under way is unknown: its decisions wait again, in front and in order."""
        self._waiting.extendleft(reversed(self._under_way))
        self._under_way = []
        self.busy = False

    def withdraw(self, ticket: Ticket) -> None:
        """The ticket will be decided otherwise, or by somebody else; nothing may be under way."""
        assert not self.busy
        if ticket.state is State.SETTLED:
            self._waiting = deque(each for each in self._waiting if each.ticket is not ticket)
