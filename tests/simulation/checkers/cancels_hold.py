"""Whoever cancels gets what was asked for: an open request ends cancelled, and a cancel is done only with its effect.

Looked at from what is stored: a request that a waiting cancel stands for has no other outcome than `cancelled`; and a
cancel that has left its topic has left something else: an outcome that makes it needless, or a line in the ledger. From
the machine one thing is asked: what was open and undecided when a process took its cancel, that process never
publishes as anything else, for as long as it remembers.
"""

from collections.abc import Iterator

from headrace.broker.core.bounds import CANCEL_SLACK_MS
from headrace.broker.core.commands import Complete, Decision, Discard, Fail, Withdraw
from tests.simulation.checkers.one_outcome import answered
from tests.simulation.history import History
from tests.simulation.kafka import LaneRecord, Request, Settled, Transaction, Wish


def is_cancelled(decision: Decision) -> bool:
    """Whether it says so."""
    return isinstance(decision, Withdraw) or (isinstance(decision, Fail) and decision.reason == "cancelled")


def check(history: History) -> Iterator[str]:
    """Every cancel without its effect."""
    waiting: dict[bytes, int] = {}
    over: set[str] = set()  # ids that no cancel can change any more
    for transaction in history.stored:
        for cancel in transaction.row.cancels:
            waiting[cancel.id_hash] = max(cancel.at_ms, waiting.get(cancel.id_hash, 0))
        for each in transaction.settled:
            found = answered(each)
            if found is not None and (isinstance(each.decision, Complete) or is_cancelled(each.decision)):
                over.add(found[0])
            yield from _disregarded(history, transaction, each, waiting)
        for each in transaction.settled:
            wish = each.record is not None and isinstance(each.record.content, Wish)
            if wish and isinstance(each.decision, Discard) and _name(each.record) not in over:
                yield f"{transaction.writer} is done with {each.record}, and nothing has come of it"


def _disregarded(history: History, transaction: Transaction, each: Settled, waiting: dict[bytes, int]) -> Iterator[str]:
    if answered(each) is None or is_cancelled(each.decision):
        return
    if (transaction.writer, transaction.life, each.source) in history.ended:
        yield f"{transaction.writer} took a cancel of {each.source} and publishes {each.decision}"
    if each.record is not None and isinstance(each.record.content, Request):
        at_ms = waiting.get(_name(each.record).encode().ljust(16, b"."))
        if at_ms is not None and each.record.timestamp_ms <= at_ms + CANCEL_SLACK_MS:
            yield f"a cancel waits for {each.source}, and {transaction.writer} publishes {each.decision}"


def _name(record: LaneRecord | None) -> str:
    assert record is not None
    assert isinstance(record.content, Request | Wish)
    return record.content.name
