"""Levels of limits, as operators see them: a gauge for each bucket, which ends with it."""

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import Verdict
from headrace.broker.core.budget.budget import Budget


class LimitLevels:
    """The buckets of each limit that are shown."""

    def __init__(self, meter: Meter) -> None:
        """Show none so far."""
        self._meter = meter
        self._shown: dict[str, set[str]] = {}

    def observe(self, limit: str, budget: Budget, now_ms: int) -> None:
        """Show capacity and level of each bucket, and what part of tokens is used; withdraw those that are gone."""
        charged, shown = budget.charged_last_minute(now_ms), set[str]()
        for level in (*budget.levels(now_ms), *budget.sides.levels(now_ms)):
            of_tokens = level.metric is LimitMetric.TOKENS and not level.kind
            used = charged * level.period_ms / (level.capacity * MINUTE_MS) if of_tokens else None
            bucket = _name(level.counts, level.period_ms, project=level.project)
            self._meter.limit(limit, bucket, level.capacity, level.low, used)
            shown.add(bucket)
        for bucket in self._shown.get(limit, set()) - shown:
            self._meter.bucket_forgotten(limit, bucket)
        self._shown[limit] = shown

    def forget(self, limit: str) -> None:
        """Forget a limit that has no queues any more."""
        self._shown.pop(limit, None)


def refusing_bucket(verdict: Verdict) -> str:
    """Name the bucket that refused, as its gauge is named; a server may not say."""
    stated, side = verdict.snapshot, verdict.side_limit
    if side is not None and side.period_ms is not None:
        return _name(side.metric, side.period_ms, project=side.project)
    return "unstated" if stated is None else _name(stated.metric, stated.period_ms, project=stated.project)


def _name(counts: str, period_ms: int, *, project: bool) -> str:
    """Return the label of one bucket, such as `tokens/60s`, or `project-tokens/60s` of a project's."""
    return f"{'project-' if project else ''}{counts}/{period_ms // 1_000}s"
