"""A leader that starts with other lanes, shares and weights serves what waits: nothing is lost, nothing reordered."""

import asyncio
import json
import signal
from pathlib import Path

import pytest

from headrace.broker.local.services import LocalServices
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings
from tests.integration.fleet import Fleet, producing, read_all, request, send

TOKENS, REQUESTS = 10_000, 40
LIMITS = {"gpt-4o-mini": {"tokens_per_minute": TOKENS, "requests_per_minute": 600, "charge_law": "chat-2025"}}
BEFORE = {"HEADRACE_LIMITS": json.dumps(LIMITS)}
AFTER = {
    "HEADRACE_LANES": json.dumps(
        {
            "urgent": {"order": 1, "reserve": 0.1},
            "standard": {"order": 3, "floor": 0.3, "lift": 0.0},
            "bulk": {"order": 2, "floor": 0.2, "buffer_max": 20, "ceiling": 0.8},
        }
    ),
    "HEADRACE_TENANTS": json.dumps({"acme": {"weight": 3}, "*": {"inflight_max": 30}}),
}


@pytest.mark.timeout(150)
async def test_who_waits_is_served_in_its_order_by_a_leader_with_other_settings(
    services: LocalServices, tmp_path: Path
) -> None:
    played = UpstreamSettings(TOKENS, requests_per_minute=600, law="chat-2025", latency_s=(0.05, 0.1), seed=5, port=0)
    async with (
        Upstream(played) as upstream,
        Fleet(services, "changed", upstream.base_url, tmp_path, BEFORE) as fleet,
        producing(fleet) as producer,
    ):
        first = await fleet.start()
        await fleet.until(first, "leader")
        ids = [f"lead-{number:03}" for number in range(REQUESTS)]
        await send(producer, fleet, "bulk", [request(each, tenant="acme") for each in ids], partition=0)
        async with asyncio.timeout(30):
            while len(upstream.books(ids=True).ids or ()) < REQUESTS // 2:
                await asyncio.sleep(0.05)
        first.send(signal.SIGTERM)
        assert await first.ended() == 0
        called_before = len(upstream.books(ids=True).ids or ())
        second = await fleet.start(**AFTER)
        status = await fleet.until(second, "leader")
        ledger = await read_all(fleet, "results", until=REQUESTS, within_s=90)
        books = upstream.books(ids=True)
    assert 0 < called_before < REQUESTS
    assert list(status["lanes"]) == ["urgent", "standard", "bulk"]
    assert ledger.counts() == {(each, 0): 1 for each in ids}
    assert {value["status"] for value in ledger.values} == {"completed"}
    called = list(books.ids or ())
    assert sorted(called[:called_before]) == ids[:called_before]
    assert called[called_before:] == ids[called_before:], "in the order in which they were sent, one every two seconds"
    assert [name for name, count in (books.ids or {}).items() if count.calls != 1] == [], books
