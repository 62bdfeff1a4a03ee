"""Views: the joined requests and outcomes of one workload, with the figures of all its calls."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from headrace.broker.spending.advice.context import Pricing
from headrace.broker.spending.advice.finding import CountTokens, Subject
from headrace.broker.spending.advice.groups import CallSums, OutcomeGroup, RequestPool
from headrace.broker.spending.advice.records import Joined
from headrace.broker.spending.advice.sampling import HASH_MAX
from headrace.schemas.outcome import Usage

SCALE_MAX: Final = 4.0
"""How far an estimate of tokens may be from what usage reports; beyond it something else was measured."""


@dataclass(slots=True)
class WorkloadView:
    """One workload: a template and a model, or the same instructions and a model.

    Attributes:
        sums: Of its answered calls, if they have a group of their own; else scaled from the joined ones.
        joined: Requests with their outcomes, at most as many as are sampled.
        count: Counts tokens of texts; None: four bytes are one.
        scale: Reported input tokens for each estimated one.
        group: The outcomes of its template and model.
        share: Its share of that group's calls.
    """

    template: str | None
    instructions: str | None
    model: str
    sums: CallSums
    joined: list[Joined]
    group: OutcomeGroup
    share: float = 1.0
    count: CountTokens | None = None
    scale: float = field(init=False)

    def __post_init__(self) -> None:
        estimated = sum(pair.request.tokens(self.price_model, self.count) for pair in self.joined)
        reported = sum(pair.outcome.input for pair in self.joined)
        scale = reported / estimated if estimated else 1.0
        self.scale = scale if 1 / SCALE_MAX <= scale <= SCALE_MAX else 1.0

    @property
    def subject(self) -> Subject:
        """What a finding about it names."""
        return Subject(self.template, self.model, self.sums.metered, self.instructions)

    @property
    def calls(self) -> int:
        """Answered calls, at least one."""
        return max(1, self.sums.metered)

    @property
    def price_model(self) -> str:
        """The model's name by which it is priced."""
        return self.group.price_model or self.model

    @property
    def tier(self) -> str:
        """The tier of most of its calls."""
        tiers = self.group.tiers
        return max(tiers, key=lambda tier: tiers[tier]) if tiers else "default"

    def usage(self, **changed: float) -> Usage:
        """Return the usage of a mean call, with some of it changed."""
        return self.sums.mean(**changed)

    def saved(self, pricing: Pricing, **changed: float) -> float | None:
        """Return what all its calls would cost less with a changed usage; None without a price."""
        paid = pricing.paid(self.sums, self.price_model)
        before, after = (self.tier, self.usage()), (self.tier, self.usage(**changed))
        remaining = pricing.remaining(self.price_model, before, after)
        return None if paid is None or remaining is None else paid * (1 - remaining)


def joined_by_group(
    groups: Mapping[tuple[str | None, str], OutcomeGroup], pools: Iterable[RequestPool]
) -> dict[tuple[str | None, str], list[Joined]]:
    """Join sampled requests and outcomes by id, and return them by the outcome's group.

    Outcomes of older releases do not name the template that their request names.
    """
    joined: dict[tuple[str | None, str], list[Joined]] = defaultdict(list)
    by_template: dict[str | None, list[OutcomeGroup]] = defaultdict(list)
    for group in groups.values():
        by_template[group.template].append(group)
    for pool in pools:
        for key, request in pool.sample.items():
            older = () if pool.template is None else by_template[None]
            for group in (*by_template[pool.template], *older):
                outcome = group.sample.get(key % HASH_MAX)
                if outcome is not None:
                    joined[group.template, group.model].append(Joined(request, outcome))
                    break
    return joined


def views_of(
    groups: Mapping[tuple[str | None, str], OutcomeGroup],
    joined: Mapping[tuple[str | None, str], list[Joined]],
    count: CountTokens | None,
) -> list[WorkloadView]:
    """Return a view of each workload of which some requests have been joined."""
    return [view for where, pairs in joined.items() for view in _views_in(groups[where], pairs, count)]


def _views_in(group: OutcomeGroup, pairs: list[Joined], count: CountTokens | None) -> list[WorkloadView]:
    if group.template is not None:
        return [WorkloadView(group.template, None, group.model, group.answered, pairs, group, count=count)]
    beginnings = Counter(pair.request.beginning for pair in pairs)
    views = []
    for beginning in beginnings:
        mine = [pair for pair in pairs if pair.request.beginning == beginning]
        share = len(mine) / len(pairs)
        sums = scaled(mine, group.answered.metered * share)
        views.append(WorkloadView(None, beginning, group.model, sums, mine, group, share, count))
    return views


def scaled(pairs: list[Joined], calls: float) -> CallSums:
    """Return the sums of `calls` calls that are like those of the pairs."""
    factor = calls / max(1, len(pairs))
    outcomes = [pair.outcome for pair in pairs]
    prices = [outcome.pico_usd for outcome in outcomes if outcome.pico_usd is not None]
    return CallSums(
        metered=round(calls),
        input_tokens=round(sum(each.input for each in outcomes) * factor),
        cached_tokens=round(sum(each.cached for each in outcomes) * factor),
        output_tokens=round(sum(each.output for each in outcomes) * factor),
        pico_usd=round(sum(prices) * factor),
        unpriced=len(outcomes) - len(prices),
    )


def quantile_of_values(values: Iterable[float], share: float) -> float:
    """Return the value below which a share of some values lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.floor(share * len(ordered)))] if ordered else 0.0
