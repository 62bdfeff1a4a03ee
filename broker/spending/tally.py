"""Tally of one reading of outcomes or totals: sums by group and over time, and what must be said beside them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from typing import Final

from headrace.broker.spending.billing import CostFinder
from headrace.broker.spending.breakdown import GROUPS_MAX, Breakdown
from headrace.broker.spending.question import ReportQuestion
from headrace.broker.spending.sums import NAMED, SpendingSums, key_of, tier_of
from headrace.broker.spending.timeline import SpendingTimeline
from headrace.schemas.spending import HOUR_S, OTHERS, AnySpent, SpendingKey, SpendingTotal, SpentOutcome

_KNOWN_MAX: Final = 50_000
"""Combinations of names whose sums are found by one look-up; beyond it the look-ups begin anew."""
_FIELDS: Final = {"tier": ("tier_served", "tier_asked")}
"""Fields of an outcome from which a dimension is taken, unless it is the one field of that name."""
_NAMES_MAX: Final = 1_000


@dataclass(slots=True)
class TallyNotes:
    """What is said beside the sums.

    Attributes:
        unreadable: Records that are no outcomes, or no totals, or cannot be read.
        too_late: Totals that came more than a day after their hour; they are not counted.
        price_lists: Outcomes by the price list of the cost that they carry.
        unpriced: Outcomes with usage for which a price list has no price, by model.
        priced_by: The price list by which costs were found now; empty if all are those that the outcomes carry.
        priced_here: Outcomes with usage that carry no cost and were given one now.
        begins_at: Where the oldest record of the topic is, if that is within the period; None: there are older ones.
    """

    unreadable: int = 0
    too_late: int = 0
    price_lists: Counter[str] = field(default_factory=Counter)
    unpriced: Counter[str] = field(default_factory=Counter)
    priced_by: str = ""
    priced_here: int = 0
    begins_at: datetime | None = None


class SpendingTally:
    """Sums of what a question asks for.

    Attributes:
        groups: By the question's dimensions.
        timeline: Cost and tokens over time, by the first dimension that is no time; None unless it is asked for.
    """

    def __init__(
        self, question: ReportQuestion, costs: CostFinder | None = None, *, groups_max: int = GROUPS_MAX
    ) -> None:
        """`costs` finds the cost of outcomes that carry none, or of all; None: what they carry counts."""
        self.question = question
        self.groups = Breakdown(question.dimensions, groups_max=groups_max)
        self.timeline = SpendingTimeline(question.period) if question.by_hour else None
        self.notes = TallyNotes()
        self._costs = costs
        self._known: dict[object, SpendingSums | None] = {}
        self._names = _getter(_used(question))
        self._foldings = 0
        self._tells_hours = bool({"day", "hour"} & set(question.dimensions))
        self._from_s = question.period.since.timestamp()
        self._to_s = question.period.until.timestamp()

    def add(self, outcome: AnySpent, published_s: float) -> AnySpent | None:
        """Count an outcome if it is asked for; return it with the cost that was counted, or None.

        It belongs to the instant at which it finished; one that was not called, to that at which it was published.
        """
        finished_at = outcome.timings.finished_at
        at_s = published_s if finished_at is None else finished_at.timestamp()
        if not self._from_s <= at_s < self._to_s:
            return None
        hour = int(at_s) // HOUR_S
        sums = self._sums_of(outcome, hour)
        if sums is None:
            return None
        usage = outcome.usage
        if usage is not None:
            outcome = self._priced(outcome, at_s)
        sums.add(outcome)
        if self.timeline is not None:
            tokens = 0 if usage is None else usage.input_tokens + usage.output_tokens
            pico_usd = 0 if outcome.cost is None else outcome.cost.pico_usd or 0
            self.timeline.add(self._stacked_value(outcome), hour, pico_usd, tokens)
        return outcome

    def add_total(self, key: SpendingKey, total: SpendingTotal) -> bool:
        """Count a record of the totals topic if its hour and names are asked for; return whether they are."""
        if key.hour not in self.question.period.hours or not self.question.filters.hold(key):
            return False
        self.groups.sums_of(self.groups.values_of(key)).add_total(total)
        if self.timeline is not None:
            value = str(getattr(key, self.question.stacked_by))
            self.timeline.add(value, key.hour, total.pico_usd, total.input_tokens + total.output_tokens)
        if total.unpriced:
            _count(self.notes.unpriced, key.model, total.unpriced)
        return True

    def _priced(self, outcome: AnySpent, at_s: float) -> AnySpent:
        """Return the outcome with the cost that counts, and note which one that is."""
        notes, carried = self.notes, outcome.cost
        if carried is not None:
            _count(notes.price_lists, carried.price_list)
        if self._costs is not None and (carried is None or self._costs.reprices):
            outcome = self._costs.priced(outcome, at_s)
            notes.priced_by = self._costs.version
            notes.priced_here += carried is None
        if outcome.cost is not None and outcome.cost.pico_usd is None:
            _count(notes.unpriced, outcome.model or "")
        return outcome

    def _sums_of(self, outcome: SpentOutcome, hour: int) -> SpendingSums | None:
        """Return the sums in which an outcome is counted; None if it is not asked for."""
        names = (self._names(outcome), hour) if self._tells_hours else self._names(outcome)
        try:
            return self._known[names]
        except KeyError:
            return self._found(names, replace(key_of(outcome), hour=hour))

    def _found(self, names: object, key: SpendingKey) -> SpendingSums | None:
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        sums = self.groups.sums_of(self.groups.values_of(key)) if self.question.filters.hold(key) else None
        if self.groups.foldings != self._foldings:  # the sums found before belong to no group any more
            self._foldings = self.groups.foldings
            self._known.clear()
        self._known[names] = sums
        return sums

    def _stacked_value(self, outcome: SpentOutcome) -> str:
        """Return the value of the dimension by which the timeline is told apart."""
        if self.question.stacked_by == "tier":
            return tier_of(outcome)
        return getattr(outcome, self.question.stacked_by) or ""


def _used(question: ReportQuestion) -> list[str]:
    """Return the dimensions that decide where an outcome is counted, but for its hour."""
    return [name for name in NAMED if name in question.dimensions or question.filters.patterns.get(name)]


def _getter(names: Sequence[str]) -> Callable[[SpentOutcome], object]:
    """Return a function whose result tells outcomes apart that differ in these dimensions."""
    fields = [field for name in names for field in _FIELDS.get(name, (name,))]
    return attrgetter(*fields) if fields else lambda _: None


def _count(counter: Counter[str], name: str, times: int = 1) -> None:
    """Count a name, within a bound of names."""
    counter[name if name in counter or len(counter) < _NAMES_MAX else OTHERS] += times
