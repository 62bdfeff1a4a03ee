"""The live view: two panels side by side, one mark for each lead, and a strip that shows the inside of Headrace."""

import statistics
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from headrace.broker.cli.demo.bars import bar
from headrace.broker.cli.demo.moment import Moment, SideNow
from headrace.broker.cli.demo.stage import DemoSettings
from headrace.broker.cli.demo.strip import lanes, strip
from headrace.broker.cli.demo.tally import LeadState

_CAMPAIGN_MARKS = {
    LeadState.WAITING: ("·", "dim"),
    LeadState.ANSWERED: ("●", "green"),
    LeadState.FAILED: ("✗", "bold red"),
}
_URGENT_MARKS = {
    LeadState.WAITING: ("◇", "yellow"),
    LeadState.ANSWERED: ("◆", "green"),
    LeadState.FAILED: ("✗", "bold red"),
}
_SPACED_MAX = 120  # leads up to which the marks have room between them


def draw(moment: Moment, settings: DemoSettings) -> RenderableType:
    """Render the whole view."""
    sides = Table.grid(expand=True, padding=(0, 1))
    sides.add_column(ratio=1)
    sides.add_column(ratio=1)
    sides.add_row(
        _side("[bold]4 workers, 60 requests a minute each[/]", "red", moment.naive),
        _side("[bold]Headrace[/]", "green", moment.headrace),
    )
    return Group(_headline(moment, settings), sides, strip(moment.inside), _legend())


def clock(seconds: float) -> str:
    """Format seconds as minutes and seconds, as 1:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _headline(moment: Moment, settings: DemoSettings) -> RenderableType:
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column()
    line.add_column(justify="right")
    line.add_row(
        Text.from_markup(
            f"[bold]{settings.leads} leads[/], the same account twice: {settings.tokens_per_minute:,} tokens a minute"
        ),
        Text(clock(moment.elapsed_s), style="bold"),
    )
    return line


def _side(title: str, colour: str, side: SideNow) -> RenderableType:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", min_width=9)
    facts.add_column()
    facts.add_row("campaign", _marks(side, urgent=False))
    facts.add_row("urgent", _marks(side, urgent=True))
    facts.add_row("", "")
    leads = len(side.fates)
    facts.add_row("answered", bar(side.answered, leads, f"{side.answered} of {leads}"))
    facts.add_row("failed", Text(str(side.failed), style="bold red" if side.failed else ""))
    facts.add_row("429s", Text(str(side.throttled), style="red" if side.throttled > 1 else ""))
    share = side.share or 0.0
    facts.add_row("quota used", bar(round(share * 100), 100, f"{share:.0%}"))
    facts.add_row("urgent", Text(_urgent(side)))
    return Panel(facts, title=title, border_style=colour, padding=(0, 1))


def _marks(side: SideNow, *, urgent: bool) -> Text:
    looks = _URGENT_MARKS if urgent else _CAMPAIGN_MARKS
    glue = " " if len(side.fates) <= _SPACED_MAX else ""
    text = Text()
    for fate, come in _chosen(side, urgent=urgent):
        mark, style = looks[fate]
        text.append(mark, style if come else "dim")
        text.append(glue)
    return text


def _chosen(side: SideNow, *, urgent: bool) -> Iterator[tuple[LeadState, bool]]:
    for fate, is_urgent, come in zip(side.fates, side.urgent, side.come, strict=True):
        if is_urgent is urgent:
            yield fate, come


def _urgent(side: SideNow) -> str:
    if side.urgent_come == 0:
        return "none yet"
    answered = f"{len(side.urgent_waits_s)} of {side.urgent_come} answered"
    if not side.urgent_waits_s:
        return answered
    return f"{answered}, median {statistics.median(side.urgent_waits_s):.1f} s"


def _legend() -> RenderableType:
    marks: Iterable[tuple[str, str, str]] = (
        ("●", "green", "answered"),
        ("✗", "bold red", "given up"),
        ("·", "dim", "not yet"),
        ("◆", "green", "urgent, answered"),
        ("◇", "yellow", "urgent, waiting"),
    )
    text = Text("  ")
    for mark, style, meaning in marks:
        text.append(mark, style).append(f" {meaning}    ", "dim")
    return text


def plain_line(moment: Moment) -> str:
    """Return the same as one line, for a log."""
    sides: Sequence[tuple[str, SideNow]] = (("workers", moment.naive), ("Headrace", moment.headrace))
    told = " | ".join(
        f"{name}: {side.answered}/{len(side.fates)} answered, {side.failed} failed, {side.throttled} 429s, "
        f"{side.share or 0:.0%} of the quota"
        for name, side in sides
    )
    return f"{clock(moment.elapsed_s)}  {told} | {lanes(moment.inside)}"
