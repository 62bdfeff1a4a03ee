"""The report at the end: the table, two of the e-mails, one sentence, and the next commands."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headrace.broker.cli.demo.comparison import Comparison, SideResult
from headrace.broker.cli.demo.emails import Emails, chosen_emails
from headrace.broker.cli.demo.race import RaceResult
from headrace.broker.cli.demo.stage import DemoSettings
from headrace.broker.cli.demo.timetable import Job

_NEXT = (
    ("headrace demo --law chat-legacy", "OpenAI's charge law until 2025; Headrace must find it out"),
    ("headrace demo --leads 200", "a longer run"),
    ("headrace local up", "a local Kafka that stays; next commands: README.md"),
)


def report(finish: RaceResult, jobs: Sequence[Job]) -> RenderableType:
    """Return the whole report."""
    emails = Emails(jobs, finish.copies.text_of)
    seen = Padding(Text(sentence(finish.comparison), style="bold"), (1, 1))
    return Group(table(finish.comparison), emails, seen, _next())


def table(comparison: Comparison) -> Table:
    """Return the table of both sides, number by number."""
    naive, headrace = comparison.naive, comparison.headrace
    made = Table(box=box.ROUNDED, padding=(0, 2), title="the same leads, the same account", title_style="bold")
    made.add_column("")
    made.add_column("4 workers", justify="right")
    made.add_column("Headrace", justify="right")
    made.add_row("leads answered", *(f"{side.answered} of {side.leads}" for side in (naive, headrace)))
    made.add_row("leads failed", _bad(naive.failed), _bad(headrace.failed))
    made.add_row("429s", _bad(naive.throttled, good_max=1), _bad(headrace.throttled, good_max=1))
    made.add_row("calls made", str(naive.calls), str(headrace.calls))
    made.add_row("minutes", f"{naive.elapsed_s / 60:.2f}", f"{headrace.elapsed_s / 60:.2f}")
    made.add_row("share of the quota used", _percent(naive.share), _percent(headrace.share))
    made.add_row("urgent leads answered", *(f"{len(s.urgent_waits_s)} of {s.urgent}" for s in (naive, headrace)))
    made.add_row("  their wait, median", _seconds(naive.wait_median_s), _seconds(headrace.wait_median_s))
    made.add_row("  their wait, 95th percentile", _seconds(naive.wait_p95_s), _seconds(headrace.wait_p95_s))
    return made


def sentence(comparison: Comparison) -> str:
    """Say in one sentence how the two sides ended."""
    naive, headrace = comparison.naive, comparison.headrace
    if not comparison.kept:
        return (
            f"With Headrace {headrace.answered} of {headrace.leads} leads were answered and {headrace.failed} "
            "failed: this breaks Headrace's promise. Please report it with the table above."
        )
    return (
        f"{_workers(naive)}; Headrace answered all {headrace.leads} with {_count(headrace.throttled, '429')}, used "
        f"{_percent(headrace.share)} of the account's quota{_urgent(headrace)}."
    )


def as_json(finish: RaceResult, settings: DemoSettings, jobs: Sequence[Job]) -> dict[str, Any]:
    """Return the object that `--json` prints."""
    comparison = finish.comparison
    return {
        "leads": comparison.headrace.leads,
        "law": settings.law.value,
        "seed": settings.seed,
        "tokens_per_minute": settings.tokens_per_minute,
        "naive": comparison.naive.as_json(),
        "headrace": comparison.headrace.as_json(),
        "kept": comparison.kept,
        "dispatchers_ended": [str(ended) for ended in finish.dispatchers_ended],
        "failures": dict(finish.copies.failure_of),
        "copies": [
            {
                "id": job.id,
                "lane": job.lead.urgency,
                "language": job.lead.language,
                "text": finish.copies.text_of[job.id],
            }
            for job in chosen_emails(jobs, finish.copies.text_of)
        ],
        "event_loop_lag_max_ms": round(finish.loop_lag_max_s * 1_000),
    }


def _next() -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for command, what in _NEXT:
        grid.add_row(Text(f" {command}", style="cyan"), Text(what, style="dim"))
    return grid


def _workers(side: SideResult) -> str:
    if side.failed == 0:
        return f"Four workers answered all {side.leads} leads against {_count(side.throttled, '429')}"
    return f"Four workers lost {side.failed} of {side.leads} leads to {_count(side.throttled, '429')}"


def _urgent(side: SideResult) -> str:
    wait_s = side.wait_median_s
    return "" if wait_s is None else f", and an urgent lead had its e-mail after {wait_s:.1f} s (median)"


def _count(number: int, thing: str) -> str:
    return f"{number or 'no'} {thing}{'' if number == 1 else 's'}"


def _bad(number: int, *, good_max: int = 0) -> Text:
    return Text(str(number), style="bold red" if number > good_max else "green")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _seconds(wait_s: float | None) -> str:
    return "-" if wait_s is None else f"{wait_s:.1f} s"
