"""Two of the e-mails that were written, beside their leads."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from headrace.broker.cli.demo.timetable import Job
from headrace.broker.cli.terminal import safe

WRITTEN_IN: Final = ("de", "fr", "es")  # the simulated model's languages beside English
_BESIDE_MIN: Final = 96  # columns from which two of them have room beside each other
_WIDTH_MAX: Final = 140
_NOTE_CHARS: Final = 110


def chosen_emails(jobs: Sequence[Job], text_of: Mapping[str, str]) -> list[Job]:
    """Choose two answered leads: an urgent one, and one with an e-mail in another language than English."""
    answered = [job for job in jobs if job.id in text_of]
    urgent = [job for job in answered if job.lead.is_urgent]
    first = next((job for job in urgent if job.lead.language == "en"), next(iter(urgent), None))
    abroad = (job for job in answered if job.lead.language in WRITTEN_IN and job is not first)
    return [job for job in (first, next(abroad, None)) if job is not None]


class Emails:
    """The chosen e-mails for rich, beside each other where there is room."""

    def __init__(self, jobs: Sequence[Job], text_of: Mapping[str, str]) -> None:
        """Choose from the leads that were answered."""
        self._chosen = [(job, text_of[job.id]) for job in chosen_emails(jobs, text_of)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the e-mails; rich calls this."""
        panels = [_panel(job, text) for job, text in self._chosen]
        if len(panels) < 2 or options.max_width < _BESIDE_MIN:
            yield from panels
            return
        row = Table.grid(expand=True, padding=(0, 1))
        for _ in panels:
            row.add_column(ratio=1)
        row.add_row(*panels)
        row.width = min(options.max_width, _WIDTH_MAX)
        yield row


def _panel(job: Job, text: str) -> RenderableType:
    lead = job.lead
    title = Text.assemble((lead.contact_name, "bold"), f" · {lead.company}")
    note = textwrap.shorten(lead.note, _NOTE_CHARS, placeholder=" …")
    about = Text(f"{lead.urgency} · {lead.role} · {lead.country}, {lead.language} · “{note}”", style="dim italic")
    inside = Group(about, Text(""), Text(safe(text, keep="\n\t")))
    return Panel(inside, title=title, title_align="left", padding=(0, 1), border_style="cyan")
