"""The meters of an account: the given limits, as behaviours modify them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from headrace.broker.simulator.admission import DAY_US, MINUTE_US, SECOND_US, Metric, RefusedCost
from headrace.broker.simulator.behaviours import enforcement
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.enforcement import Kind
from headrace.broker.simulator.meters.bucket import Bucket
from headrace.broker.simulator.meters.fixed_window import FixedWindow
from headrace.broker.simulator.meters.sliding_window import SlidingWindow
from headrace.broker.simulator.meters.two_windows import TwoWindows

Meter = Bucket | FixedWindow | SlidingWindow | TwoWindows


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits every model gets. `requests_per_day` is enforced too and, as recorded, hides the minute in headers."""

    tokens_per_minute: int
    requests_per_minute: int
    requests_per_day: int | None = None
    burst_us: int | None = None
    refused_cost: RefusedCost = RefusedCost.NOTHING


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit to enforce: `limit` units a period, metered over a window that is hidden when it is shorter.

    Attributes:
        metric: Its unit.
        limit: Units a period.
        period_us: The period, as answers state it.
        window_us: The time over which it is metered.
        kind: How.
        project: It is the project's.
        mark_us: How long before the opening a window began.
        shown: Headers and messages may state it.
        uncached: The share of input tokens that it counts.
    """

    metric: Metric
    limit: int
    period_us: int
    window_us: int
    kind: Kind = Kind.BUCKET
    project: bool = False
    mark_us: int = 0
    shown: bool = True
    uncached: float = 1.0

    def scaled(self, factor: float) -> "Rule":
        """Return the same rule with another limit; daily ones stay as they are."""
        return replace(self, limit=scaled(self.limit, self.period_us, factor))

    def meter(self, now_us: int, mark_us: int) -> Meter:
        """Create an unused meter; windows begin at `mark_us`, less the rule's own, and at whole windows from it."""
        mark_us -= self.mark_us
        match self.kind:
            case Kind.BUCKET:
                return Bucket(self.limit, self.period_us, self.window_us, now_us)
            case Kind.FIXED:
                return FixedWindow(self.limit, self.period_us, self.window_us, now_us, mark_us=mark_us)
            case Kind.SLIDING:
                return SlidingWindow(self.limit, self.period_us, now_us)
            case Kind.TWO:
                return TwoWindows(self.limit, self.period_us, now_us, mark_us=mark_us)


def scaled(limit: int, period_us: int, factor: float) -> int:
    """Multiply a limit by a factor, unless it is a day's."""
    return limit if period_us >= DAY_US else max(1, round(limit * factor))


def rules_of(limits: Limits, behaviours: Sequence[Behaviour]) -> list[Rule]:
    """Return all limits of a model. Of contradicting behaviours the last wins; windows replace all but daily limits."""
    windows = [played for played in behaviours if isinstance(played, enforcement.EnforcedWindow)]
    if windows:
        return [*(_of_window(limits, window) for window in windows), *_daily(limits, behaviours)]
    kind, period_us = _metering(behaviours)
    shown = [
        Rule(metric, max(1, per_minute * period_us // MINUTE_US), period_us, period_us, kind)
        for metric, per_minute in (
            (Metric.TOKENS, limits.tokens_per_minute),
            (Metric.REQUESTS, _requests_per_minute(limits, behaviours)),
        )
    ]
    rules = [*shown, *_daily(limits, behaviours)]
    for window_us, hidden in _hidden(limits, behaviours):
        rules += [replace(rule, window_us=window_us, kind=hidden) for rule in shown if window_us < period_us]
    for behaviour in behaviours:
        if isinstance(behaviour, enforcement.ProjectLimits):
            rules += [replace(rule.scaled(behaviour.share), project=True) for rule in shown]
    return rules


def _of_window(limits: Limits, window: enforcement.EnforcedWindow) -> Rule:
    counts_requests = window.counts is Metric.REQUESTS
    per_minute = limits.requests_per_minute if counts_requests else limits.tokens_per_minute
    period_us = round(window.seconds * SECOND_US)
    return Rule(
        window.counts,
        max(1, round(per_minute * window.factor * period_us / MINUTE_US)),
        period_us,
        period_us,
        window.kind,
        mark_us=round(window.mark_s * SECOND_US),
        shown=window.shown,
        uncached=1.0 - window.cached,
    )


def refused_cost_of(limits: Limits, behaviours: Sequence[Behaviour]) -> RefusedCost:
    """Return the cost of a refusal."""
    costs = [behaviour.cost for behaviour in behaviours if isinstance(behaviour, enforcement.ChargedRefusals)]
    return costs[-1] if costs else limits.refused_cost


def shared_limit_of(model: str, behaviours: Sequence[Behaviour]) -> enforcement.SharedLimit | None:
    """Return the limit `model` shares with others, or None when it has its own."""
    for behaviour in behaviours:
        if isinstance(behaviour, enforcement.SharedLimit) and any(
            fnmatchcase(model, pattern) for pattern in behaviour.models
        ):
            return behaviour
    return None


def _metering(behaviours: Sequence[Behaviour]) -> tuple[Kind, int]:
    kind, seconds = Kind.BUCKET, 60.0
    for behaviour in behaviours:
        match behaviour:
            case enforcement.Period():
                kind, seconds = Kind.BUCKET, behaviour.seconds
            case enforcement.FixedWindows():
                kind, seconds = Kind.FIXED, behaviour.seconds
            case enforcement.SlidingWindows():
                kind, seconds = Kind.SLIDING, behaviour.seconds
            case enforcement.ApproximateWindows():
                kind, seconds = Kind.TWO, behaviour.seconds
            case _:
                pass
    return kind, round(seconds * SECOND_US)


def _requests_per_minute(limits: Limits, behaviours: Sequence[Behaviour]) -> int:
    bounds = [
        behaviour.requests_per_minute for behaviour in behaviours if isinstance(behaviour, enforcement.RequestBound)
    ]
    return bounds[-1] if bounds else limits.requests_per_minute


def _daily(limits: Limits, behaviours: Sequence[Behaviour]) -> Iterator[Rule]:
    if limits.requests_per_day is not None:
        yield Rule(Metric.REQUESTS, limits.requests_per_day, DAY_US, DAY_US)
    for behaviour in behaviours:
        if isinstance(behaviour, enforcement.PerDay):
            if behaviour.requests is not None:
                yield Rule(Metric.REQUESTS, behaviour.requests, DAY_US, DAY_US)
            if behaviour.tokens is not None:
                yield Rule(Metric.TOKENS, behaviour.tokens, DAY_US, DAY_US)


def _hidden(limits: Limits, behaviours: Sequence[Behaviour]) -> Iterator[tuple[int, Kind]]:
    if limits.burst_us is not None:
        yield limits.burst_us, Kind.BUCKET
    for behaviour in behaviours:
        if isinstance(behaviour, enforcement.HiddenBucket):
            yield round(behaviour.seconds * SECOND_US), Kind.BUCKET
        elif isinstance(behaviour, enforcement.Quantised):
            yield round(behaviour.seconds * SECOND_US), Kind.FIXED
