"""Every request ends: each (id, run) that anybody sent has exactly one outcome, whatever died on the way.

An id that was sent under several bodies, or as rubbish too, has one outcome all the same: whichever was taken first
answers for it. Only retention excuses: where it has removed every record of a request before they were done, or the
one that the others gave way to, which is the copy of a parked request, or a record with another body.
"""

from collections import Counter
from collections.abc import Iterator

from broker.core.commands import Complete, Fail
from tests.simulation.history import History
from tests.simulation.kafka import LaneRecord, Request


def identity(record: LaneRecord) -> tuple[str, int] | None:
    """(id, run) of a record; None if no id can be read."""
    content = record.content
    if isinstance(content, Request):
        return content.name, content.run
    return None if content.name is None else (content.name, 0)


def check(history: History) -> Iterator[str]:
    """Whoever has no outcome, and whoever has one that nobody asked for."""
    outcomes: Counter[tuple[str, int]] = Counter()
    for transaction in history.stored:
        for each in transaction.settled:
            if isinstance(each.decision, Complete | Fail) and each.record is not None:
                found = identity(each.record)
                if found is None:
                    yield f"an outcome for a record without an id at {each.source}"
                else:
                    outcomes[found] += 1
    sent: dict[tuple[str, int], list[LaneRecord]] = {}
    for record in history.records:
        if (found := identity(record)) is not None:
            sent.setdefault(found, []).append(record)
    for request, records in sent.items():
        if outcomes[request] == 0 and not _excused(history, records):
            yield f"{request} has no outcome"
    yield from (f"{stranger} has an outcome and was never sent" for stranger in sorted(outcomes.keys() - sent.keys()))


def _excused(history: History, records: list[LaneRecord]) -> bool:
    lost = [record for record in records if record.source in history.lost]
    there = {record.content.body for record in records if record.source not in history.lost}
    return not there or any(
        there != {record.content.body} or (isinstance(record.content, Request) and record.content.attempt > 0)
        for record in lost
    )
