"""First calls of one ordering key leave in the order in which its requests were taken; in a serial lane one at a time.

Looked at process by process, between two times of standing by: a successor knows nothing of calls that its predecessor
made, and begins with what is open. A request that is never called keeps nobody waiting; one that is read again, because
another leader's map had no place for it, stands behind those that were taken meanwhile.
"""

from collections.abc import Iterator
from itertools import pairwise

from headrace.broker.core.ticket import Source
from tests.simulation.history import History, Lined

Row = tuple[str, int, str, str]
"""A writer, its life, a lane, and an ordering key."""


def rows(history: History) -> dict[Row, list[Lined]]:
    """Who was taken one after another."""
    found: dict[Row, list[Lined]] = {}
    for each in history.lined:
        found.setdefault((each.writer, each.life, each.source.partition.lane, each.order), []).append(each)
    return found


def check(history: History) -> Iterator[str]:
    """Every first call that came before its turn."""
    for (writer, _, _, order), row in rows(history).items():
        last = {each.source: each for each in row}  # as it was taken last
        first = _first_calls(history, list(last.values()))
        called = [each.source for each in last.values() if each.source in first]
        for one, other in pairwise(called):
            if first[other] < first[one]:
                yield f"{writer} calls {other} before {one}, which was taken before it and has key {order!r} as well"
    for call in history.calls:
        if call.beside:
            yield f"{call.writer} calls {call.source} while {call.beside} of its key have no outcome yet"


def _first_calls(history: History, row: list[Lined]) -> dict[Source, int]:
    """The number of each one's first call after it was taken."""
    found: dict[Source, int] = {}
    for each in row:
        for number in range(each.calls, len(history.calls)):
            call = history.calls[number]
            if (call.writer, call.life, call.source) == (each.writer, each.life, each.source):
                found[each.source] = number
                break
    return found
