"""Nothing is published twice: no (id, run) has two outcomes, and no record is settled by two transactions."""

from collections import Counter
from collections.abc import Iterator

from headrace.broker.core.ticket import Source
from tests.simulation.checkers.one_outcome import answered
from tests.simulation.history import History


def check(history: History) -> Iterator[str]:
    """Whatever comes up a second time."""
    outcomes: Counter[tuple[str, int]] = Counter()
    settled: Counter[Source] = Counter()
    for transaction in history.stored:
        for each in transaction.settled:
            if each.record is None:
                continue
            settled[each.source] += 1
            if (found := answered(each)) is not None:
                outcomes[found] += 1
    yield from (f"{request} has {count} outcomes" for request, count in outcomes.items() if count > 1)
    yield from (f"{source} is settled {count} times" for source, count in settled.items() if count > 1)
