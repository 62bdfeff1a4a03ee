"""One answer as text: a word, a sentence, the numbers, what Headrace would do, and what the reader can do."""

import textwrap
from collections.abc import Iterator
from typing import Final

import typer

from headrace.broker.cli.explain.advice import a_period, spoken_ms, what_headrace_does, what_it_means, what_to_do
from headrace.broker.cli.terminal import safe
from headrace.broker.core.answers.rate_limit_headers import Reading, SideReading
from headrace.broker.core.answers.verdict import Answer, Fault, Verdict, error_words

_LABEL: Final = 10
_BAR_CELLS: Final = 20
_COLOURS: Final = {
    Fault.NONE: typer.colors.GREEN,
    Fault.LIMIT: typer.colors.YELLOW,
    Fault.SERVER: typer.colors.YELLOW,
    Fault.REQUEST: typer.colors.RED,
    Fault.ACCOUNT: typer.colors.RED,
}


def page(answer: Answer, verdict: Verdict, *, where: str, width: int) -> Iterator[str]:
    """Yield the lines; `where` is the place in the input, or empty."""
    word = typer.style(f"{verdict.meaning}", fg=_COLOURS[verdict.fault], bold=True)
    facts = "  ".join(filter(None, (", ".join(error_words(answer)), where)))
    yield f"{word}  {typer.style(safe(facts), dim=True)}" if facts else word
    yield from _wrapped("", what_it_means(answer, verdict), width)
    limit = verdict.limit
    if limit is not None and limit.capacity and limit.used is not None:
        yield _fact("spent", _share(limit.used, limit.capacity))
    shown: list[Reading | SideReading] = [*verdict.readings, *verdict.side_readings]
    for reading in shown:
        yield _fact("left", _left(reading))
    if verdict.charge is not None:
        yield _fact("charged", f"{verdict.charge:,} tokens")
    if verdict.wait_ms is not None:
        yield _fact("again in", spoken_ms(verdict.wait_ms))
    if verdict.shape is not None:
        yield _fact("unknown", f"{verdict.shape}: please report it, so that a later release knows it")
    yield from _wrapped("Headrace", what_headrace_does(answer, verdict).removeprefix("Headrace "), width)
    yield from _wrapped("you", what_to_do(answer, verdict), width)


def _left(reading: Reading | SideReading) -> str:
    name = reading.metric.value if isinstance(reading, Reading) else reading.kind
    period = "" if reading.period_ms is None else f" {a_period(reading.period_ms)}"
    full = f", full in {spoken_ms(reading.full_in_ms)}" if reading.full_in_ms else ""
    numbers = f"{reading.remaining:,} of {reading.capacity:,} {name.replace('-', ' ')}{period}{full}"
    return f"{_bar(reading.remaining, reading.capacity)} {numbers}"


def _share(part: int, whole: int) -> str:
    return f"{_bar(part, whole)} {part / whole:.1%}"


def _bar(part: int, whole: int) -> str:
    cells = min(_BAR_CELLS, round(_BAR_CELLS * part / whole))
    return "█" * cells + "░" * (_BAR_CELLS - cells)


def _fact(label: str, text: str) -> str:
    return f"  {label:<{_LABEL}}{safe(text)}"


def _wrapped(label: str, text: str, width: int) -> Iterator[str]:
    first = f"  {label:<{_LABEL}}" if label else "  "
    yield from textwrap.wrap(
        safe(text), max(width, 40), initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False
    )
