"""`headrace report`: where tokens and money went. It joins no consumer group and commits nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final

import typer

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.cli.options import BootstrapServers, Config, TimeoutS, TopicPrefix, settings_from
from headrace.broker.cli.patience import run_verb
from headrace.broker.cli.report.advice import Advice, advice_from, show_advice
from headrace.broker.cli.report.asked import DEFAULT_BY, question_from
from headrace.broker.cli.report.bar import ReadingBar
from headrace.broker.cli.report.figures import as_csv
from headrace.broker.cli.report.figures import as_json as report_as_json
from headrace.broker.cli.report.gathering import Gathered, Gathering
from headrace.broker.cli.report.pricing import finder_from
from headrace.broker.cli.report.reading import OutcomeShape
from headrace.broker.cli.report.table import ReportSource, notes, show
from headrace.broker.cli.terminal import say, say_json
from headrace.broker.errors import SettingsError
from headrace.broker.spending.billing import CostFinder
from headrace.broker.spending.report import SpendingReport, report_of
from headrace.schemas.spending import AdvisedOutcome

_INCOMPLETE: Final = 1
_PLOTS: Final = (".png", ".svg")
_PATTERN: Final = "* matches as in a shell, an empty text what has none; may be repeated."
_TOTALS_ARE_SUMS: Final = "totals are sums, without the single calls"

Draw = Callable[[SpendingReport, Path], None]


class ReadFrom(StrEnum):
    """Topic that the figures come from."""

    RESULTS = "results"
    TOTALS = "totals"


def report(  # noqa: PLR0917  # Typer reads them by name
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="From then on: a span such as 24h, or an instant in ISO 8601; default: 7d."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Before then; default: now.")] = None,
    by: Annotated[
        str,
        typer.Option(metavar="NAME,…", help="Rows: lane, model, tenant, template, tier, day, hour, in any number."),
    ] = DEFAULT_BY,
    lane: Annotated[list[str] | None, typer.Option(metavar="LANE", help=f"Only of this lane; {_PATTERN}")] = None,
    model: Annotated[list[str] | None, typer.Option(metavar="MODEL", help="Only of this model, likewise.")] = None,
    tenant: Annotated[list[str] | None, typer.Option(metavar="TENANT", help="Only of this tenant, likewise.")] = None,
    template: Annotated[
        list[str] | None, typer.Option(metavar="TEMPLATE", help="Only of this template, likewise.")
    ] = None,
    tier: Annotated[list[str] | None, typer.Option(metavar="TIER", help="Only of this service tier, likewise.")] = None,
    read_from: Annotated[
        ReadFrom,
        typer.Option(
            "--from", metavar="|".join(ReadFrom), help="Outcomes, or hourly totals, which are kept for 400 days."
        ),
    ] = ReadFrom.RESULTS,
    top: Annotated[
        int, typer.Option(metavar="N", min=0, max=10**9, help="The N largest rows, the rest in one; 0: all.")
    ] = 0,
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Price all calls anew, by a price file (TOML).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with all figures.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header, with all figures.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a chart of cost and tokens over time: a .png or .svg.")
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Draw the chart on a dark ground.")] = False,
    advice: Annotated[
        bool, typer.Option("--advice", help="Add what would use fewer tokens; it reads the lanes' requests as well.")
    ] = False,
    show_prompts: Annotated[
        bool, typer.Option("--show-prompts", help="Let advice quote parts of prompts, which it does not otherwise.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    timeout: TimeoutS = 10,
) -> None:
    """Report where tokens and money went: outcomes, tokens and cost by lane, model, tenant or template.

    It reads the outcomes of the period, or the hourly totals. Exit 1 if a record could not be read.

    Example: headrace report --since 24h --by tenant,template --top 20

    Example: headrace report --from totals --since 30d --by day,model --csv
    """
    _check_together(as_json=as_json, csv=csv, advice=advice, show_prompts=show_prompts)
    if read_from is ReadFrom.TOTALS and (prices is not None or advice):
        raise SettingsError(f"--{'advice' if advice else 'prices'} needs --from results: {_TOTALS_ARE_SUMS}.")
    draw = _drawing(plot, dark=dark)
    settings = settings_from(config, bootstrap_servers, prefix)
    patterns = {"lane": lane, "model": model, "tenant": tenant, "template": template, "tier": tier}
    question = question_from(since, until, by, patterns, by_hour=plot is not None)
    costs = finder_from(settings, prices)
    gathering = Gathering(
        KafkaConnection.of(settings.kafka),
        settings.kafka.topic_prefix,
        question,
        from_totals=read_from is ReadFrom.TOTALS,
        results_kept=timedelta(seconds=settings.topics.results.retention_s),
        totals_kept=timedelta(seconds=settings.topics.totals.retention_s),
        timeout_s=timeout,
    )
    advisor = advice_from(settings, prices, shows_prompts=show_prompts) if advice else None
    lanes = {name: timedelta(seconds=lane.deadline_max_s or lane.deadline_s) for name, lane in settings.lanes.items()}
    gathered, requests = run_verb(_gathered(gathering, costs, advisor, lanes, quiet=quiet))
    given = None if advisor is None else advisor.found(gathered.tally.notes, question.period, requests)
    result = report_of(gathered.tally, gathered.compared, top=top)
    source = ReportSource(gathered.topic, read_from is ReadFrom.TOTALS, gathered.reaches_back_to, prices is not None)
    with _saved(draw, result, plot):
        if as_json:
            say_json({**report_as_json(result, source), **({"advice": None} if given is None else given.as_json())})
        elif csv:
            _print_csv(result, source)
        else:
            show(result, source)
            if given is not None:
                show_advice(given)
    if gathered.tally.notes.unreadable:
        raise typer.Exit(_INCOMPLETE)


def _check_together(*, as_json: bool, csv: bool, advice: bool, show_prompts: bool) -> None:
    """Refuse flags that exclude each other."""
    if as_json and csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    if advice and csv:
        raise typer.BadParameter("--advice is for the table and for --json: leave --csv out")
    if show_prompts and not advice:
        raise typer.BadParameter("--show-prompts is for --advice, which is not asked for")


def _print_csv(result: SpendingReport, source: ReportSource) -> None:
    """Print the lines, and on standard error what must be known to read them."""
    say(as_csv(result))
    for sentence in notes(result, source):
        say(sentence, err=True)


async def _gathered(
    gathering: Gathering,
    costs: CostFinder | None,
    advice: Advice | None,
    lanes: Mapping[str, timedelta],
    *,
    quiet: bool,
) -> tuple[Gathered, int]:
    """Read the outcomes, and for advice the requests behind them, of which the number is returned."""
    with ReadingBar(quiet=quiet) as bar:
        if advice is None:
            return await gathering.gather(bar, costs), 0
        gathered = await gathering.gather(bar, costs, OutcomeShape(AdvisedOutcome, advice.advisor.outcome))
        return gathered, await gathering.requests(lanes, bar, advice.advisor.request, advice.advisor.wants)


def _drawing(plot: Path | None, *, dark: bool) -> Draw | None:
    """Return the drawing function, loaded before anything is read. Raises SettingsError."""
    if plot is None:
        if dark:
            raise SettingsError("--dark is for a chart: name its file with --plot.")
        return None
    if plot.suffix not in _PLOTS:
        raise SettingsError(f"--plot writes a .png or a .svg, not {plot.name!r}.")
    if not plot.parent.is_dir():
        raise SettingsError(f"--plot cannot write {plot}: there is no directory {plot.parent}.")
    try:
        draw = import_module("headrace.broker.cli.report.plot").draw
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"--plot needs {error.name}: install the extra with pip install 'headrace[plot]', or leave --plot out."
        ) from error
    return lambda result, path: draw(result, path, dark=dark)


@contextmanager
def _saved(draw: Draw | None, result: SpendingReport, plot: Path | None) -> Iterator[None]:
    """Draw the chart, and print the report even if the file cannot be written: reading took longer than either."""
    failure: OSError | None = None
    if plot is not None and draw is not None:
        try:
            draw(result, plot)
        except OSError as error:
            failure = error
    yield
    if failure is not None:
        raise SettingsError(f"--plot cannot write {plot}: {failure.strerror or failure}.") from failure
