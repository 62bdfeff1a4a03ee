"""A service tier without capacity, in virtual time against the simulated OpenAI."""

import pytest

from headrace.broker.planner.plan import Plan, quotas_for
from headrace.broker.planner.workload import HOUR_MS, RequestBatch, Span, Stream, Workload
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.behaviours.catalogue import parsed
from headrace.broker.simulator.settings import UpstreamSettings

SIZE = Span(400, 600)
MINUTE_MS = 60_000


def played(*streams: Stream, hours: float, behaviour: str, latency_s: tuple[float, float] = (0.5, 2.0)) -> Plan:
    settings = Settings(limits={"gpt-4o-mini": {"models": ["gpt-4o-mini*"], "tokens_per_minute": 60_000}})
    workload = Workload(streams, round(hours * HOUR_MS))
    quotas = quotas_for(settings, workload, tokens_per_minute=None, requests_per_minute=None)
    return Plan(settings, workload, quotas, UpstreamSettings(latency_s=latency_s, behaviours=(parsed(behaviour),)))


def test_bulk_of_a_refused_tier_loses_none_of_its_requests_and_delays_no_urgent_one() -> None:
    """Before, 17 of 20 failed as exhausted after 63 s, and urgent requests waited 2 s behind the limit's breaker."""
    outlook = played(
        Stream("flex", "bulk", batch=RequestBatch(20), service_tier="flex", input_tokens=SIZE),
        Stream("urgent", "urgent", per_hour=600, input_tokens=SIZE),
        hours=6,
        behaviour="flex-refused:to_s=18000",
    ).play()
    bulk, urgent = outlook.record.lanes["bulk"], outlook.record.lanes["urgent"]
    assert (bulk.completed, bulk.failed, bulk.late) == (20, 0, 0)
    assert (urgent.completed, urgent.failed) == (urgent.arrived, 0)
    assert (urgent.wait_ms.at(0.99) or 0) < 50
    assert outlook.limits[0].calls < urgent.arrived + 20 + 1_200


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_scarce_tier_is_used(share: float) -> None:
    outlook = played(
        Stream("flex", "bulk", per_hour=600, service_tier="flex", input_tokens=SIZE, deadline_ms=10 * MINUTE_MS),
        Stream("usual", "bulk", per_hour=600, input_tokens=SIZE),
        hours=1,
        behaviour=f"flex-scarce:rate={share}",
    ).play()
    bulk = outlook.record.lanes["bulk"]
    assert bulk.completed >= 0.99 * bulk.arrived


@pytest.mark.parametrize("call_s", [2.0, 60.0])
def test_after_an_outage_a_tier_is_used_again_within_minutes(call_s: float) -> None:
    """A probe that is cut off at its deadline shows nothing: it must be one that can be answered."""
    outlook = played(
        Stream("flex", "bulk", per_hour=1_800, service_tier="flex", input_tokens=SIZE, deadline_ms=10 * MINUTE_MS),
        hours=1,
        behaviour="flex-refused:to_s=1800",
        latency_s=(call_s, call_s),
    ).play()
    bulk = outlook.record.lanes["bulk"]
    assert bulk.completed > 0.6 * bulk.arrived
