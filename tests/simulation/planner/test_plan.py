"""A plan: the quota of each limit, other quotas for the same requests, and books that agree with each other."""

from typing import Any

import pytest

from headrace.broker.planner.plan import Plan, Quota, quotas_for
from headrace.broker.planner.workload import HOUR_MS, RequestBatch, Span, Stream, Workload
from headrace.broker.planner.workload_file import WorkloadError
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.settings import UpstreamSettings

EVEN = Span(498, 498)  # with two messages and one answer a call of 501 tokens
LIMITS = {
    "gpt-4o-mini": {"models": ["gpt-4o-mini*", "ft:gpt-4o-mini*"], "tokens_per_minute": 60_000},
    "gpt-4o": {"tokens_per_minute": 30_000, "requests_per_minute": 500, "tokens_per_day": 1_000_000},
}


def settings_of(**groups: Any) -> Settings:
    return Settings(**({"limits": LIMITS} | groups))


def plan_of(*streams: Stream, hours: float = 0.5, tokens: int | None = None, settings: Settings | None = None) -> Plan:
    workload = Workload(streams, round(hours * HOUR_MS))
    chosen = settings or settings_of()
    quotas = quotas_for(chosen, workload, tokens_per_minute=tokens, requests_per_minute=None)
    return Plan(chosen, workload, quotas, UpstreamSettings(latency_s=(0.5, 1.0)))


def test_quotas_are_those_of_the_limits_that_are_drawn_on() -> None:
    streams = (
        Stream("a", "urgent", per_hour=1, model="gpt-4o-mini"),
        Stream("b", "bulk", per_hour=1, model="ft:gpt-4o-mini:x"),
        Stream("c", "bulk", per_hour=1, model="gpt-4o"),
    )
    found = quotas_for(settings_of(), Workload(streams), tokens_per_minute=None, requests_per_minute=None)
    assert found == (
        Quota("gpt-4o-mini", ("gpt-4o-mini", "ft:gpt-4o-mini:x"), 60_000),
        Quota("gpt-4o", ("gpt-4o",), 30_000, 500, 1_000_000),
    )


def test_what_is_given_goes_before_what_is_believed() -> None:
    workload = Workload((Stream("c", "bulk", per_hour=1, model="gpt-4o"),))
    [quota] = quotas_for(settings_of(), workload, tokens_per_minute=7, requests_per_minute=9)
    assert (quota.tokens_per_minute, quota.requests_per_minute) == (7, 9)


def test_a_quota_that_nobody_knows_is_asked_for() -> None:
    workload = Workload((Stream("c", "bulk", per_hour=1, model="o3"),))
    with pytest.raises(WorkloadError, match=r"o3.*--tokens-per-minute"):
        quotas_for(settings_of(), workload, tokens_per_minute=None, requests_per_minute=None)


def test_all_of_a_quota_is_scaled() -> None:
    assert Quota("m", ("m",), 100, 10, 1_000, 50).times(1.5) == Quota("m", ("m",), 150, 15, 1_500, 75)
    assert Quota("m", ("m",), 1, 1).times(0.1) == Quota("m", ("m",), 1, 1)


def test_a_larger_quota_shortens_the_waits_of_the_same_requests() -> None:
    plan = plan_of(Stream("a", "bulk", batch=RequestBatch(600), input_tokens=EVEN))
    half, same, double = (plan.play(factor) for factor in (0.5, 1.0, 2.0))
    waits = [each.record.lanes["bulk"].wait_ms.mean or 0.0 for each in (half, same, double)]
    assert waits == sorted(waits, reverse=True)
    assert [each.record.settled for each in (half, same, double)] == [600] * 3
    assert half.limits[0].quota.tokens_per_minute == 30_000
    assert half.record.ended_ms > 1.8 * same.record.ended_ms


