"""What a ledger line says beside the decisions of its transaction, and what a line tells the index of ids.

A leader says again what must not age out of the ledger, and fails what is overdue: parked requests whose copies did
not come back (PROTOCOL 6). Both are taken from the index when a transaction is built. The same index is told every line
that is committed, whether this process has written it or another leader.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from broker.core.commands import SettledEntry
from broker.core.identity.dedupe import Awaited, DedupeTable, Fate, Overdue
from broker.core.identity.pending_cancels import Cancel


@dataclass(frozen=True, slots=True)
class LedgerNotes:
    """Of one transaction.

    Attributes:
        settled: Fates to be said once more, since they would otherwise age out of the ledger.
        awaited: What is known of the copies that are on their way to those.
        overdue: Parked requests to be Failed now; none of them is among `settled`.
        cancels: Waiting cancels to be said once more.
    """

    settled: tuple[SettledEntry, ...] = ()
    awaited: tuple[Awaited, ...] = ()
    overdue: tuple[Overdue, ...] = ()
    cancels: tuple[Cancel, ...] = ()

    def withdrawn(self) -> list[SettledEntry]:
        """The fates of what is overdue: Failed, and the copy may still come."""
        return [SettledEntry(each.identity, each.attempts, Fate.WITHDRAWN) for each in self.overdue]

    def failed(self) -> list[Awaited]:
        """What the ledger says of the copies of what is overdue."""
        return [Awaited(each.identity, each.deadline_s, each.name, overdue=True) for each in self.overdue]


def gather(identities: DedupeTable, wall_ms: int) -> LedgerNotes:
    """What the next line must say beside its decisions; what is overdue is open until that is committed."""
    overdue = identities.fail_overdue(wall_ms)
    failing = {each.identity.id_hash for each in overdue}
    settled = [SettledEntry(*each) for each in identities.renewals(wall_ms) if each[0].id_hash not in failing]
    told = (identities.awaited(each.identity.id_hash) for each in settled)
    return LedgerNotes(
        tuple(settled),
        tuple([each for each in told if each is not None]),
        tuple(overdue),
        tuple(identities.cancels.renewals(wall_ms)),
    )


def hear(
    identities: DedupeTable,
    settled: Iterable[SettledEntry],
    awaited: Iterable[Awaited],
    cancels: Iterable[Cancel],
    at_ms: int,
) -> None:
    """A line is committed, or was read: in whatever order, and however often."""
    for entry in settled:
        identities.settle(entry.identity, entry.attempt, entry.fate, at_ms)
    for each in awaited:
        identities.awaits(each)
    for cancel in cancels:
        identities.wait_for_request(cancel, at_ms)
