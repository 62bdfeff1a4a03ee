"""A long steady plan in parts: which plans may be, and that the parts tell what the whole does."""

from dataclasses import replace
from typing import Any

import pytest

from headrace.broker.planner.parts import COUNTS, LEAD_IN_MS, LOAD_MAX, REQUESTS_MIN, in_parts, parts_of, together
from headrace.broker.planner.plan import Plan, quotas_for
from headrace.broker.planner.workload import HOUR_MS, RequestBatch, Span, Stream, Workload
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.behaviours.catalogue import behaviour
from headrace.broker.simulator.pricing import ChatLaw
from headrace.broker.simulator.settings import UpstreamSettings

EVEN = Span(498, 498)  # with two messages and one answer a call of 501 tokens
PER_HOUR = 60_000.0  # a thousand a minute
LOAD = 0.7
TOKENS = round(501 * 1_000 / LOAD)


def stream_of(**changes: Any) -> Stream:
    return replace(Stream("a", "urgent", per_hour=PER_HOUR, input_tokens=EVEN), **changes)


def plan_of(
    *streams: Stream,
    hours: float | None = 24,
    requests: int | None = None,
    settings: Settings | None = None,
    tokens: int | None = TOKENS,
    requests_per_minute: int | None = None,
    **upstream: Any,
) -> Plan:
    workload = Workload(streams or (stream_of(),), None if hours is None else round(hours * HOUR_MS))
    chosen = settings or Settings()
    quotas = quotas_for(chosen, workload, tokens_per_minute=tokens, requests_per_minute=requests_per_minute)
    played = UpstreamSettings(**({"latency_s": (0.5, 1.0)} | upstream))
    return Plan(chosen, workload, quotas, played, requests_max=requests)


def limited(**limit: Any) -> Plan:
    return plan_of(settings=Settings(limits={"gpt-4o-mini": limit}))


def test_a_long_steady_plan_is_played_in_parts() -> None:
    for count in COUNTS:
        hours = count * REQUESTS_MIN / PER_HOUR
        assert len(parts_of(plan_of(hours=hours))) == count
        assert len(parts_of(plan_of(hours=hours * 0.99))) < count
    assert parts_of(plan_of(hours=1)) == (plan_of(hours=1),)


PLAYED_WHOLE = {
    "batch": plan_of(stream_of(), stream_of(per_hour=0.0, batch=RequestBatch(10))),
    "rhythm": plan_of(stream_of(rhythm=(1.0,) * 12 + (2.0,) * 12)),
    "behaviour": plan_of(behaviours=(behaviour("law-change"),)),
    "hidden bucket": plan_of(burst_s=6.0),
    "tokens": plan_of(tokens=round(TOKENS * LOAD / LOAD_MAX) - 1_000),
    "requests": plan_of(requests_per_minute=1_050),
    "calls in flight": plan_of(latency_s=(20.0, 40.0)),
    "output that is charged": plan_of(law=ChatLaw.USAGE),
    "tokens of a day": limited(tokens_per_minute=TOKENS, tokens_per_day=10**9),
    "requests of a day": limited(tokens_per_minute=TOKENS, requests_per_day=10**9),
    "own cap": limited(tokens_per_minute=TOKENS, cap_tokens_per_minute=520_000),
    "own calls in flight": limited(tokens_per_minute=TOKENS, inflight_max=13),
}


@pytest.mark.parametrize("plan", PLAYED_WHOLE.values(), ids=PLAYED_WHOLE)
def test_what_changes_or_leaves_no_room_is_played_whole(plan: Plan) -> None:
    assert parts_of(plan) == (plan,)


def test_what_leaves_room_for_its_own_limits_is_played_in_parts() -> None:
    plan = limited(tokens_per_minute=TOKENS, cap_tokens_per_minute=700_000, inflight_max=16)
    assert len(parts_of(plan)) == COUNTS[0]
    assert len(parts_of(plan_of(stream_of(rhythm=(2.0,) * 24)))) == COUNTS[0]


