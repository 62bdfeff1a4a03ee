"""What retention removed before it was taken has a dead letter that says so: one for the range that is lost.

A record of an id that has an outcome needs none, nor does one that has a letter of its own.
"""

from collections.abc import Iterator

from headrace.schemas import headers as names
from tests.simulation.service.history import DEAD_LETTERS, History

REASON = b"lost_by_retention"


def check(history: History) -> Iterator[str]:
    """A record that is gone without a word."""
    if history.quiet_s is None:
        return
    own, ranges = set[str](), dict[str, int]()
    for commit in history.commits:
        for record in commit.records.get(DEAD_LETTERS, ()):
            told = dict(record.headers)
            place, _, offset = told[names.ORIGIN].decode().rpartition("/")
            own.add(f"{place}/{offset}")
            if told[names.REASON] == REASON:
                ranges[place] = min(int(offset), ranges.get(place, int(offset)))
    answered = {outcome["id"] for _, outcome in history.outcomes()}
    for each in history.removed:
        place = f"{each.topic}/{each.partition}"
        told_of = f"{place}/{each.offset}" in own or ranges.get(place, each.offset + 1) <= each.offset
        if each.id not in answered and not told_of:
            yield f"{place}/{each.offset} was removed before it was done, and no dead letter says so"
