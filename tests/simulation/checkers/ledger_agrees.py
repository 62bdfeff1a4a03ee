"""The ledger says what the results say, in the same transaction: every outcome, every parking, every cancel that waits.

A copy of a request that was cancelled while parked is told as well, once it is back: then its id may age.
"""

from collections.abc import Iterator

from headrace.broker.core.commands import Complete, Discard, Fail, Park, Remember, Withdraw
from headrace.broker.core.identity.dedupe import Fate
from tests.simulation.history import History


def check(history: History) -> Iterator[str]:
    """Every transaction whose ledger line is short of something. Renewals of what is kept come on top."""
    for transaction in history.stored:
        decisions = [each.decision for each in transaction.settled]
        fates = [entry.fate for entry in transaction.batch.settled]
        for kind, fate in ((Complete, Fate.COMPLETED), (Fail, Fate.FAILED)):
            decided = sum(isinstance(decision, kind) for decision in decisions)
            decided += sum(decision == Discard(returned=True) for decision in decisions) if kind is Fail else 0
            if decided != fates.count(fate):
                yield f"{transaction.writer}'s batch {transaction.batch.serial}: {decided} {fate.name}, {fates}"
        for away, fate in ((Park, Fate.PARKED), (Withdraw, Fate.WITHDRAWN)):
            if sum(isinstance(decision, away) for decision in decisions) > fates.count(fate):
                yield f"{transaction.writer}'s batch {transaction.batch.serial}: a line for {away.__name__} is missing"
        for decision in decisions:
            if isinstance(decision, Remember) and decision.cancel not in transaction.row.cancels:
                yield f"{transaction.writer}'s batch {transaction.batch.serial} forgets a cancel"
