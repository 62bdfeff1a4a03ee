"""Statuses as dispatchers report them, with whatever a test changes."""

from typing import Any

from headrace.broker.service.status.reading import Report, StatusReading


def bucket(metric: str = "tokens", low: int = 6_000, high: int = 6_200, **fields: Any) -> dict[str, Any]:
    return {"metric": metric, "capacity": 10_000, "period_s": 60.0, "level_low": low, "level_high": high} | fields


def limit(**fields: Any) -> dict[str, Any]:
    return {
        "believed": True,
        "breaker": "closed",
        "rests_s": 0.0,
        "paused_s": 0.0,
        "next_call_s": None,
        "inflight": 0,
        "waiting": 0,
        "buckets": [bucket()],
    } | fields


def lane(**fields: Any) -> dict[str, Any]:
    quiet = {"waiting": 0, "waiting_tokens": 0, "waiting_seconds": 0.0, "calling": 0, "settled": 0, "oldest_s": 0.0}
    return quiet | fields


def said(**fields: Any) -> dict[str, Any]:
    return {
        "name": "default",
        "topic_prefix": "generation",
        "owner": "token-a",
        "host": "pod-7",
        "pid": 12,
        "role": "leader",
        "leader": "token-a",
        "term": 3,
        "leading_since": "2026-12-01T09:00:00.000Z",
        "ready": {"kafka": True, "redis": True},
        "trouble": None,
        "inflight": 2,
        "held_bytes": 131_072,
        "lanes": {"urgent": lane(), "bulk": lane()},
        "limits": {"gpt-4o-mini": limit()},
        "models": {},
        "outcomes": {"completed": 7},
        "dedupe": {"ids": 9, "window_s": 3_600},
    } | fields


def report(status: dict[str, Any] | None, **fields: Any) -> Report:
    found: dict[str, Any] = {"age_s": None if status is None else 0.4, "kind": "redis", "place": "headrace:c:g:status"}
    return Report(said=status, **(found | {"holder": "token-a", "standbys": 1} | fields))


def look(status: dict[str, Any] | None, **fields: Any) -> StatusReading:
    return StatusReading("generation", report(status, **fields))
