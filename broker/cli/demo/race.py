"""Both sides at the same time, from the same first second, until every lead is decided."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from headrace.broker.cli.demo.comparison import Comparison, headrace_result, naive_result
from headrace.broker.cli.demo.dispatchers import DispatcherEnded
from headrace.broker.cli.demo.headrace_side import Copies, serve_by_headrace
from headrace.broker.cli.demo.moment import Moment, side_now
from headrace.broker.cli.demo.naive_side import serve_naively
from headrace.broker.cli.demo.stage import PREFIX, DemoServices, DemoSettings
from headrace.broker.cli.demo.tally import LeadTally
from headrace.broker.cli.demo.timetable import Job
from headrace.broker.client import GenerationClient
from headrace.broker.simulator.pricing import Endpoint, charge_of
from headrace.consumers.results import ResultReader

LOOK_EVERY_S: Final = 0.25
_PATIENCE: Final = 4  # times the shortest possible duration; beyond it something is wrong, and the demo says so
_PATIENCE_MORE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class RaceResult:
    """Result of the demo.

    Attributes:
        comparison: Both sides in numbers.
        copies: The texts that came back.
        dispatchers_ended: Dispatchers that ended during the run, each as an error with the last lines of its log.
        loop_lag_max_s: Bounds the error of every time measured here.
    """

    comparison: Comparison
    copies: Copies
    dispatchers_ended: tuple[DispatcherEnded, ...]
    loop_lag_max_s: float


async def race(
    stage: DemoServices, settings: DemoSettings, jobs: Sequence[Job], show: Callable[[Moment], None]
) -> RaceResult:
    """Run both sides to the end, calling `show` four times a second.

    Raises:
        ExceptionGroup: Of a DispatcherEnded, should all dispatchers end.
    """
    naive, headrace = LeadTally(jobs), LeadTally(jobs)
    where = stage.endpoints.bootstrap_servers
    async with (
        ResultReader(where, group=None, topic_prefix=PREFIX) as results,
        GenerationClient(where, topic_prefix=PREFIX) as generations,
        asyncio.TaskGroup() as tasks,
    ):
        watching = tasks.create_task(stage.dispatchers.watch(), name="demo dispatchers")
        looking = _Looking(stage, naive, headrace, show)
        stage.naive_upstream.reset()
        stage.headrace_upstream.reset()
        left = tasks.create_task(serve_naively(jobs, stage.naive_upstream, naive), name="demo naive side")
        serving = serve_by_headrace(jobs, generations, results, headrace, give_up_s=patience_s(settings, jobs))
        right = tasks.create_task(serving, name="demo Headrace side")
        drawing = tasks.create_task(looking.run(), name="demo view")
        await asyncio.wait({left, right})
        for task in (watching, drawing):
            task.cancel()
    comparison = Comparison(
        naive_result(naive, left.result(), stage.naive_upstream.books()),
        headrace_result(headrace, stage.headrace_upstream.books()),
    )
    return RaceResult(comparison, right.result(), tuple(stage.dispatchers.ended()), looking.lag_max_s)


def patience_s(settings: DemoSettings, jobs: Sequence[Job]) -> float:
    """Return the time after which the demo gives up on the remaining leads."""
    tokens = sum(charge_of(Endpoint.CHAT, job.body, settings.law) for job in jobs)
    shortest_s = max(tokens * 60 / settings.tokens_per_minute, max((job.at_s for job in jobs), default=0.0))
    return _PATIENCE * shortest_s + _PATIENCE_MORE_S


@dataclass(eq=False)
class _Looking:
    """Task that draws every quarter of a second and measures how late the event loop is for it."""

    stage: DemoServices
    naive: LeadTally
    headrace: LeadTally
    show: Callable[[Moment], None]
    lag_max_s: float = field(default=0.0, init=False)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while True:
            self.show(await self._moment(loop.time() - began_s))
            due_s = loop.time() + LOOK_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)
            self.lag_max_s = max(self.lag_max_s, loop.time() - due_s)

    async def _moment(self, elapsed_s: float) -> Moment:
        stage = self.stage
        inside = await stage.lookout.look()
        return Moment(
            elapsed_s,
            side_now(self.naive, stage.naive_upstream.books(), elapsed_s),
            side_now(self.headrace, stage.headrace_upstream.books(), elapsed_s),
            inside,
        )
