"""Sums of the last hours, from the records of the totals topic: by lane, model, tenant, template and tier.

A record replaces the earlier one of its key and series, so each sum changes by the difference of the two. For that the
last records of the `CHANGING_HOURS` latest hours that have any are kept, as a book holds its hours. A record of an
older hour that comes all the same is left out, and counted. Bounded: `HOURS` hours, in each of them so many names of a
kind; an hour that no longer changes keeps the largest. What has no name of its own is summed under `(others)`, so each
kind adds up to the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from headrace.broker.spending.hour_keys import LANES_MAX, MODELS_MAX, TIERS_MAX
from headrace.broker.spending.sums import NAMED, Difference, SpendingSums
from headrace.schemas.record import Record
from headrace.schemas.spending import OTHERS, SpendingKey, SpendingTotal, TotalUnreadable, decode_total

HOURS: Final = 25
"""The present hour, and the 24 before it."""
CHANGING_HOURS: Final = 3
RECORDS_MAX: Final = 24_000
"""Last records kept for differences; beyond it the series that changed longest ago is taken for ended. One leader has
as many at most: three hours of two series."""
NAMES_MAX: Final = 1_000
"""Tenants, and templates, in an hour that changes."""
NAMES_KEPT: Final = 100
"""Those that stay when it changes no longer."""
_NAMES_MAX: Final = {
    "lane": LANES_MAX,
    "model": MODELS_MAX,
    "tenant": NAMES_MAX,
    "template": NAMES_MAX,
    "tier": TIERS_MAX,
}
_NOTHING: Final = SpendingTotal()


@dataclass(slots=True)
class SummedBy:
    """Sums over a span of time: of everything, and by each kind of name."""

    everything: SpendingSums = field(default_factory=SpendingSums)
    by: dict[str, dict[str, SpendingSums]] = field(default_factory=lambda: {kind: {} for kind in NAMED})

    def change(self, key: SpendingKey, now: SpendingTotal, before: SpendingSums | None) -> None:
        """Count what one series says of a key, in place of what it said before."""
        difference = Difference.of(now, before)
        for sums in (self.everything, *self._of(key)):
            sums.change(difference)

    def _of(self, key: SpendingKey) -> Iterator[SpendingSums]:
        for kind in NAMED:
            named, name = self.by[kind], getattr(key, kind)
            if name not in named and len(named) >= _NAMES_MAX[kind]:
                name = OTHERS
            yield named.setdefault(name, SpendingSums())

    def add(self, other: "SummedBy") -> None:
        """Add the sums of another span."""
        self.everything.add_total(other.everything)
        for kind, named in other.by.items():
            for name, sums in named.items():
                self.by[kind].setdefault(name, SpendingSums()).add_total(sums)

    def shrink(self, names_max: int) -> None:
        """Keep the largest names of each kind, and sum up the others."""
        for kind, named in self.by.items():
            self.by[kind] = largest(named, names_max)


def last_of_each_key(records: Iterable[Record]) -> list[Record]:
    """Return the last record of each key."""
    return [*{each.key: each for each in records}.values()]


def largest(named: Mapping[str, SpendingSums], names_max: int) -> dict[str, SpendingSums]:
    """Return the largest, in order, and behind them the sum of all others under OTHERS, if there are any."""
    own = sorted((name for name in named if name != OTHERS), key=lambda name: (named[name].weight, name), reverse=True)
    kept = {name: named[name] for name in own[:names_max]}
    rest = [*own[names_max:], *([OTHERS] if OTHERS in named else [])]
    if rest:
        kept[OTHERS] = SpendingSums()
        for name in rest:
            kept[OTHERS].add_total(named[name])
    return kept


class SpendingWindow:
    """The last hours of a totals topic that is followed.

    Attributes:
        version: Changes with the sums.
        unreadable: Records that were no totals, or another release's.
        too_late: Records that were left out, since what they replace is not kept any more.
    """

    def __init__(self, *, records_max: int = RECORDS_MAX) -> None:
        self._records_max = records_max
        self.version = 0
        self.unreadable = 0
        self.too_late = 0
        self._hours: dict[int, SummedBy] = {}
        self._final: set[int] = set()
        self._last: dict[tuple[int, str], dict[SpendingKey, SpendingSums]] = {}  # by hour and series, the youngest last
        self._closed: set[tuple[int, str]] = set()
        self._kept = 0
        self._ended: tuple[frozenset[int], SummedBy] = frozenset(), SummedBy()  # hours that were summed, and their sum

    def observe(self, records: Iterable[Record], hour: int) -> None:
        """Take note of records in the order of the topic; `hour` is the present one.

        Of several records of one key only the last is read: a busy leader writes thousands an hour.
        """
        for record in last_of_each_key(records):
            try:
                key, series, total = decode_total(record)
            except TotalUnreadable:
                self.unreadable += 1
                continue
            if hour - HOURS < key.hour <= hour + 1:
                self._observe(key, series, total)
        self._forget(hour)

    def _observe(self, key: SpendingKey, series: str, total: SpendingTotal) -> None:
        of = key.hour, series
        if key.hour in self._final or of in self._closed:
            self.too_late += 1
            return
        last = self._last.get(of, {})
        before = last.get(key)
        if before is None and total == _NOTHING:
            return  # a key was deleted of which nothing is known
        self._last.pop(of, None)
        self._last[of] = last
        self._hours.setdefault(key.hour, SummedBy()).change(key, total, before)
        last[key] = kept = SpendingSums()  # a third of the memory
        kept.add_total(total)
        self._kept += before is None
        self.version += 1
        while self._kept > self._records_max and len(self._last) > 1:
            oldest = next(iter(self._last))
            self._closed.add(oldest)
            self._kept -= len(self._last.pop(oldest))

    def _forget(self, hour: int) -> None:
        """Have old hours change no longer, and forget those that are older still.

        An hour has far more records than one read returns. So it ends when three later ones have begun, and not by the
        clock: else each hour of the past would end with the read that begins it.
        """
        ended = set(sorted(each for each in self._hours if each <= hour)[:-CHANGING_HOURS])
        ended |= {each for each in self._hours if each <= hour - HOURS}
        for number in ended - self._final:
            self._final.add(number)
            self._hours[number].shrink(NAMES_KEPT)
            for of in [each for each in self._last if each[0] == number]:
                self._kept -= len(self._last.pop(of))
        for number in [each for each in self._hours if each <= hour - HOURS]:
            del self._hours[number]
            self._final.discard(number)
            self._closed = {each for each in self._closed if each[0] != number}
            self.version += 1

    def summed(self, first: int, last: int) -> SummedBy:
        """Return the sums from one hour to another, both included; a copy, which may be changed.

        Most hours of a day change no longer, so their sum is kept: with 500 tenants it takes 70 ms of a leader's loop.
        """
        inside = {hour for hour in self._hours if first <= hour <= last}
        ended = frozenset(inside & self._final)
        found = SummedBy()
        if len(ended) > 1:
            if self._ended[0] != ended:
                self._ended = ended, self._summed(ended, SummedBy())
            found.add(self._ended[1])
            inside -= ended
        return self._summed(inside, found)

    def _summed(self, hours: Iterable[int], found: SummedBy) -> SummedBy:
        for hour in hours:
            found.add(self._hours[hour])
        return found
