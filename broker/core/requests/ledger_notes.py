"""What a ledger line says beside the decisions of its transaction, and what a line changes in the index of ids.

A leader repeats what must not age out of the ledger, and fails what is overdue: parked requests whose copies did not
come back (PROTOCOL 6). Both are taken from the index when a transaction is built. Every committed line is recorded in
the same index, whether this process or another leader has written it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from headrace.broker.core.commands import SettledEntry
from headrace.broker.core.identity.dedupe import Awaited, DedupeTable, Fate, Overdue
from headrace.broker.core.identity.pending_cancels import CancelRecord


@dataclass(frozen=True, slots=True)
class LedgerNotes:
    """Content of one ledger line beside the decisions of its transaction.

    Attributes:
        settled: Fates to be written once more, since they would otherwise age out of the ledger.
        awaited: What is known of the copies that are on their way to those.
        overdue: Parked requests to be Failed now; none of them is among `settled`.
        cancels: Waiting cancels to be written once more.
    """

    settled: tuple[SettledEntry, ...] = ()
    awaited: tuple[Awaited, ...] = ()
    overdue: tuple[Overdue, ...] = ()
    cancels: tuple[CancelRecord, ...] = ()

    def withdrawn(self) -> list[SettledEntry]:
        """Return the fates of the overdue requests: Failed, and the copy may still come."""
        return [SettledEntry(parked.identity, parked.attempts, Fate.WITHDRAWN) for parked in self.overdue]

    def failed(self) -> list[Awaited]:
        """Return the ledger entries for the copies of the overdue requests."""
        return [Awaited(parked.identity, parked.deadline_s, parked.name, overdue=True) for parked in self.overdue]


def gather(identities: DedupeTable, wall_ms: int) -> LedgerNotes:
    """Collect what the next line must say beside its decisions; overdue requests are open until it is committed."""
    overdue = identities.fail_overdue(wall_ms)
    failing = {parked.identity.id_hash for parked in overdue}
    settled = [SettledEntry(*fate) for fate in identities.renewals(wall_ms) if fate[0].id_hash not in failing]
    awaited = (identities.awaited(entry.identity.id_hash) for entry in settled)
    return LedgerNotes(
        tuple(settled),
        tuple([copy for copy in awaited if copy is not None]),
        tuple(overdue),
        tuple(identities.cancels.renewals(wall_ms)),
    )


def observe(
    identities: DedupeTable,
    settled: Iterable[SettledEntry],
    awaited: Iterable[Awaited],
    cancels: Iterable[CancelRecord],
    at_ms: int,
) -> None:
    """Record a line that was committed or read, in any order and any number of times."""
    for entry in settled:
        identities.settle(entry.identity, entry.attempt, entry.fate, at_ms)
    for copy in awaited:
        identities.record_awaited(copy)
    for cancel in cancels:
        identities.record_cancel(cancel, at_ms)