def test_the_room_is_that_of_the_quota_that_is_played() -> None:
    assert [len(parts_of(plan_of(), factor)) for factor in (0.5, 1.0, 2.0)] == [1, COUNTS[0], COUNTS[0]]


def test_parts_have_seeds_of_their_own_that_the_plan_alone_decides() -> None:
    parts, again = parts_of(plan_of()), parts_of(plan_of())
    assert parts == again
    assert len({part.workload.seed for part in parts}) == len(parts)
    assert all(part.workload.seed == part.upstream.seed == part.times.seed for part in parts)
    other = replace(plan_of(), workload=replace(plan_of().workload, seed=8))
    assert not {part.workload.seed for part in parts} & {part.workload.seed for part in parts_of(other)}


def small(tokens: int = TOKENS // 10, hours: float | None = 0.2, requests: int | None = None) -> Plan:
    return plan_of(stream_of(per_hour=PER_HOUR / 10), tokens=tokens, hours=hours, requests=requests)


def test_parts_together_tell_what_the_whole_tells() -> None:
    plan = small()
    whole = plan.play()
    found = together(plan, [part.play() for part in in_parts(plan, 4)])
    assert (whole.parts, found.parts) == (1, 4)
    assert found.record.arrived == found.record.settled == pytest.approx(whole.record.arrived, rel=0.1)
    assert found.record.ended_ms == pytest.approx(whole.record.ended_ms, abs=5_000)
    [limit], [of_whole] = found.limits, whole.limits
    assert limit.calls == limit.requests.charged == found.record.settled
    assert limit.tokens.charged == 501 * limit.calls
    assert limit.tokens.offered == pytest.approx(of_whole.tokens.offered, rel=0.01)
    assert limit.last_admitted_ms == pytest.approx(of_whole.last_admitted_ms, abs=5_000)
    assert limit.throttled == found.throttled == found.missed == found.failed == 0
    stretches = found.timeline.lanes["urgent"]
    assert sum(stretch.called for stretch in stretches.values()) == found.record.arrived
    assert max(stretches) == pytest.approx(max(whole.timeline.lanes["urgent"]), abs=2)
    assert found.timeline.charged_most(60_000) == pytest.approx(50_100, rel=0.4)
    assert found.busiest_hour is None


def test_the_mean_of_all_parts_is_told_with_how_wrong_it_may_be() -> None:
    plan = small(tokens=30_000)
    parts = [part.play() for part in in_parts(plan, 4)]
    means = [part.record.lanes["urgent"].wait_ms.mean or 0.0 for part in parts]
    found = together(plan, parts)
    assert list(found.wait_within_ms) == ["urgent"], "the other lanes have no waits"
    assert 0 < found.wait_within_ms["urgent"] < 2 * (max(means) - min(means))
    assert min(means) <= (found.record.lanes["urgent"].wait_ms.mean or 0.0) <= max(means)


def test_so_many_requests_are_so_many_in_parts() -> None:
    plan = small(hours=None, requests=1_003)
    parts = in_parts(plan, 4)
    assert sum(part.requests_max or 0 for part in parts) == 1_003
    assert together(plan, [part.play() for part in parts]).record.settled == 1_003


def test_what_comes_in_the_lead_in_is_played_and_not_counted() -> None:
    plan = replace(small(), lead_in_ms=LEAD_IN_MS)
    outlook = plan.play()
    assert outlook.record.settled == pytest.approx(100 * 11.5, rel=0.1)
    assert outlook.limits[0].calls == pytest.approx(outlook.record.settled, abs=30), "those in flight at its end"
    assert min(outlook.timeline.lanes["urgent"]) * outlook.timeline.width_ms >= LEAD_IN_MS


def test_one_part_is_the_whole() -> None:
    outlook = plan_of(hours=0.01).play()
    assert together(plan_of(), [outlook]) is outlook
