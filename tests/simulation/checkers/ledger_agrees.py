"""The ledger says what the results say: a fate for each outcome and each parking, in the same transaction."""

from collections.abc import Iterator

from broker.core.commands import Complete, Fail, Park
from broker.core.identity import Fate
from tests.simulation.history import History


def check(history: History) -> Iterator[str]:
    """Every transaction whose ledger line is short of a fate. Renewals of what is parked come on top."""
    for transaction in history.stored:
        decisions = [each.decision for each in transaction.settled]
        fates = [entry.fate for entry in transaction.batch.settled]
        for kind, fate in ((Complete, Fate.COMPLETED), (Fail, Fate.FAILED)):
            decided = sum(isinstance(decision, kind) for decision in decisions)
            if decided != fates.count(fate):
                yield f"{transaction.writer}'s batch {transaction.batch.serial}: {decided} {fate.name}, {fates}"
        if sum(isinstance(decision, Park) for decision in decisions) > fates.count(Fate.PARKED):
            yield f"{transaction.writer}'s batch {transaction.batch.serial} parks without a line in the ledger"
