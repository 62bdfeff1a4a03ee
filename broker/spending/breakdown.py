"""Sums by the values of chosen dimensions, within a bound of groups: beyond it the smallest are put together."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from headrace.broker.spending.sums import NAMED, SpendingSums
from headrace.schemas.spending import HOUR_S, OTHERS, SpendingKey, SpendingTotal

DIMENSIONS: Final = (*NAMED, "day", "hour")
"""What sums can be told apart by; days and hours are those of UTC."""
GROUPS_MAX: Final = 50_000
"""Of some 1.2 kB each."""
_FOLDED_FIRST: Final = frozenset({"tenant", "template"})
"""Dimensions with as many values as producers like; the others of a group are kept, as long as that is enough."""

Values = tuple[str, ...]
"""Values of the chosen dimensions, in their order; an empty text: the outcomes named none."""
Summed = SpendingTotal | SpendingSums


def day_of(hour: int) -> str:
    """Return the day of an hour: `2026-12-01`."""
    return f"{datetime.fromtimestamp(hour * HOUR_S, UTC):%Y-%m-%d}"


def name_of_hour(hour: int) -> str:
    """Return the beginning of an hour: `2026-12-01T09:00Z`."""
    return f"{datetime.fromtimestamp(hour * HOUR_S, UTC):%Y-%m-%dT%H:%MZ}"


class Breakdown:
    """Mutable sums by group.

    Attributes:
        dimensions: Those that tell the groups apart, each one of `DIMENSIONS`.
        groups: The sums by their values.
        foldings: How often the smallest groups were put together; sums handed out before belong to no group any more.
    """

    def __init__(self, dimensions: Sequence[str], *, groups_max: int = GROUPS_MAX) -> None:
        """Start without groups; there will be at most `groups_max`, times the hours or days they are told apart by."""
        self.dimensions = tuple(dimensions)
        self.groups: dict[Values, SpendingSums] = {}
        self.foldings = 0
        self._groups_max = groups_max
        self._fold_at = groups_max

    def values_of(self, key: SpendingKey) -> Values:
        """Return the values that a key has in the dimensions."""
        return tuple(_value(key, dimension) for dimension in self.dimensions)

    def sums_of(self, values: Values) -> SpendingSums:
        """Return the sums of a group, for adding to them until `foldings` changes."""
        found = self.groups.get(values)
        if found is None:
            if len(self.groups) >= self._fold_at:
                self._fold()
            found = self.groups.setdefault(values, SpendingSums())
        return found

    def add_totals(self, totals: Iterable[tuple[Values, Summed]]) -> None:
        """Add what is summed already."""
        for values, total in totals:
            self.sums_of(values).add_total(total)

    def whole(self) -> SpendingSums:
        """Return the sum of all groups."""
        whole = SpendingSums()
        for sums in self.groups.values():
            whole.add_total(sums)
        return whole

    def _fold(self) -> None:
        """Put the smaller half of the groups together; if that makes little room, without regard to lane or model."""
        self.foldings += 1
        for folded in (_FOLDED_FIRST, frozenset(NAMED)):
            if len(self.groups) > 3 * self._groups_max // 4:
                self._put_together(folded)
        self._fold_at = max(self._groups_max, 2 * len(self.groups))

    def _put_together(self, folded: frozenset[str]) -> None:
        is_folded = [dimension in folded for dimension in self.dimensions]
        in_order = sorted(self.groups.items(), key=lambda each: each[1].weight, reverse=True)
        kept = self._groups_max // 2
        self.groups = dict(in_order[:kept])
        for values, sums in in_order[kept:]:
            named = tuple(OTHERS if gone else value for value, gone in zip(values, is_folded, strict=True))
            self.groups.setdefault(named, SpendingSums()).add_total(sums)


def _value(key: SpendingKey, dimension: str) -> str:
    if dimension == "day":
        return day_of(key.hour)
    if dimension == "hour":
        return name_of_hour(key.hour)
    return str(getattr(key, dimension))
