"""An answer is published by the process that got it for that record, and by nobody else."""

from collections.abc import Iterator

from headrace.broker.core.commands import Complete
from tests.simulation.history import History


def check(history: History) -> Iterator[str]:
    """Every Completed without an answer behind it."""
    for transaction in history.stored:
        for each in transaction.settled:
            if isinstance(each.decision, Complete) and (transaction.writer, each.source) not in history.answered:
                yield f"{transaction.writer} completes {each.source} without an answer"
