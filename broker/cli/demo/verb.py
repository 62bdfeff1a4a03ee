"""`headrace demo`: four naive workers beside Headrace, live, with the same leads and the same account."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from headrace.broker.cli.demo.dispatchers import DispatcherEnded
from headrace.broker.cli.demo.leads import read_leads
from headrace.broker.cli.demo.moment import Moment
from headrace.broker.cli.demo.race import RaceResult, race
from headrace.broker.cli.demo.report import as_json, report
from headrace.broker.cli.demo.signals import DemoStopped, until_told_to_stop
from headrace.broker.cli.demo.stage import DemoSettings, set_stage
from headrace.broker.cli.demo.steps import Steps
from headrace.broker.cli.demo.timetable import URGENT_EVERY_S, Job, timetable
from headrace.broker.cli.demo.view import draw, plain_line
from headrace.broker.cli.patience import hush_kafka
from headrace.broker.cli.screen import screen
from headrace.broker.cli.terminal import say, say_json
from headrace.broker.cli.termination import INTERRUPTED
from headrace.broker.simulator.pricing import ChatLaw

_LINE_EVERY_S = 5.0
_LEADS_MAX = 500


def demo(
    *,
    leads: Annotated[int, typer.Option(metavar="N", min=1, max=_LEADS_MAX, help="Number of leads, of 500.")] = 60,
    law: Annotated[
        ChatLaw, typer.Option(metavar="|".join(ChatLaw), help="Law by which the simulated OpenAI charges a call.")
    ] = ChatLaw.CHAT_2025,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of answers and latencies.")] = 7,
    json_wanted: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
    tokens_per_minute: Annotated[int, typer.Option(min=500, hidden=True)] = 10_000,
    latency_max_s: Annotated[float, typer.Option(min=0.0, hidden=True)] = 4.0,
    urgent_every_s: Annotated[float, typer.Option(min=0.1, hidden=True)] = URGENT_EVERY_S,
) -> None:
    """Serve the same leads twice at the same time: by four naive workers, and by Headrace on a real Kafka.

    Each side has an account with 10,000 tokens a minute at a simulated OpenAI. No data leaves this machine, and none
    stays on it. Exit code 1 if Headrace has not answered every lead. Ctrl-C stops everything.

    Example: headrace demo --leads 60 --law chat-2025
    """
    settings = DemoSettings(
        leads=leads,
        law=law,
        seed=seed,
        tokens_per_minute=tokens_per_minute,
        latency_s=(min(1.0, latency_max_s), latency_max_s),
        urgent_every_s=urgent_every_s,
    )
    hush_kafka()
    console = screen(err=json_wanted)
    jobs = timetable(read_leads(leads), urgent_every_s=urgent_every_s)
    try:
        finish = asyncio.run(until_told_to_stop(_play(settings, jobs, console, json_wanted=json_wanted)))
    except DemoStopped:
        say("Stopped: everything that the demo started has ended.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except ExceptionGroup as group:
        _show_last_lines(group.exceptions)
        raise
    _show_last_lines(finish.dispatchers_ended)
    if json_wanted:
        say_json(as_json(finish, settings, jobs))
    if not finish.comparison.kept:
        raise typer.Exit(1)


async def _play(settings: DemoSettings, jobs: Sequence[Job], console: Console, *, json_wanted: bool) -> RaceResult:
    steps = Steps(console)
    async with set_stage(settings, steps) as stage:
        with _shown(console, settings) as show:
            finish = await race(stage, settings, jobs, show)
        if not json_wanted:
            console.print(report(finish, jobs))
    steps.stopped()
    return finish


@contextmanager
def _shown(console: Console, settings: DemoSettings) -> Iterator[Callable[[Moment], None]]:
    """Show the live view on a terminal; elsewhere print a line every five seconds."""
    if not console.is_terminal:
        yield _ProgressPrinter(console).show
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield lambda moment: live.update(draw(moment, settings), refresh=True)


class _ProgressPrinter:
    """Printer of a line every five seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_s = 0.0

    def show(self, moment: Moment) -> None:
        if moment.elapsed_s >= self._next_s:
            self._next_s = moment.elapsed_s - moment.elapsed_s % _LINE_EVERY_S + _LINE_EVERY_S
            self._console.print(plain_line(moment), highlight=False, soft_wrap=True)


def _show_last_lines(errors: Iterable[Exception]) -> None:
    for error in errors:
        if isinstance(error, DispatcherEnded):
            say("\n".join(error.last_lines), err=True)