def test_what_was_charged_is_what_was_called() -> None:
    outlook = plan_of(Stream("a", "urgent", per_hour=600, input_tokens=EVEN)).play()
    [limit] = outlook.limits
    assert limit.calls == outlook.record.settled == limit.requests.charged
    assert limit.tokens.charged == 501 * limit.calls
    paid = sum(stretch.charged for stretch in outlook.timeline.lanes["urgent"].values())
    assert (
        paid == limit.tokens.charged + 15
    )  # before the first answer nothing is known: that call is priced the dearest
    assert limit.tokens.offered is not None
    assert limit.used == limit.tokens.charged / limit.tokens.offered
    assert outlook.throttled == outlook.missed == outlook.failed == 0


def test_limits_with_different_quotas_are_played_side_by_side() -> None:
    mini = Stream("a", "bulk", batch=RequestBatch(300), input_tokens=EVEN)
    big = Stream("b", "bulk", batch=RequestBatch(300), input_tokens=EVEN, model="gpt-4o")
    outlook = plan_of(mini, big).play()
    first, second = outlook.limits
    assert (first.calls, second.calls) == (300, 300)
    assert first.last_admitted_ms is not None
    assert second.last_admitted_ms is not None
    assert second.last_admitted_ms > 1.5 * first.last_admitted_ms
    assert outlook.throttled == 0


def test_models_of_one_limit_share_its_bucket() -> None:
    streams = [
        Stream(model, "bulk", batch=RequestBatch(150), input_tokens=EVEN, model=model)
        for model in ("gpt-4o-mini", "ft:gpt-4o-mini:x")
    ]
    outlook = plan_of(*streams).play()
    [limit] = outlook.limits
    assert limit.calls == 300
    assert limit.throttled == 0
    assert limit.last_admitted_ms is not None
    assert limit.last_admitted_ms > (300 * 501 - 60_000)  # a millisecond a token


def test_a_limit_nobody_configured_is_learned() -> None:
    plan = plan_of(Stream("a", "bulk", per_hour=400, model="o3"), tokens=100_000)
    assert plan.play().throttled == 0


def test_too_late_and_failed_are_told_apart() -> None:
    late = Stream("a", "bulk", batch=RequestBatch(300), input_tokens=EVEN, deadline_ms=60_000)
    huge = Stream("b", "standard", batch=RequestBatch(2), input_tokens=Span(70_000, 70_000))
    outlook = plan_of(late, huge).play()
    assert outlook.failed == 2
    assert outlook.record.lanes["standard"].outcomes == {"too_large": 2}
    bulk = outlook.record.lanes["bulk"]
    assert 0 < outlook.missed < 200
    assert outlook.missed == bulk.outcomes["deadline_exceeded"] + bulk.late
    assert bulk.completed + bulk.outcomes["deadline_exceeded"] == 300


def test_the_busiest_hour_is_told_of_runs_that_have_one() -> None:
    stream = Stream("a", "urgent", per_hour=120, input_tokens=EVEN)
    short, long = plan_of(stream, hours=0.5).play(), plan_of(stream, hours=3).play()
    assert short.busiest_hour is None
    assert long.busiest_hour is not None
    assert 120 * 501 / 3_600_000 < long.busiest_hour < 1.5 * 120 * 501 / 3_600_000


def test_progress_is_told_and_never_falls_back() -> None:
    heard: list[int] = []
    outlook = plan_of(Stream("a", "urgent", per_hour=600)).play(on_progress=heard.append)
    assert heard == sorted(heard)
    assert len(heard) > 20
    assert outlook.record.settled >= heard[-1] > 0


def test_requests_end_where_they_are_told_to() -> None:
    workload = Workload((Stream("a", "urgent", per_hour=3_600),), None)
    quotas = quotas_for(settings_of(), workload, tokens_per_minute=None, requests_per_minute=None)
    plan = Plan(settings_of(), workload, quotas, requests_max=50)
    assert plan.expected == 50
    assert plan.play().record.settled == 50
