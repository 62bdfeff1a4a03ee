"""Sums over outcomes: of one key, or of many that are put together."""

from collections import Counter
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final

from headrace.broker.spending.sizes import bucket_of
from headrace.schemas.outcome import Cost, Usage
from headrace.schemas.spending import HOUR_S, SpendingKey, SpendingTotal, Spent, SpentOutcome

NAMED: Final = ("lane", "model", "tenant", "template", "tier")
"""Dimensions that an outcome names."""
DEFAULT_TIER: Final = "default"


def hour_of(at: datetime) -> int:
    """Return the hour of an instant, counted from 1970, UTC."""
    return int(at.timestamp()) // HOUR_S


def key_of(outcome: SpentOutcome | Spent, published_at: datetime | None = None) -> SpendingKey:
    """Return what an outcome is counted under.

    Its hour is that in which it finished. An outcome without such an instant, as those of requests that were never
    called, counts in the hour of `published_at` (the header `ce_time` of its record), else in the hour 0.
    """
    at = outcome.timings.finished_at or published_at
    return SpendingKey(
        hour=0 if at is None else hour_of(at),
        lane=outcome.lane or "",
        model=outcome.model or "",
        tenant=outcome.tenant or "",
        template=outcome.template or "",
        tier=tier_of(outcome),
        band="" if outcome.cost is None else outcome.cost.band,
    )


def tier_of(outcome: SpentOutcome | Spent) -> str:
    """Return the tier that an outcome is counted under."""
    return outcome.tier_served or outcome.tier_asked or DEFAULT_TIER


@dataclass(slots=True)
class UsageSums:
    """Mutable sums over calls with usage.

    `metered` is their number. Of them `unpriced` have a cost without an amount, since the price list does not have it,
    and `without_cost` carry no cost at all: costs were switched off, or the release was older.
    """

    metered: int = 0
    unpriced: int = 0
    without_cost: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    pico_usd: int = 0

    @property
    def priced(self) -> int:
        """Calls whose cost is known."""
        return self.metered - self.unpriced - self.without_cost

    @property
    def tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    @property
    def tokens_mean(self) -> float | None:
        """Mean tokens of a call; None: there are none."""
        return self.tokens / self.metered if self.metered else None

    @property
    def cached_share(self) -> float | None:
        """Share of the input that came out of OpenAI's cache; None: there is no input.

        An answer may state more cached tokens than input.
        """
        return min(1.0, self.cached_tokens / self.input_tokens) if self.input_tokens else None

    def add_usage(self, usage: Usage, cost: Cost | None) -> None:
        """Count one call."""
        self.metered += 1
        self.input_tokens += usage.input_tokens
        self.cached_tokens += usage.cached_tokens
        self.cache_write_tokens += usage.cache_write_tokens
        self.output_tokens += usage.output_tokens
        if cost is None:
            self.without_cost += 1
        elif (pico_usd := cost.pico_usd) is None:
            self.unpriced += 1
        else:
            self.pico_usd += pico_usd

    def add_usages(self, other: "UsageSums") -> None:
        """Add what is summed already."""
        for name in _USAGE_COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_USAGE_COUNTS = tuple(each.name for each in fields(UsageSums))


@dataclass(slots=True)
class SpendingSums(UsageSums):
    """Mutable sums over outcomes; the fields are those of `SpendingTotal`."""

    outcomes: int = 0
    completed: int = 0
    calls: int = 0
    cut: int = 0
    charge_tokens: int = 0
    image_tokens: int = 0
    reasoning_tokens: int = 0
    failed_pico_usd: int = 0
    cut_pico_usd: int = 0
    sizes: Counter[int] = field(default_factory=Counter)

    @property
    def weight(self) -> tuple[int, int, int]:
        """What sums are ordered by: money, then tokens, then outcomes."""
        return self.pico_usd, self.tokens, self.outcomes

    def add(self, outcome: SpentOutcome | Spent) -> None:
        """Count one outcome."""
        self.outcomes += 1
        self.completed += outcome.status == "completed"
        self.calls += outcome.attempts
        self.cut += outcome.finish == "length"
        self.charge_tokens += outcome.charge_tokens or 0
        usage = outcome.usage
        if usage is None:
            return
        before = self.pico_usd
        self.add_usage(usage, outcome.cost)
        self.image_tokens += usage.image_tokens
        self.reasoning_tokens += usage.reasoning_tokens
        self.sizes[bucket_of(usage.input_tokens + usage.output_tokens)] += 1
        if outcome.status == "failed":
            self.failed_pico_usd += self.pico_usd - before
        if outcome.finish == "length":
            self.cut_pico_usd += self.pico_usd - before

    def add_total(self, total: "SpendingTotal | SpendingSums") -> None:
        """Add what is summed already."""
        for name in _COUNTS:
            if amount := getattr(total, name):
                setattr(self, name, getattr(self, name) + amount)
        self.sizes.update(total.sizes)

    def change(self, difference: "Difference") -> None:
        """Add a difference, which may be negative."""
        for name, amount in difference.counts:
            setattr(self, name, getattr(self, name) + amount)
        for bucket, count in difference.sizes:
            self.sizes[bucket] += count
            if not self.sizes[bucket]:
                del self.sizes[bucket]

    def fields(self) -> dict[str, Any]:
        """Return the sums that are not zero, for the wire: in a fifth of the time that a `SpendingTotal` takes."""
        amounts: dict[str, Any] = {name: amount for name in _COUNTS if (amount := getattr(self, name))}
        if self.sizes:
            amounts["sizes"] = self.sizes
        return amounts


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two states of one sum: few of its fields, so that it is quickly added to many others."""

    counts: tuple[tuple[str, int], ...]
    sizes: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, now: SpendingTotal, before: "SpendingSums | None") -> "Difference":
        """Return what `now` says more than `before`."""
        if before is None:
            return cls(tuple((name, getattr(now, name)) for name in _COUNTS), tuple(now.sizes.items()))
        counts = ((name, getattr(now, name) - getattr(before, name)) for name in _COUNTS)
        buckets = now.sizes.keys() | before.sizes.keys()
        sizes = ((bucket, now.sizes.get(bucket, 0) - before.sizes.get(bucket, 0)) for bucket in buckets)
        return cls(tuple(each for each in counts if each[1]), tuple(each for each in sizes if each[1]))


_COUNTS = tuple(each.name for each in fields(SpendingSums) if each.name != "sizes")
