"""Every request ends: each (id, run) that anybody sent has exactly one outcome, whatever died on the way.

An id that was sent under several bodies, or as rubbish too, has one outcome all the same: whichever was taken first
answers for it. Only retention excuses: where it has removed every record of a request before they were done, or the
one that the others gave way to, which is the copy of a parked request, or a record with another body.
"""

from collections import Counter
from collections.abc import Iterator

from headrace.broker.core.commands import Complete, Fail, Withdraw
from tests.simulation.history import History
from tests.simulation.kafka import LaneRecord, Request, Settled, Wish


def identity(record: LaneRecord) -> tuple[str, int] | None:
    """(id, run) that a record asks for; None if no id can be read, or none is asked for."""
    content = record.content
    if isinstance(content, Wish):
        return None
    if isinstance(content, Request):
        return content.name, content.run
    return None if content.name is None else (content.name, 0)


def answered(each: Settled) -> tuple[str, int] | None:
    """(id, run) whose outcome a decision is; None if it is no outcome, or one of nobody."""
    if each.record is None:
        return None
    if isinstance(each.decision, Withdraw):
        assert isinstance(each.record.content, Wish)
        return each.record.content.name, each.decision.run
    return identity(each.record) if isinstance(each.decision, Complete | Fail) else None


def check(history: History) -> Iterator[str]:
    """Whoever has no outcome, and whoever has one that nobody asked for."""
    outcomes: Counter[tuple[str, int]] = Counter()
    for transaction in history.stored:
        for each in transaction.settled:
            found = answered(each)
            if found is not None:
                outcomes[found] += 1
            elif isinstance(each.decision, Complete | Fail | Withdraw):
                yield f"an outcome for a record without an id at {each.source}"
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
    there = {_body(record) for record in records if record.source not in history.lost}
    return not there or any(
        there != {_body(record)} or (isinstance(record.content, Request) and record.content.attempt > 0)
        for record in lost
    )


def _body(record: LaneRecord) -> str:
    assert not isinstance(record.content, Wish)
    return record.content.body
