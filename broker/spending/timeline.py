"""Cost and tokens over time, by one dimension: each hour of a short period, or each day of a long one."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from headrace.broker.spending.question import ReportPeriod
from headrace.schemas.spending import OTHERS

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
_BY_HOUR_UP_TO: Final = timedelta(days=8)
_VALUES_MAX: Final = 400
"""Values that are told apart: far more than a chart can show, so that the largest at the end have been among them."""
_AMOUNTS_MAX: Final = 400_000
"""Amounts that are kept: of a period of many years fewer values are told apart, but at least `_VALUES_LEAST`."""
_VALUES_LEAST: Final = 20
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class TimelineRow:
    """One value's amounts in each bin."""

    pico_usd: list[int]
    tokens: list[int]

    def add(self, other: "TimelineRow") -> None:
        """Add another row's amounts."""
        self.pico_usd = [one + more for one, more in zip(self.pico_usd, other.pico_usd, strict=True)]
        self.tokens = [one + more for one, more in zip(self.tokens, other.tokens, strict=True)]


@dataclass(slots=True)
class SpendingTimeline:
    """Mutable amounts by value and bin; beyond a number of values the smallest are put together.

    The first and the last bin may be longer than the period.
    """

    period: ReportPeriod
    values_max: int = _VALUES_MAX
    rows: dict[str, TimelineRow] = field(default_factory=dict)
    _hours: range = field(init=False)
    _hours_a_bin: int = field(init=False)

    def __post_init__(self) -> None:
        self._hours, self._hours_a_bin = self.period.hours, 1
        if self.period.length > _BY_HOUR_UP_TO:
            self._hours_a_bin = 24
            self._hours = range(self._hours.start // 24 * 24, -(-self._hours.stop // 24) * 24)
        self.values_max = max(min(_VALUES_LEAST, self.values_max), min(self.values_max, _AMOUNTS_MAX // self.bins))

    @property
    def width(self) -> timedelta:
        """Length of a bin: an hour or a day."""
        return self._hours_a_bin * HOUR

    @property
    def begin(self) -> datetime:
        """The instant at which the first bin begins."""
        return _EPOCH + self._hours.start * HOUR

    @property
    def bins(self) -> int:
        """Their number."""
        return len(self._hours) // self._hours_a_bin

    def add(self, value: str, hour: int, pico_usd: int, tokens: int) -> None:
        """Add amounts of an hour of the period."""
        row = self.rows.get(value)
        if row is None:
            if len(self.rows) >= self.values_max:
                self._fold()
            row = self.rows.setdefault(value, self._row())
        number = (hour - self._hours.start) // self._hours_a_bin
        row.pico_usd[number] += pico_usd
        row.tokens[number] += tokens

    def _row(self) -> TimelineRow:
        return TimelineRow([0] * self.bins, [0] * self.bins)

    def _fold(self) -> None:
        """Put the smaller half of the values together."""
        others = self.rows.pop(OTHERS, None) or self._row()
        in_order = sorted(self.rows.items(), key=lambda each: _size(each[1]), reverse=True)
        kept = self.values_max // 2
        for _, row in in_order[kept:]:
            others.add(row)
        self.rows = {**dict(in_order[:kept]), OTHERS: others}


def _size(row: TimelineRow) -> tuple[int, int]:
    return sum(row.pico_usd), sum(row.tokens)
