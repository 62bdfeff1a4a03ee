import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest

from headrace.broker.simulator.naive import NaiveRequest, run_naive
from headrace.broker.simulator.upstream import Scripted, Upstream, UpstreamSettings


def leads(count: int, **given: Any) -> list[NaiveRequest]:
    return [
        NaiveRequest(f"lead-{number}", {"model": "m", "messages": [{"role": "user", "content": f"{number}"}]}, **given)
        for number in range(count)
    ]


async def test_with_quota_to_spare_everything_is_answered_once() -> None:
    told = itertools.count()
    async with Upstream(UpstreamSettings(latency_s=(0.0, 0.02))) as upstream:
        report = await run_naive(
            leads(12), base_url=upstream.base_url, requests_per_minute=6_000, on_progress=lambda: next(told)
        )
        books = upstream.books(ids=True)
    assert (report.answered, report.failed, report.throttled, report.error_example) == (12, 0, 0, None)
    assert books.ids is not None
    assert {request_id: count.answered for request_id, count in books.ids.items()} == {
        f"lead-{number}": 1 for number in range(12)
    }
    assert next(told) == 2 * 12  # each call is reported, and each answer


async def test_without_quota_leads_fail_after_the_retries_of_the_sdk() -> None:
    # 429s that ask for a wait of a millisecond: the two retries of the SDK are used up at once.
    error = {"error": {"message": "Rate limit reached", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}}
    async with Upstream(UpstreamSettings(latency_s=(0.0, 0.0))) as upstream:
        upstream.script(
            lambda _, body: (
                Scripted(429, error, {"retry-after-ms": "1"}) if body["messages"][0]["content"] in {"1", "3"} else None
            )
        )
        report = await run_naive(leads(5), base_url=upstream.base_url, workers=2, requests_per_minute=6_000)
        calls = upstream.books().calls
    assert (report.answered, report.failed) == (3, 2)
    assert set(report.failed_ids) == {"lead-1", "lead-3"}
    assert report.throttled == 6
    assert calls == 3 + 2 * 3
    assert report.error_example is not None
    assert "Rate limit reached" in report.error_example


URGENT = NaiveRequest("u", {"model": "m", "messages": [{"role": "user", "content": "u"}]}, urgent=True, at_s=0.4)


async def test_urgent_leads_wait_behind_the_leads_that_were_there_before() -> None:
    order: list[str] = []
    async with Upstream(UpstreamSettings(latency_s=(0.0, 0.0))) as upstream:
        upstream.script(lambda _, body: order.append(body["messages"][0]["content"]))
        urgent = replace(URGENT, at_s=0.3)  # half of the others have been called by then
        await run_naive([urgent, *leads(8)], base_url=upstream.base_url, workers=1, requests_per_minute=60 / 0.08)
    assert order == ["0", "1", "2", "3", "4", "5", "6", "7", "u"]


async def test_an_urgent_lead_is_called_once_it_is_there_and_waits_from_then_on() -> None:
    told_s: list[float] = []
    async with Upstream(UpstreamSettings(latency_s=(0.0, 0.0))) as upstream:
        clock = asyncio.get_running_loop().time
        began_s = clock()
        report = await run_naive(
            [URGENT],
            base_url=upstream.base_url,
            requests_per_minute=6_000,
            on_progress=lambda: told_s.append(clock() - began_s),
        )
    called_s, answered_s = told_s
    assert called_s >= URGENT.at_s
    assert list(report.urgent_waits_s) == [pytest.approx(answered_s - URGENT.at_s, abs=0.05)]


async def test_each_worker_keeps_its_own_pace() -> None:
    async with Upstream(UpstreamSettings(latency_s=(0.0, 0.0))) as upstream:
        report = await run_naive(leads(9), base_url=upstream.base_url, workers=3, requests_per_minute=60 / 0.15)
        books = upstream.books()
    assert books.first_admitted_ms is not None
    assert books.last_admitted_ms is not None
    assert books.last_admitted_ms - books.first_admitted_ms > 150  # the third calls start 300 ms after the first
    assert report.answered == 9
