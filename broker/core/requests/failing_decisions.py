"""Decisions with transactions that keep failing: found by bisection, then published in a smaller form, or set aside.

Kafka refuses a transaction for reasons that the dispatcher cannot know beforehand: a lowered limit of the topic, a
policy of the broker, a defect of the client. Without this module the same batch would be sent again for ever, first in
order, and no outcome of any other request would be published (a request with a long `traceparent` did that in November
2026).

Rules:
1. A group is a set of decisions that failed together. Its transaction takes turns with that of all other decisions, or
   with an empty one: a group is blamed only if another transaction was committed since its last failure, so an outage
   of Kafka blames nothing.
2. A blamed group is halved. A refusal (`Setback.REFUSED`) names the content as the cause, so the group is halved at
   once. k culprits among n decisions cost about k * log2(n) failed transactions.
3. A decision that is refused alone takes the next smaller form. One that fails alone with an error that may be chance
   rests, for a time that doubles, and is blamed after an hour: a single partition may be without a leader.
4. A decision goes without an outcome (`Form.LETTER`) only if it was refused, and another outcome was published
   meanwhile: otherwise the topic refuses every outcome, which is an operator's error, and no outcome may be lost by it.
   A decision that has no smaller form left rests, and is whole again.
5. A process that leaves tries resting decisions once more, and then waits for them no longer: its successor calls
   again. No grace period is as long as a rest of five minutes.
6. A right or a topic that is missing (`Setback.DENIED`) is an operator's error too: it blames nothing.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from headrace.broker.core.bounds import BLAMED_AFTER_MS, DOUBT_REST_FIRST_MS, DOUBT_REST_MAX_MS, STRIKES_MAX
from headrace.broker.core.commands import Decision, Form
from headrace.broker.core.setback import Setback
from headrace.broker.core.ticket import Ticket, TicketNumber
from headrace.broker.core.value import value


@value
class Decided:
    """A ticket, what becomes of it, and its weight in a transaction."""

    ticket: Ticket
    decision: Decision
    bytes: int


@dataclass(slots=True, eq=False)
class FailingGroup:
    """Decisions that failed in one transaction.

    Attributes:
        numbers: Their tickets' numbers, in order; a promotion may make a ticket anew, its number stays.
        failed_at: Number of transactions committed when it last failed.
        strikes: Failures alone, while other transactions passed, since it was last whole.
        alone_since_ms: When the first of those failures was.
        form: The form in which its only decision is written; a group of more than one is written whole.
        published_at: Number of transactions with outcomes committed when its form first became smaller.
        not_before_ms: The end of its rest.
        rest_ms: Length of its last rest.
        rests: Whether it rests, or has not been tried since.
    """

    numbers: list[TicketNumber]
    failed_at: int
    strikes: int = 0
    alone_since_ms: int | None = None
    form: Form = Form.WHOLE
    published_at: int = 0
    not_before_ms: int = 0
    rest_ms: int = 0
    rests: bool = False


class FailingDecisions:
    """All groups, and the decisions in them.

    Attributes:
        commits: Transactions committed so far, of any kind.
        published: Those of them that held an outcome.
    """

    def __init__(self) -> None:
        self._groups: deque[FailingGroup] = deque()
        self._group_of: dict[TicketNumber, FailingGroup] = {}
        self._decided: OrderedDict[TicketNumber, Decided] = OrderedDict()
        self._trying: FailingGroup | None = None
        self.commits = 0
        self.published = 0

    def __len__(self) -> int:
        return len(self._decided)

    @property
    def is_trying(self) -> bool:
        """Whether the transaction under way is that of a group."""
        return self._trying is not None

    @property
    def resting(self) -> int:
        """Number of decisions that rest."""
        return sum(number in self._decided for group in self._groups if group.rests for number in group.numbers)

    def end_rests(self) -> None:
        """End all rests."""
        for group in self._groups:
            group.not_before_ms, group.rests = 0, False

    def values(self) -> Iterable[Decided]:
        """Return the decisions of all groups."""
        return self._decided.values()

    def add(self, decided: list[Decided]) -> None:
        """Make a group of decisions that failed together."""
        group = FailingGroup([entry.ticket.number for entry in decided], self.commits)
        self._groups.append(group)
        for entry in decided:
            self._group_of[entry.ticket.number] = group
            self._decided[entry.ticket.number] = entry

    def rejoin(self, decided: Decided) -> bool:
        """Take a decision back if its ticket's number belongs to a group: a promotion has decided the ticket anew."""
        if decided.ticket.number not in self._group_of:
            return False
        self._decided[decided.ticket.number] = decided
        return True

    def holds(self, ticket: Ticket) -> bool:
        """Whether the decision of this very ticket is in a group."""
        held = self._decided.get(ticket.number)
        return held is not None and held.ticket is ticket

    def withdraw(self, ticket: Ticket) -> None:
        """Remove a ticket that will be decided differently; if that happens before the next transaction, it rejoins."""
        if self.holds(ticket):
            del self._decided[ticket.number]

    def due_at(self) -> int | None:
        """Return when the first group may be tried; None if there is none."""
        return min((group.not_before_ms for group in self._groups), default=None)

    def begin(self, now_ms: int) -> list[Decided]:
        """Return the decisions of the next group that does not rest; empty if there is none."""
        self._prune()
        due = (group for group in self._groups if group.not_before_ms <= now_ms)
        self._trying = next(due, None)
        if self._trying is None:
            return []
        self._trying.rests = False
        return [self._decided[number] for number in self._trying.numbers]

    def form(self, ticket: Ticket) -> Form:
        """Return the form in which the decision of a ticket is to be written."""
        group = self._group_of.get(ticket.number)
        return Form.WHOLE if group is None else group.form

    def record_commit(self, *, published: bool) -> None:
        """Count a committed transaction; if it was a group's, remove the group. `published`: it held an outcome."""
        self.commits += 1
        self.published += published
        group, self._trying = self._trying, None
        if group is not None:
            self._groups.remove(group)
            for number in group.numbers:
                del self._group_of[number]
                del self._decided[number]

    def record_failure(self, setback: Setback, now_ms: int) -> None:
        """Handle the failure of the group's transaction that was under way."""
        group, self._trying = self._trying, None
        assert group is not None, "no group is under way"
        others_pass, group.failed_at = self.commits > group.failed_at, self.commits
        if setback is Setback.DENIED:
            return
        refused = setback is Setback.REFUSED
        if len(group.numbers) > 1:
            if others_pass or refused:
                self._halve(group)
        elif others_pass:
            self._groups.remove(group)
            self._groups.append(group)  # other groups first: this one may be the cause itself
            self._strike(group, now_ms, refused=refused)

    def _strike(self, group: FailingGroup, now_ms: int, *, refused: bool) -> None:
        """Count a failure of a group's only decision, which failed alone while others passed."""
        group.strikes += 1
        if group.alone_since_ms is None:
            group.alone_since_ms = now_ms
        if refused or (group.strikes >= STRIKES_MAX and now_ms - group.alone_since_ms >= BLAMED_AFTER_MS):
            self._shrink(group, now_ms, refused=refused)
        else:
            _rest(group, now_ms)

    def _halve(self, group: FailingGroup) -> None:
        self._groups.remove(group)
        middle = len(group.numbers) // 2
        for numbers in (group.numbers[middle:], group.numbers[:middle]):
            half = FailingGroup(numbers, self.commits)
            self._groups.appendleft(half)
            for number in numbers:
                self._group_of[number] = half

    def _shrink(self, group: FailingGroup, now_ms: int, *, refused: bool) -> None:
        """Give a group's decision the next smaller form, or a rest."""
        if group.form is Form.WHOLE:
            group.form, group.published_at = Form.UNCOPIED, self.published
        elif group.form is Form.UNCOPIED:
            group.form = Form.SMALL
        elif group.form is Form.SMALL:
            group.form = Form.BARE
        elif group.form is Form.BARE and refused and self.published > group.published_at:
            group.form = Form.LETTER
        else:
            group.form, group.strikes, group.alone_since_ms = Form.WHOLE, 0, None
            _rest(group, now_ms)

    def _prune(self) -> None:
        """Remove decisions that were withdrawn and did not come back."""
        if len(self._decided) == len(self._group_of):
            return
        for group in list(self._groups):
            group.numbers = [number for number in group.numbers if number in self._decided]
            if not group.numbers:
                self._groups.remove(group)
        self._group_of = {number: group for group in self._groups for number in group.numbers}


def _rest(group: FailingGroup, now_ms: int) -> None:
    group.rest_ms = min(DOUBT_REST_MAX_MS, max(DOUBT_REST_FIRST_MS, 2 * group.rest_ms))
    group.not_before_ms, group.rests = now_ms + group.rest_ms, True
