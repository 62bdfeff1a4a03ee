"""Transactions made of a registry and an outbox, for the tests of `headrace.broker.core.requests.transactions`."""

from collections.abc import Iterable

from headrace.broker.core.commands import (
    Batch,
    Decision,
    SettledEntry,
)
from headrace.broker.core.identity.outcome_index import Overdue
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.requests.ledger_notes import LedgerNotes
from headrace.broker.core.requests.outbox import Decided, Outbox
from headrace.broker.core.requests.registry import TicketRegistry
from headrace.broker.core.requests.transactions import TransactionBuilder
from headrace.broker.core.ticket import Ticket
from tests.unit.core.specimens import HOUR_MS, LANES, budget, candidate, identity, place, ticket

NOW = 1_000_000


class Bench:
    """A registry with one partition, an outbox, and the transactions made of them."""

    def __init__(self) -> None:
        self.registry = TicketRegistry(LANES)
        self.registry.replace_progress({place(): PartitionProgress(0), place("bulk"): PartitionProgress(0)})
        self.outbox = Outbox()
        self.limits = Scheduler(LANES, budget)
        self.batches = TransactionBuilder(self.outbox, self.registry, window_ms=HOUR_MS)
        self._offset = 0

    def decide(self, decision: Decision, name: str = "x", *, attempt: int = 0) -> Ticket:
        made = ticket(candidate(name, attempt=attempt), offset=self._offset)
        self._offset += 1
        self.registry.progress[place()].take(made.source.offset, 0)
        self.registry.add(made)
        self.outbox.add(Decided(made, decision, 10), NOW, at_once=False)
        return made

    def begin(self, now_ms: int = NOW, renewals: Iterable[SettledEntry] = (), *, owed: bool = False) -> Batch:
        return self.batches.begin(3, self.limits, LedgerNotes(tuple(renewals)), now_ms, owed=owed)

    def quiet(self, *, active: bool = False, parked: bool = False) -> int | None:
        return self.batches.due_at(active=active, parked=parked)


def settled_bench() -> Bench:
    """One whose first transaction, the one that stores every partition, is behind it."""
    bench = Bench()
    batch = bench.begin()
    assert bench.batches.end(batch.serial, 0) is not None
    return bench


OVERDUE = Overdue(identity("late"), 3, 900, "late")
