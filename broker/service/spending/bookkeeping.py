"""What a leader adds to its transactions: the sums that count their outcomes, where the totals topic takes them.

A defect here costs the sums of one transaction, and no outcome: it is logged and counted, and the book begins a new
series, since the old one may count a part of that transaction.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from headrace.broker.clock import WallClock
from headrace.broker.core.setback import Setback
from headrace.broker.errors import ProducerDead
from headrace.broker.ports import Outgoing, TransactionLog
from headrace.broker.service.preflight.probe import Observed
from headrace.broker.service.published import PublishedOutcome
from headrace.broker.service.spending.totals_topic import TotalsTopic, mend
from headrace.broker.spending.book import SpendingBook
from headrace.schemas.spending import Spent, spent

Counted = Callable[[Sequence[Spent]], None]
"""Receives the outcomes of each transaction whose commit has returned."""


class Bookkeeping:
    """Keeper of one dispatcher's book."""

    def __init__(self, book: SpendingBook, topic: TotalsTopic, *, counted: Counted, observed: Observed) -> None:
        self._book = book
        self._topic = topic
        self._counted = counted
        self._observed = observed
        self._outcomes: list[Spent] = []
        self._uncounted = 0
        self._uncounted_now = 0  # of the transaction under way, which may be repeated

    def begin(self) -> None:
        """Begin or resume a term: what became of the last transaction is not known."""
        self._book.begin()

    def lines(self, published: Iterable[Outgoing], at: datetime) -> list[Outgoing]:
        """Return the sums to be written in the transaction of these records, whose instant is `at`."""
        self._outcomes, written = [], self._topic.is_writable
        count = self._uncounted_now = 0
        try:
            outcomes = [each.outcome for each in published if isinstance(each, PublishedOutcome)]
            count = len(outcomes)
            self._outcomes = [spent(each) for each in outcomes]
            lines = self._book.lines(self._outcomes, at, written=written)
        except Exception as error:  # noqa: BLE001 — of any kind: see the module
            self._observed("totals", error)
            self._book.begin()
            self._uncounted_now = count
            lines = []
        self._topic.begin(written=bool(lines))
        return [Outgoing(self._topic.name, line) for line in lines]

    def late(self, at: datetime) -> list[Outgoing]:
        """Return sums that are counted and were not written yet, for a transaction without outcomes."""
        return self.lines((), at) if self._book.unwritten and self._topic.is_writable else []

    async def write_late(self, producer: TransactionLog, clock: WallClock) -> None:
        """Write all sums that are counted and were not written yet: one transaction takes some of them.

        Raises:
            ProducerDead: As the transaction does.
        """
        while late := self.late(clock.utc_now()):
            await self.during(partial(_transact, producer, late))
            self.committed()

    async def during(self, transact: Callable[[], Awaitable[None]]) -> None:
        """Make a transaction that asks for its `lines`; raises ProducerDead as it does."""
        await self._topic.during(transact)

    def committed(self) -> None:
        """Note that the commit of the last transaction has returned."""
        self._topic.committed()
        outcomes, self._outcomes = self._outcomes, []
        try:
            self._book.committed()
        except Exception as error:  # noqa: BLE001 — of any kind: see the module
            self._observed("totals", error)
            self._book.begin()
            self._uncounted_now = len(outcomes)
        self._uncounted += self._uncounted_now
        self._uncounted_now = 0
        if outcomes:
            self._counted(outcomes)

    def failed(self, error: ProducerDead) -> Setback:
        """Note that it has not; return what the core is told, which must blame no outcome for the totals topic."""
        return Setback.UNKNOWN if self._topic.failed(error) else error.setback

    def shown(self) -> dict[str, Any]:
        """Return the state of the topic for `/status`; `trouble` is null while sums are written."""
        hindrance = self._topic.hindrance
        return {
            "name": self._topic.name,
            "trouble": hindrance,
            "mend": None if hindrance is None else mend(hindrance) or None,
            "unwritten": self._book.unwritten,
            "lost": self._book.forgotten + self._uncounted,
        }


async def _transact(producer: TransactionLog, late: Sequence[Outgoing]) -> None:
    await producer.transact(late, {})
