"""SpendingTally of one reading of outcomes or totals: sums by group and by hour, and what is to be said of them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Final

from headrace.broker.spending.billing import CostFinder
from headrace.broker.spending.breakdown import GROUPS_MAX, NAMED, Breakdown
from headrace.broker.spending.question import ReportQuestion
from headrace.broker.spending.sums import SpendingSums, key_of
from headrace.schemas.spending import HOUR_S, OTHERS, SpendingKey, SpendingTotal, SpentOutcome

_HOURLY_GROUPS_MAX: Final = 20_000
_KNOWN_MAX: Final = 50_000
"""Combinations of names whose sums are found by one look-up; beyond it the look-ups begin anew."""
_FIELDS: Final = {"tier": ("tier_served", "tier_asked")}
"""Fields of an outcome that determine its value in a dimension, where there is not just one of that name."""
_NAMES_MAX: Final = 1_000

_Places = tuple[SpendingSums, ...]


@dataclass(slots=True)
class TallyNotes:
    """What is said beside the sums.

    Attributes:
        lost: Records that are no outcomes, or no totals, or cannot be read.
        late: Totals that came more than a day after their hour; they are not counted.
        price_lists: Outcomes by the price list of the cost that they carry.
        unpriced: Outcomes with usage and without a price, by model.
        without_cost: Outcomes with usage that carry no cost, as those of older releases.
        billed_by: The price list by which costs were found now; empty if all are those that the outcomes carry.
    """

    lost: int = 0
    late: int = 0
    price_lists: Counter[str] = field(default_factory=Counter)
    unpriced: Counter[str] = field(default_factory=Counter)
    without_cost: int = 0
    billed_by: str = ""


class SpendingTally:
    """Sums of what a question asks for.

    Attributes:
        groups: By the question's dimensions.
        hourly: By hour and by the first dimension that is no time; None unless the question asks for it.
    """

    def __init__(
        self, question: ReportQuestion, bill: CostFinder | None = None, *, groups_max: int = GROUPS_MAX
    ) -> None:
        """`bill` finds the cost of outcomes that carry none, or of all; None: what they carry counts."""
        self.question = question
        self.groups = Breakdown(question.dimensions, groups_max=groups_max)
        self.hourly: Breakdown | None = None
        if question.by_hour:
            self.hourly = Breakdown(("hour", question.stacked_by), groups_max=_HOURLY_GROUPS_MAX)
        self.notes = TallyNotes()
        self._bill = bill
        self._places: dict[object, _Places | None] = {}
        self._names = _getter(question)
        self._foldings = 0
        self._tells_hours = question.by_hour or bool({"day", "hour"} & set(question.dimensions))
        self._from_s = question.period.since.timestamp()
        self._to_s = question.period.until.timestamp()

    def add(self, outcome: SpentOutcome, published_s: float) -> SpentOutcome | None:
        """Count an outcome if it is asked for; return it with the cost that was counted, or None.

        It belongs to the instant at which it finished; one that was not called, to that at which it was published.
        """
        finished_at = outcome.timings.finished_at
        at_s = published_s if finished_at is None else finished_at.timestamp()
        if not self._from_s <= at_s < self._to_s:
            return None
        hour = int(at_s) // HOUR_S
        places = self._places_of(outcome, hour)
        if places is None:
            return None
        if outcome.usage is not None:
            outcome = self._priced(outcome, at_s)
        for sums in places:
            sums.add(outcome)
        return outcome

    def add_total(self, key: SpendingKey, total: SpendingTotal) -> bool:
        """Count a record of the totals topic if its hour and names are asked for; return whether they are."""
        if key.hour not in self.question.period.hours or not self.question.filters.hold(key):
            return False
        for breakdown in self._breakdowns():
            breakdown.sums_of(breakdown.values_of(key)).add_total(total)
        if total.unpriced:
            _count(self.notes.unpriced, key.model, total.unpriced)
        return True

    def _priced(self, outcome: SpentOutcome, at_s: float) -> SpentOutcome:
        """Return the outcome with the cost that counts, and note which one that is."""
        notes, carried = self.notes, outcome.cost
        if carried is None:
            notes.without_cost += 1
        elif carried.price_list in notes.price_lists:
            notes.price_lists[carried.price_list] += 1
        else:
            _count(notes.price_lists, carried.price_list)
        if self._bill is not None and (carried is None or self._bill.reprices):
            outcome = self._bill.billed(outcome, at_s)
            notes.billed_by = self._bill.version
        if outcome.cost is None or outcome.cost.micro_usd is None:
            _count(notes.unpriced, outcome.model or "")
        return outcome

    def _places_of(self, outcome: SpentOutcome, hour: int) -> _Places | None:
        """Return the sums in which an outcome is counted; None if it is not asked for."""
        names = (self._names(outcome), hour if self._tells_hours else 0)
        try:
            return self._places[names]
        except KeyError:
            return self._found(names, replace(key_of(outcome), hour=hour))

    def _found(self, names: object, key: SpendingKey) -> _Places | None:
        if len(self._places) >= _KNOWN_MAX:
            self._places.clear()
        if not self.question.filters.hold(key):
            self._places[names] = None
            return None
        places = tuple(breakdown.sums_of(breakdown.values_of(key)) for breakdown in self._breakdowns())
        foldings = sum(breakdown.foldings for breakdown in self._breakdowns())
        if foldings != self._foldings:  # the sums of the places found before belong to no group any more
            self._foldings = foldings
            self._places.clear()
            return self._found(names, key)
        self._places[names] = places
        return places

    def _breakdowns(self) -> tuple[Breakdown, ...]:
        return (self.groups,) if self.hourly is None else (self.groups, self.hourly)


def _getter(question: ReportQuestion) -> Callable[[SpentOutcome], object]:
    """Return a function of an outcome whose result determines where it is counted, but for its hour."""
    used = [name for name in NAMED if name in question.dimensions or question.filters.patterns.get(name)]
    if question.by_hour and question.stacked_by not in used:
        used.append(question.stacked_by)
    fields = [field for name in used for field in _FIELDS.get(name, (name,))]
    return attrgetter(*fields) if fields else lambda _: None


def _count(counter: Counter[str], name: str, times: int = 1) -> None:
    """Count a name, within a bound of names."""
    counter[name if name in counter or len(counter) < _NAMES_MAX else OTHERS] += times
