"""The left side: four workers, each of which knows its own requests a minute and nothing else.

The simulator's books say which lead has been answered; the workers themselves only count. The books also show that a
lead was given up: no admitted call, and as many calls as the SDK makes. The report at the end is the workers' own.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from headrace.broker.cli.demo.tally import LeadTally
from headrace.broker.cli.demo.timetable import Job
from headrace.broker.simulator.naive import NaiveReport, NaiveRequest, run_naive
from headrace.broker.simulator.upstream import Upstream

WORKERS: Final = 4
REQUESTS_PER_MINUTE: Final = 60
_SDK_CALLS_MAX: Final = 3  # one and the SDK's two default retries


async def serve_naively(jobs: Sequence[Job], upstream: Upstream, tally: LeadTally) -> NaiveReport:
    """Run the workers until every lead is answered or given up, keeping `tally` up to date."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    def note() -> None:
        read_books(upstream, tally, loop.time() - began_s)

    requests = [NaiveRequest(job.id, job.body, job.lead.is_urgent, job.at_s) for job in jobs]
    report = await run_naive(
        requests,
        base_url=upstream.base_url,
        workers=WORKERS,
        requests_per_minute=REQUESTS_PER_MINUTE,
        on_progress=note,
    )
    for job_id in report.failed_ids:
        tally.fail(job_id, report.elapsed_s)
    return report


def read_books(upstream: Upstream, tally: LeadTally, at_s: float) -> None:
    """Update the tally from the simulator's books."""
    for job_id, count in (upstream.books(ids=True).ids or {}).items():
        if count.answered:
            tally.answer(job_id, at_s)
        elif not count.admitted and count.calls >= _SDK_CALLS_MAX:
            tally.fail(job_id, at_s)
