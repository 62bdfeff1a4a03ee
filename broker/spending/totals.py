"""Totals of a topic's records: of each key and series the last one counts, and all series of a key add up.

Records of an hour come in that hour and soon after it, so an hour is closed a day later; until then its records are
kept as bytes.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from headrace.schemas.record import Record
from headrace.schemas.spending import SpendingKey, SpendingTotal, TotalUnreadable, decode_total

_KEPT_HOURS: Final = 24


class LastTotals:
    """The last record of each key, as records come.

    Attributes:
        unreadable: Records that this release cannot read.
        too_late: Records that came after their hour had been closed; they are not counted.
    """

    def __init__(self, hours: range) -> None:
        """Records of other hours are dropped."""
        self.unreadable = 0
        self.too_late = 0
        self._hours = hours
        self._open: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._closed_before = hours.start

    def put(self, record: Record) -> Iterator[tuple[SpendingKey, SpendingTotal]]:
        """Take the next record; yield the totals of hours that are complete now."""
        hour = _hour_of(record.key)
        if hour is None:
            self.unreadable += record.value is not None
        elif hour in self._hours:
            if hour < self._closed_before:
                self.too_late += 1
                return
            if record.value is None:  # its key is deleted, and compaction removes what it said before
                self._open[hour].pop(record.key or b"", None)
            else:
                self._open[hour][record.key or b""] = record.value
            yield from self._close(hour - _KEPT_HOURS)

    def rest(self) -> Iterator[tuple[SpendingKey, SpendingTotal]]:
        """Yield all that is left."""
        yield from self._close(self._hours.stop)

    def _close(self, before: int) -> Iterator[tuple[SpendingKey, SpendingTotal]]:
        if before <= self._closed_before:
            return
        self._closed_before = before
        for hour in sorted(each for each in self._open if each < before):
            for named, value in self._open.pop(hour).items():
                try:
                    key, _, total = decode_total(Record(named, value))
                except TotalUnreadable:
                    self.unreadable += 1
                    continue
                yield key, total


def _hour_of(named: bytes | None) -> int | None:
    """Return the hour that a record's key begins with, without reading the rest: most records are replaced."""
    try:
        hour = json.loads(named or b"")[0]
    except (ValueError, TypeError, IndexError, KeyError, RecursionError):
        return None
    return hour if isinstance(hour, int) else None
