"""The leader's book: sums over the outcomes of its transactions, each outcome counted once whatever becomes of it.

Why series. An outcome and the sum that counts it are records of one transaction, so readers of committed records see
both or neither. A sum is absolute: its record replaces the earlier one of the same key and series. Where the answer to
a commit is lost, it is not known which of the two records stands. So no later sum may build on either: the book begins
a new series, from zero, and leaves the old one as it is. What all series of a key say then adds up to the
outcomes that are in the results:

- A series changes only in transactions that carry the outcomes that it gains. While all of them return, its last record
  counts exactly the outcomes of its transactions.
- One whose commit is unknown is the last of its series. If it was committed, its records count its outcomes; if not,
  the records before it stand, and its outcomes, which come again in another transaction, are counted by another series.
- Two leaders never share a series, since a series is a random token; and each hour of a book has one of its own, so an
  hour that was closed and is opened again does not replace what it said before.

While nothing can be written to the totals topic, outcomes are counted when their commit has returned, in a second
series: the late one. What it says is certain, so its records may be written again at any time, by any transaction of
this process, with the same effect; it never begins anew. It is lost with its process, and so are the outcomes of a
transaction without sums whose commit is unknown.

Bounded: `HOURS_MAX` hours, in each of them `hour_keys.KEYS_MAX` sums. The oldest hour is closed when another one
begins; outcomes finish in the present hour or the one before, unless their publication rests for hours.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final

from headrace.broker.spending.hour_keys import HourKeys, Largest
from headrace.broker.spending.sums import SpendingSums, key_of
from headrace.schemas.record import Record
from headrace.schemas.spending import SpendingKey, Spent, SpentOutcome, total_key, total_value

HOURS_MAX: Final = 3
LATE_A_TRANSACTION_MAX: Final = 200
"""Late sums that one transaction writes besides its own; a thousand of them take a few seconds."""


@dataclass(slots=True)
class SeriesSums:
    """What one series has summed in one hour; `due`: by key, the outcomes that its record in the topic lacks."""

    series: str
    sums: dict[SpendingKey, SpendingSums] = field(default_factory=dict)
    keys: dict[SpendingKey, bytes] = field(default_factory=dict)
    due: Counter[SpendingKey] = field(default_factory=Counter)

    def sum_of(self, key: SpendingKey) -> SpendingSums:
        """Return the sum of a key, which begins with zero."""
        if (sums := self.sums.get(key)) is None:
            sums = self.sums[key] = SpendingSums()
        return sums

    def line(self, key: SpendingKey) -> Record:
        """Encode the sum of a key as it is now."""
        if (encoded := self.keys.get(key)) is None:
            encoded = self.keys[key] = total_key(key, self.series)
        return Record(encoded, total_value(self.sums[key].fields()))


@dataclass(slots=True)
class OpenHour:
    """One hour that may still change."""

    keys: HourKeys
    live: SeriesSums
    late: SeriesSums


@dataclass(slots=True)
class _UnderWay:
    """The transaction whose commit has not returned: the late sums that it writes, or the outcomes that it does not."""

    late: list[SpendingKey]
    unwritten: list[tuple[SpendingKey, SpentOutcome | Spent]]


class SpendingBook:
    """Sums of one process while it leads.

    Attributes:
        forgotten: Outcomes whose hour was closed before they could be written.
    """

    def __init__(self, token: Callable[[], str]) -> None:
        """`token` makes the names of series: random ones, none of which was ever used before."""
        self._token = token
        self._largest = Largest()
        self._hours: dict[int, OpenHour] = {}
        self._under_way: _UnderWay | None = None
        self.forgotten = 0

    @property
    def unwritten(self) -> int:
        """Number of outcomes that are counted and not in the topic yet."""
        return sum(hour.late.due.total() for hour in self._hours.values())

    def begin(self) -> None:
        """Begin a new series: this process leads, and what became of its last transaction is not known."""
        self._under_way = None
        for hour in self._hours.values():
            hour.live = SeriesSums(self._token())

    def lines(self, outcomes: Iterable[SpentOutcome | Spent], at: datetime, *, written: bool) -> list[Record]:
        """Count the outcomes of a transaction, and return the sums that it must write.

        Args:
            outcomes: Those that it publishes.
            at: The instant of their records.
            written: Whether it can write to the totals topic; if not, nothing is returned.
        """
        if self._under_way is not None:
            self.begin()
        self._close_hours()
        keyed = [(self._key_in_open_hour(outcome, at), outcome) for outcome in outcomes]
        if not written:
            self._under_way = _UnderWay([], keyed)
            return []
        changed: dict[SpendingKey, None] = {}
        for key, outcome in keyed:
            self._hours[key.hour].live.sum_of(key).add(outcome)
            changed[key] = None
        due = (key for hour in self._hours.values() for key in hour.late.due)
        late = list(islice(due, LATE_A_TRANSACTION_MAX))
        self._under_way = _UnderWay(late, [])
        return [self._hours[key.hour].live.line(key) for key in changed] + [
            self._hours[key.hour].late.line(key) for key in late
        ]

    def committed(self) -> None:
        """Note that the commit of the last transaction has returned."""
        under_way, self._under_way = self._under_way, None
        if under_way is None:
            return
        for key in under_way.late:
            del self._hours[key.hour].late.due[key]
        for key, outcome in under_way.unwritten:
            late = self._hours[key.hour].late
            late.sum_of(key).add(outcome)
            late.due[key] += 1

    def _key_in_open_hour(self, outcome: SpentOutcome | Spent, at: datetime) -> SpendingKey:
        """Return the key to count an outcome under; its hour is open then."""
        key = key_of(outcome, at)
        if (hour := self._hours.get(key.hour)) is None:
            hour = self._open(key.hour)
        usage = outcome.usage
        self._largest.add(key, 0 if usage is None else usage.input_tokens + usage.output_tokens)
        return hour.keys.place(key)

    def _open(self, number: int) -> OpenHour:
        """Open an hour; the largest names so far have their places in it."""
        if self._hours and number > max(self._hours):
            self._largest.halve()
        hour = OpenHour(HourKeys.begin(self._largest), SeriesSums(self._token()), SeriesSums(self._token()))
        self._hours[number] = hour
        return hour

    def _close_hours(self) -> None:
        """Close all but the last hours, between two transactions."""
        for number in sorted(self._hours)[:-HOURS_MAX]:
            self.forgotten += self._hours.pop(number).late.due.total()
