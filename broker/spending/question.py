"""What a report is asked for: a time, the dimensions to tell sums apart by, and filters."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import translate
from functools import cached_property
from typing import Final

from headrace.broker.spending.sums import NAMED
from headrace.schemas.spending import HOUR_S, SpendingKey

_WEEK: Final = timedelta(days=7)
_HOUR: Final = timedelta(seconds=HOUR_S)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ReportPeriod:
    """A time from `since` to before `until`, both in UTC."""

    since: datetime
    until: datetime

    @property
    def length(self) -> timedelta:
        """Return how long it lasts."""
        return self.until - self.since

    @property
    def hours(self) -> range:
        """Return the hours since 1970 that it touches."""
        return range((self.since - _EPOCH) // _HOUR, -((_EPOCH - self.until) // _HOUR))

    def whole_hours(self) -> "ReportPeriod":
        """Return the period of all hours that it touches."""
        return ReportPeriod(_EPOCH + self.hours.start * _HOUR, _EPOCH + self.hours.stop * _HOUR)

    def and_before(self, span: timedelta) -> "ReportPeriod":
        """Return the period with this much time before it."""
        return ReportPeriod(max(_EPOCH, self.since - span), self.until)

    def before(self) -> "ReportPeriod":
        """Return the period to compare with: as long, on the same weekdays, and over before this one begins."""
        weeks = max(1, -(-self.length // _WEEK))
        return ReportPeriod(max(_EPOCH, self.since - weeks * _WEEK), max(_EPOCH, self.until - weeks * _WEEK))


@dataclass(frozen=True)
class NameFilters:
    """Patterns as in a shell, by dimension: one of each dimension must match; an empty one matches what has no name."""

    patterns: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @cached_property
    def _compiled(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        named = ((name, self.patterns.get(name, ())) for name in NAMED)
        return tuple((name, re.compile("|".join(map(translate, each)))) for name, each in named if each)

    def allow(self, dimension: str, value: str) -> bool:
        """Return whether a value of one dimension is asked for."""
        return all(pattern.match(value) for name, pattern in self._compiled if name == dimension)

    def hold(self, key: SpendingKey) -> bool:
        """Return whether sums of this key are asked for."""
        return all(pattern.match(getattr(key, name)) for name, pattern in self._compiled)


@dataclass(frozen=True, slots=True)
class ReportQuestion:
    """One report: `dimensions` tell its rows apart; with `by_hour` there is a timeline as well."""

    period: ReportPeriod
    dimensions: tuple[str, ...]
    filters: NameFilters = NameFilters()
    by_hour: bool = False

    @property
    def stacked_by(self) -> str:
        """The first dimension that is no time."""
        return next((each for each in self.dimensions if each in NAMED), "lane")
