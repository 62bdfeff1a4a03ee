"""The results as data: one JSON object, and what the page and the plot read."""

from typing import Any

from headrace.broker.planner.plan import LimitOutlook, Outlook, Plan
from headrace.broker.planner.quantiles import Quantiles
from headrace.broker.simulator.behaviours.catalogue import spelled

PARTS = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


def as_json(plan: Plan, outlooks: list[Outlook]) -> dict[str, Any]:
    """Return the whole report; `quotas` has an entry for each factor, including the quota as it is."""
    asked = the_one_asked_for(outlooks)
    return {
        "requests": asked.record.arrived,
        "seed": plan.workload.seed,
        "behaviours": [spelled(each) for each in plan.upstream.behaviours],
        "duration_ms": asked.record.ended_ms,
        **({"limits_left_out": list(left_out)} if (left_out := plan.left_out) else {}),
        **_told(asked),
        "quotas": [{"factor": each.factor, "duration_ms": each.record.ended_ms, **_told(each)} for each in outlooks],
    }


def the_one_asked_for(outlooks: list[Outlook]) -> Outlook:
    """Return the run on the quota as it is."""
    return next(each for each in outlooks if each.factor == 1)


def _told(outlook: Outlook) -> dict[str, Any]:
    return {
        "parts": outlook.parts,
        "lanes": {
            name: {
                "requests": lane.arrived,
                "completed": lane.completed,
                "failed": {reason: count for reason, count in sorted(lane.outcomes.items()) if reason != "completed"},
                "deadlines_missed": lane.missed,
                "calls": lane.calls,
                "throttled": lane.throttled,
                "wait_ms": _spread(lane.wait_ms) | _within(outlook, name),
                "outcome_ms": _spread(lane.outcome_ms),
            }
            for name, lane in outlook.record.lanes.items()
        },
        "limits": {limit.quota.limit: _limit(limit) for limit in outlook.limits},
        "deadlines_missed": outlook.missed,
        "throttled": outlook.throttled,
        "busiest_hour": outlook.busiest_hour,
    }


def _within(outlook: Outlook, lane: str) -> dict[str, float]:
    """Return how wrong the mean may be, which is known only for a workload played in parts."""
    within = outlook.wait_within_ms.get(lane)
    return {} if within is None else {"mean_within": within}


def _limit(limit: LimitOutlook) -> dict[str, Any]:
    quota = limit.quota
    return {
        "models": list(quota.models),
        "tokens_per_minute": quota.tokens_per_minute,
        "requests_per_minute": quota.requests_per_minute,
        "tokens_per_day": quota.tokens_per_day,
        "requests_per_day": quota.requests_per_day,
        "calls": limit.calls,
        "throttled": limit.throttled,
        "tokens": limit.tokens.as_json(),
        "requests": limit.requests.as_json(),
        **({} if limit.input_tokens is None else {"input_tokens": limit.input_tokens.as_json()}),
        "last_admitted_ms": limit.last_admitted_ms,
    }


def _spread(values: Quantiles) -> dict[str, float | None]:
    parts = {name: values.at(part) for name, part in PARTS}
    return {"count": values.count, "mean": values.mean, **parts, "max": values.largest if values.count else None}
