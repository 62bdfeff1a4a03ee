"""The right side: a producer and a reader like those of a service; the dispatchers are separate processes."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from headrace.broker.cli.demo.prompt import TEMPLATE, metadata_for
from headrace.broker.cli.demo.tally import LeadTally
from headrace.broker.cli.demo.timetable import Job
from headrace.broker.client import GenerationClient, Submission, submission
from headrace.consumers.results import ResultReader
from headrace.schemas.outcome import Completed


@dataclass(frozen=True, slots=True)
class Copies:
    """What came back: the text for each lead, and the sentence of each failure, by request id."""

    text_of: dict[str, str] = field(default_factory=dict)
    failure_of: dict[str, str] = field(default_factory=dict)


async def serve_by_headrace(
    jobs: Sequence[Job], generations: GenerationClient, results: ResultReader, tally: LeadTally, *, give_up_s: float
) -> Copies:
    """Submit every lead at its time and read until each has its outcome, or for `give_up_s` seconds."""
    began_s = asyncio.get_running_loop().time()
    copies = Copies()
    async with asyncio.TaskGroup() as tasks:
        submitting = tasks.create_task(_submit(jobs, generations, began_s), name="demo producer")
        with suppress(TimeoutError):
            async with asyncio.timeout(give_up_s):
                await _read(results, tally, copies, began_s)
        submitting.cancel()
    return copies


async def _submit(jobs: Sequence[Job], generations: GenerationClient, began_s: float) -> None:
    at_once = [_submission(job) for job in jobs if job.at_s == 0]
    async for _ in generations.submit_many(at_once):
        pass
    loop = asyncio.get_running_loop()
    for job in jobs:
        if job.at_s > 0:
            await asyncio.sleep(max(0.0, began_s + job.at_s - loop.time()))
            async for _ in generations.submit_many([_submission(job)]):
                pass


def _submission(job: Job) -> Submission:
    fields = {"id": job.id, "body": job.body, "template": TEMPLATE, "metadata": metadata_for(job.lead)}
    return submission(fields, lane=job.lead.urgency, source="headrace.demo")


async def _read(results: ResultReader, tally: LeadTally, copies: Copies, began_s: float) -> None:
    loop = asyncio.get_running_loop()
    async for outcome in results:
        if isinstance(outcome, Completed):
            copies.text_of[outcome.id] = outcome.response["choices"][0]["message"]["content"]
            tally.answer(outcome.id, loop.time() - began_s)
        else:
            copies.failure_of[outcome.id] = f"{outcome.reason}: {outcome.message}"
            tally.fail(outcome.id, loop.time() - began_s)
        if tally.is_complete:
            return
