"""`headrace simulate`: what a quota means for a workload, before it is paid for."""

from collections.abc import Callable
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from headrace.broker.cli.options import Config, Json
from headrace.broker.cli.screen import screen
from headrace.broker.cli.simulate.asked import Options, behaviours_from, factors_from, latency_from, workload_from
from headrace.broker.cli.simulate.page import page
from headrace.broker.cli.simulate.report import as_json as report_as_json
from headrace.broker.cli.simulate.report import the_one_asked_for
from headrace.broker.cli.simulate.side_by_side import cores, play_all
from headrace.broker.cli.simulate.waiting import waiting
from headrace.broker.cli.terminal import say_json
from headrace.broker.errors import SettingsError
from headrace.broker.planner.parts import parts_of, together
from headrace.broker.planner.plan import Outlook, Plan, quotas_for
from headrace.broker.planner.stage import Times
from headrace.broker.planner.workload_file import WorkloadError
from headrace.broker.settings.load import load_settings
from headrace.broker.simulator.behaviours.catalogue import check_drawn, spelled
from headrace.broker.simulator.pricing import ChatLaw
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.schemas.nearest import ended

_WITH_FAILURES = 1
_WIDTH_WITHOUT_TERMINAL = 120
_PLOTS = (".png", ".svg")

Draw = Callable[[Plan, list[Outlook], Path], None]


def simulate(
    workload: Annotated[
        Path | None, typer.Argument(metavar="WORKLOAD", help="The workload: a TOML or JSON file; without one: --rate.")
    ] = None,
    *,
    config: Config = None,
    tokens_per_minute: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=10**12,
            help="Token quota of every limit; default: the settings', or what random:SEED draws.",
        ),
    ] = None,
    requests_per_minute: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=10**9,
            help="Request quota of every limit; default: the settings', or what random:SEED draws, or none.",
        ),
    ] = None,
    rate: Annotated[
        list[str] | None, typer.Option(metavar="LANE=RATE", help="Arrivals of a lane: urgent=2/s, bulk=5000/day.")
    ] = None,
    size: Annotated[
        list[str] | None, typer.Option(metavar="[LANE=]TOKENS", help="Tokens of a prompt: 600, urgent=300-1200.")
    ] = None,
    answer: Annotated[
        list[str] | None, typer.Option(metavar="[LANE=]TOKENS", help="Tokens of an answer, in the same form.")
    ] = None,
    deadline: Annotated[
        list[str] | None,
        typer.Option(metavar="[LANE=]SPAN", help="Time allowed for a request: 10min; default: the lane's."),
    ] = None,
    model: Annotated[str, typer.Option(metavar="MODEL", help="The model that --rate asks for.")] = "gpt-4o-mini",
    hours: Annotated[
        float | None,
        typer.Option(
            metavar="HOURS", min=0.001, max=8_784.0, help="Duration of --rate; default 1, or until --requests."
        ),
    ] = None,
    requests: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=10**7, help="Stop after this many requests.")
    ] = None,
    law: Annotated[
        ChatLaw | None,
        typer.Option(
            metavar="|".join(ChatLaw), help=f"Law by which Chat Completions are charged; default: {ChatLaw.CHAT_2025}."
        ),
    ] = None,
    latency: Annotated[
        str | None, typer.Option(metavar="S|S-S", help="Seconds that an answer takes; default: 1-4.")
    ] = None,
    behaviour: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[:FIELD=VALUE,…]", help="OpenAI's behaviour, as for `upstream`, or random:SEED."),
    ] = None,
    quotas: Annotated[
        str, typer.Option(metavar="F,F,…", help="Multiples of the quota to compare; 1: no comparison.")
    ] = "0.5,0.75,1,1.5,2",
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=10**18, help="Seed of the run.")] = 7,
    whole: Annotated[bool, typer.Option("--whole", help="Play a long, steady workload in one piece.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a chart of waits and tokens over time: a .png or .svg.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Play a workload through the dispatcher's own core against a simulated OpenAI, in virtual time.

    It reports for each lane the waits and the missed deadlines, the share of the quota that is used, and what another
    quota would change. It needs neither Kafka nor OpenAI. Exit 1 if a request fails or misses its deadline.

    Example: headrace simulate examples/workload.toml --tokens-per-minute 200000 --plot plan.png

    Example: headrace simulate --rate urgent=2/s --rate bulk=20000/day --hours 24 --tokens-per-minute 60000
    """
    factors, draw = factors_from(quotas), _drawing(plot)
    settings = load_settings(config)
    told = Options(rate or (), size or (), answer or (), deadline or (), model, hours, requests, seed)
    comes = workload_from(workload, told, settings.lanes)
    behaviours, server = behaviours_from(behaviour or ())
    try:
        check_drawn(server, law, latency)
    except ValueError as error:
        raise SettingsError(ended(str(error))) from error
    try:
        granted = quotas_for(
            settings,
            comes,
            tokens_per_minute=tokens_per_minute,
            requests_per_minute=requests_per_minute,
            server=server,
        )
    except WorkloadError as error:
        raise SettingsError(ended(f"{str(error)[0].upper()}{str(error)[1:]}")) from error
    upstream = UpstreamSettings(
        law=law or ChatLaw.CHAT_2025,
        latency_s=latency_from("1-4" if latency is None else latency),
        behaviours=behaviours,
        seed=comes.seed if server is None else server.seed,
    )
    plan = Plan(settings, comes, granted, upstream, Times(seed=comes.seed), requests)
    outlooks = _play(plan, factors, whole=whole, quiet=as_json)
    if plot is not None and draw is not None:
        _save(draw, plan, outlooks, plot)
    if as_json:
        say_json(report_as_json(plan, outlooks))
    else:
        console = screen(width_unwatched=_WIDTH_WITHOUT_TERMINAL)
        played = [spelled(each) for each in behaviours]
        for part in page(outlooks, width=console.width, played=played, left_out=plan.left_out):
            console.print(part)
    asked = the_one_asked_for(outlooks)
    if asked.missed or asked.failed:
        raise typer.Exit(_WITH_FAILURES)


def _play(plan: Plan, factors: tuple[float, ...], *, whole: bool, quiet: bool) -> list[Outlook]:
    """Play one run for each quota, or its parts, with progress on standard error."""
    expected = None if plan.expected is None else plan.expected * len(factors)
    parts = {factor: (plan,) if whole else parts_of(plan, factor) for factor in factors}
    runs = [(part, factor) for factor, each in parts.items() for part in each]
    with waiting(expected, quiet=quiet) as on_progress:
        played = iter(play_all(runs, on_progress, cores()))
    return [together(plan, list(islice(played, len(each)))) for each in parts.values()]


def _drawing(plot: Path | None) -> Draw | None:
    """Return the drawing function, loaded before anything is played. Raises SettingsError."""
    if plot is None:
        return None
    if plot.suffix not in _PLOTS:
        raise SettingsError(f"--plot writes a .png or a .svg, not {plot.name!r}.")
    if not plot.parent.is_dir():
        raise SettingsError(f"--plot cannot write {plot}: there is no directory {plot.parent}.")
    try:
        draw: Draw = import_module("headrace.broker.cli.simulate.plot").draw
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"--plot needs {error.name}: install the extra with pip install 'headrace[plot]', or leave --plot out."
        ) from error
    return draw


def _save(draw: Draw, plan: Plan, outlooks: list[Outlook], plot: Path) -> None:
    try:
        draw(plan, outlooks, plot)
    except OSError as error:
        raise SettingsError(f"--plot cannot write {plot}: {error.strerror or error}.") from error
