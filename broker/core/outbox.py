"""What is decided and waits to be committed: gathered into bounded transactions, one under way at a time.

An outcome of the most urgent lane starts a transaction at once; others linger a moment for company. What is under way
stays here until its commit has returned, so that an unknown commit loses nothing.
"""

from collections import OrderedDict
from itertools import islice

from broker.core.bounds import LINGER_MS, OUTCOMES_PER_TRANSACTION_MAX, TRANSACTION_BYTES_MAX
from broker.core.commands import Decision
from broker.core.ticket import Ticket
from broker.core.value import value


@value
class Decided:
    """A ticket and what becomes of it."""

    ticket: Ticket
    decision: Decision
    bytes: int


class Outbox:
    """Decided tickets in order; `due_at` says when the next transaction should begin."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Ticket, Decided] = OrderedDict()
        self._under_way: list[Decided] = []
        self._begun_ms = 0
        self._due_at: int | None = None
        self.busy = False

    def __len__(self) -> int:
        return len(self._waiting) + len(self._under_way)

    def add(self, decided: Decided, now_ms: int, *, at_once: bool, front: bool = False) -> None:
        """Line up a decision; `front` for one without which no map may be stored."""
        assert decided.ticket not in self._waiting, "a ticket is decided once"
        self._waiting[decided.ticket] = decided
        if front:
            self._waiting.move_to_end(decided.ticket, last=False)
        due_at = now_ms if at_once else now_ms + LINGER_MS
        if self._due_at is None or due_at < self._due_at:
            self._due_at = due_at

    def due_at(self) -> int | None:
        """When to begin; None while one is under way or nothing waits."""
        return None if self.busy else self._due_at

    def begin(self, now_ms: int) -> list[Decided]:
        """The decisions of the next transaction, bounded in count and bytes; the first always fits."""
        assert not self.busy
        self.busy, self._begun_ms = True, now_ms
        weight = 0
        for decided in islice(self._waiting.values(), OUTCOMES_PER_TRANSACTION_MAX):
            weight += decided.bytes
            if self._under_way and weight > TRANSACTION_BYTES_MAX:
                break
            self._under_way.append(decided)
        for decided in self._under_way:
            del self._waiting[decided.ticket]
        self._due_at = now_ms if self._waiting else None
        return list(self._under_way)

    def end(self) -> list[Decided]:
        """The commit returned: these are settled for good."""
        settled, self._under_way = self._under_way, []
        self.busy = False
        return settled

    def interrupt(self) -> None:
        """The transaction under way is unknown: its decisions wait again, in front and in order."""
        for decided in reversed(self._under_way):
            self._waiting[decided.ticket] = decided
            self._waiting.move_to_end(decided.ticket, last=False)
            self._due_at = self._begun_ms
        self._under_way = []
        self.busy = False

    def withdraw(self, ticket: Ticket) -> None:
        """The ticket will be decided otherwise, or by somebody else; nothing may be under way."""
        assert not self.busy
        self._waiting.pop(ticket, None)
        if not self._waiting:
            self._due_at = None

    def holds(self, ticket: Ticket) -> bool:
        """Whether a ticket is decided and not committed yet."""
        return ticket in self._waiting or any(each.ticket is ticket for each in self._under_way)

    def decision(self, ticket: Ticket) -> Decision | None:
        """What becomes of a ticket that is decided and not committed yet; None if it is not here."""
        every = (*self._under_way, *self._waiting.values())
        return next((each.decision for each in every if each.ticket is ticket), None)
