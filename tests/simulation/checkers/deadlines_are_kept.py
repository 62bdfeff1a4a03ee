"""Nobody is told that a deadline has passed before it has, by the wall clock and on whatever machine.

Giving up early is right only where the next attempt would come too late; that sentence is another one.
"""

from collections.abc import Iterator

from headrace.broker.core.commands import Fail
from tests.simulation.history import History
from tests.simulation.kafka import Request


def check(history: History) -> Iterator[str]:
    """Every Failed that came too early."""
    for transaction in history.stored:
        for each in transaction.settled:
            decision = each.decision
            if not isinstance(decision, Fail) or decision.sentence != "The deadline passed before a call could start.":
                continue
            if each.record is None or not isinstance(each.record.content, Request):
                yield f"{each.source} had no deadline to miss"
            elif transaction.row.at_ms < each.record.content.deadline_ms:
                yield f"{each.source} was failed {each.record.content.deadline_ms - transaction.row.at_ms} ms early"
