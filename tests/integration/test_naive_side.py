"""The books tell who has been answered and who was given up."""

from typing import Any

import aiohttp

from headrace.broker.cli.demo.naive_side import read_books, serve_naively
from headrace.broker.cli.demo.tally import LeadState, LeadTally
from headrace.broker.simulator.upstream import Scripted, Upstream, UpstreamSettings
from tests.unit.cli.demo.leads_of import jobs_of

REFUSAL: dict[str, Any] = {"error": {"message": "Rate limit reached", "type": "tokens", "code": "rate_limit_exceeded"}}


async def call(http: aiohttp.ClientSession, upstream: Upstream, job_id: str, body: dict[str, Any]) -> None:
    headers = {"authorization": "Bearer x", "x-client-request-id": job_id}
    async with http.post(f"{upstream.base_url}/chat/completions", json=body, headers=headers) as answer:
        await answer.read()


async def test_a_lead_refused_three_times_is_given_up_and_one_refused_twice_is_not() -> None:
    jobs = jobs_of("bulk", "bulk", "bulk")
    tally = LeadTally(jobs)
    async with Upstream(UpstreamSettings(latency_s=(0, 0))) as upstream, aiohttp.ClientSession() as http:
        upstream.script(lambda number, _: Scripted(status=429, body=REFUSAL) if number > 1 else None)
        for job, calls in zip(jobs, (1, 2, 3), strict=True):
            for _ in range(calls):
                await call(http, upstream, job.id, dict(job.body))
        read_books(upstream, tally, 5.0)
    assert tally.fates() == (LeadState.ANSWERED, LeadState.WAITING, LeadState.FAILED)


async def test_the_workers_own_report_has_the_last_word() -> None:
    jobs = jobs_of("bulk", "bulk")
    tally = LeadTally(jobs)
    rejected = {"error": {"message": "No.", "type": "invalid_request_error", "code": None, "param": None}}
    async with Upstream(UpstreamSettings(latency_s=(0, 0))) as upstream:
        upstream.script(lambda number, _: Scripted(status=400, body=rejected) if number == 2 else None)
        report = await serve_naively(jobs, upstream, tally)
    assert (report.answered, report.failed) == (1, 1)
    assert sorted(fate.name for fate in tally.fates()) == ["ANSWERED", "FAILED"]
    assert tally.is_complete
