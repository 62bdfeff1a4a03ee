"""The totals topic counts each outcome once, lane by lane, whatever becomes of commits and leaders.

What must be counted at once are the outcomes of each transaction that carries sums. Those of others may be counted
later, and are lost with their process.
"""

from collections import Counter
from collections.abc import Iterator

from headrace.schemas.record import Record
from headrace.schemas.spending import SpendingTotal, decode_total
from tests.simulation.service.history import TOTALS, Commit, History


def check(history: History) -> Iterator[str]:
    """A lane of which the sums count an outcome that there is not, or leave out one that they must count."""
    published: Counter[str] = Counter()
    carried: Counter[str] = Counter()
    last: dict[bytes | None, tuple[str, SpendingTotal]] = {}
    for commit in history.commits:
        outcomes = Counter(each.get("lane") or "" for each in commit.outcomes)
        published += outcomes
        if commit.records.get(TOTALS):
            carried += outcomes
            last |= dict(_sums(commit))
        counted: Counter[str] = Counter()
        for lane, total in last.values():
            counted[lane] += total.outcomes
        for lane in published | counted:
            if not carried[lane] <= counted[lane] <= published[lane]:
                yield (
                    f"at {commit.at_s:.3f} s the sums count {counted[lane]} outcomes of lane {lane!r}; "
                    f"{published[lane]} were published, {carried[lane]} of them beside sums"
                )
                return


def _sums(commit: Commit) -> Iterator[tuple[bytes | None, tuple[str, SpendingTotal]]]:
    for record in commit.records[TOTALS]:
        key, _, total = decode_total(Record(record.key, record.value))
        yield record.key, (key.lane, total)
