"""Answers of other servers as they were recorded, and what their collectors read from them.

Each row has what a reader would say of it: the meanings that are right, the wait, the limit, the buckets in headers,
the charge. `MISSES` names what is read differently, and why.
"""

from collections import Counter
from typing import Any

import pytest

from headrace.broker.core.answers.rate_limit_headers import Reading, SideReading
from headrace.broker.core.answers.rate_limit_messages import StatedLimit
from headrace.broker.core.answers.verdict import Verdict, judge
from tests.unit.core import recorded

ROWS = recorded.others()
SCORED = [row for row in ROWS if row["scored"]]
MISSES = {
    ("mistral-capacity", "verdict"): "a tier without capacity has a meaning of its own since: tier_unavailable",
    (
        "together-headers-2024",
        "levels",
    ): "bare x-ratelimit-* state no period, and other servers mean other ones by them",
}


def read_otherwise(row: dict[str, Any], verdict: Verdict) -> set[str]:
    """What of the verdict is not as its collector read it."""
    buckets: list[Reading | SideReading] = [*verdict.readings, *verdict.side_readings]
    levels = {level_of(bucket) for bucket in buckets}
    found = {"verdict": verdict.meaning.value in row["want"]}
    if row["wait_ms"]:
        least_ms, most_ms = row["wait_ms"]
        found["wait"] = verdict.wait_ms is not None and least_ms <= verdict.wait_ms <= most_ms
    if row["limit"]:
        found["limit"] = verdict.limit is not None and all(
            same(name, getattr(verdict.limit, name), wanted) for name, wanted in row["limit"].items()
        )
    if "limits" in row:
        found["levels"] = levels >= {tuple(level) for level in row["limits"]}
    if "levels" in row:
        wanted = {
            (level["metric"], level["capacity"], level["remaining"], level["period_ms"]) for level in row["levels"]
        }
        found["levels"] = levels == wanted
    if "charge" in row:
        found["charge"] = verdict.charge == row["charge"].get("tokens")
    return {name for name, right in found.items() if not right}


def level_of(bucket: Reading | SideReading) -> tuple[str, int, int, int | None]:
    kind = bucket.metric.value if isinstance(bucket, Reading) else bucket.kind
    return kind, bucket.capacity, bucket.remaining, bucket.period_ms


def same(name: str, found: object, wanted: object) -> bool:
    """Some collectors call tokens of input plainly tokens, as `headrace explain --json` does."""
    return found == wanted or (name == "metric" and wanted == "tokens" and str(found).endswith("-tokens"))


@pytest.mark.parametrize("row", SCORED, ids=lambda row: row["id"])
def test_an_answer_is_read_as_its_collector_read_it(row: dict[str, Any]) -> None:
    verdict = judge(recorded.others_answer(row))
    missed = {what for name, what in MISSES if name == row["id"]}
    assert read_otherwise(row, verdict) == missed, verdict
    assert isinstance(verdict.limit, StatedLimit | None)


def test_nearly_everything_that_is_stated_is_read() -> None:
    asked, right = Counter[str](), Counter[str]()
    for row in SCORED:
        stated = {"verdict": True, "wait": row["wait_ms"], "limit": row["limit"]}
        otherwise = read_otherwise(row, judge(recorded.others_answer(row)))
        asked.update(name for name, given in stated.items() if given)
        right.update(name for name, given in stated.items() if given and name not in otherwise)
    assert asked["verdict"] >= 170
    assert right["verdict"] * 100 >= 97 * asked["verdict"]
    assert right["wait"] * 100 >= 95 * asked["wait"] > 0
    assert right["limit"] * 100 >= 95 * asked["limit"] > 0


def test_only_a_bucket_that_refused_and_is_stated_exactly_is_believed() -> None:
    """No window, no count of input tokens, no limit of a gateway's key becomes a bucket of the budget."""
    for row in ROWS:
        verdict = judge(recorded.others_answer(row))
        if verdict.snapshot is not None:
            assert verdict.limit is not None
            assert (verdict.snapshot.metric, verdict.snapshot.period_ms) == (
                verdict.limit.metric,
                verdict.limit.period_ms,
            )
            assert verdict.snapshot.capacity == verdict.limit.capacity
            assert verdict.meaning.value in {"rate_limited", "too_large"}
    believed = {row["id"] for row in ROWS if judge(recorded.others_answer(row)).snapshot is not None}
    assert {"github-models-day-57829s", "moonshot-rpm-20", "gemini-free-day-limit-retry-36s"} <= believed
    assert not {"azure-foundry-uncached", "anthropic-bare", "litellm-old-limits", "xai-tokens"} & believed


def test_every_budgeted_level_has_its_period_in_the_order_of_their_lengths() -> None:
    for row in ROWS:
        for metric in ("tokens", "requests"):
            named = [
                reading
                for reading in judge(recorded.others_answer(row)).readings
                if reading.metric == metric and reading.named
            ]
            periods = [reading.period_ms or 0 for reading in named]
            assert periods == sorted(periods)
            assert all(periods)


def test_the_table_of_what_other_servers_answers_became_is_up_to_date() -> None:
    rewrite = "look at the difference, then: python -m tests.unit.core.recorded"
    assert recorded.others_table() == recorded.OTHERS.read_text(encoding="utf-8"), rewrite
