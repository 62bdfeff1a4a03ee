"""The limits of a status as text: buckets with bars, and the law by which calls are charged."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from headrace.broker.amounts import spoken_period, spoken_s
from headrace.broker.cli.terminal import safe, short
from headrace.broker.service.status.findings import left_of, table_of
from headrace.broker.service.status.reading import Said

SHOWN_MAX: Final = 20
WIDE: Final = 130
"""Columns from which a limit and its buckets stand side by side."""
_BAR_CELLS: Final = 20
_NAME_CHARS_MAX: Final = 40
_GRAVE, _FAINT, _NOTED = "bold red", "dim", "yellow"


def columns(first: str, *others: str) -> Table:
    """Return a table of names, each with figures; on a narrow terminal names are folded, and no figure is cut."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style=_FAINT)
    table.add_column(first, overflow="fold", min_width=6)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def limits_shown(limits: Mapping[str, Said], *, leads: bool, width: int = WIDE) -> Iterator[RenderableType]:
    """Yield the limits with a row for each bucket or, on a narrow terminal, each as a line with its buckets below."""
    by_waiting = sorted(limits.items(), key=lambda item: -int(item[1].get("waiting", 0)))[:SHOWN_MAX]
    if width < WIDE:
        for name, limit in by_waiting:
            yield from _stacked(name, limit, leads=leads)
    else:
        yield _wide(by_waiting, leads=leads)
    if len(limits) > SHOWN_MAX:
        yield Text(f"and {len(limits) - SHOWN_MAX} more limits", style=_FAINT)


def _stacked(name: str, limit: Said, *, leads: bool) -> Iterator[RenderableType]:
    line = Text.assemble(named(name, "bold"), f"  {limit.get('waiting', 0):,} waiting, ")
    line.append(f"{limit.get('inflight', 0):,} in flight")
    if leads and (next_call := _next_call(limit)) != "-":
        line.append(", next call ").append(next_call)
    yield line
    if (course := _course(limit)) is not None:
        yield Text("  ").append(course)
    buckets = limit.get("buckets") or ()
    if not buckets:
        yield Text("  not known before the first answer", style=_FAINT)
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for bucket in buckets:
        metric, bar, level = _bucket(bucket)
        table.add_row(f"  {metric}", bar, level)
    yield table


def _wide(limits: Sequence[tuple[str, Said]], *, leads: bool) -> Table:
    table = columns("limit", "waiting", "in flight", "next call")
    for title in ("bucket", "left", ""):
        table.add_column(title, no_wrap=True)
    for name, limit in limits:
        buckets = limit.get("buckets") or ()
        first: tuple[Text | str, ...] = (
            named(name),
            f"{limit.get('waiting', 0):,}",
            f"{limit.get('inflight', 0):,}",
            _next_call(limit) if leads else "-",
        )
        if not buckets:
            table.add_row(*first, Text("not known before the first answer", style=_FAINT))
        for number, bucket in enumerate(buckets):
            table.add_row(*(first if number == 0 else ("", "", "", "")), *_bucket(bucket))
        if (course := _course(limit)) is not None:
            table.add_row("", "", "", "", course)
    return table


def charges_shown(limits: Mapping[str, Said], *, width: int = WIDE) -> Iterator[RenderableType]:
    """Yield the law by which each limit's calls are charged, as far as a dispatcher reports it."""
    titles = ("our error, tokens per call", "answers compared") if width >= WIDE else ("error", "answers")
    table = columns("limit", "charged by", *titles)
    told = [
        (name, endpoint, charge)
        for name, limit in limits.items()
        for endpoint, charge in table_of(limit, "charges").items()
    ]
    for name, endpoint, charge in told[:SHOWN_MAX]:
        law = charge.get("law") or "not known yet: the costliest law"
        error = charge.get("error_tokens")
        table.add_row(
            named(f"{name} {endpoint}"),
            safe(str(law)) if charge.get("identified") or not charge.get("law") else f"{safe(str(law))}, not proved",
            "-" if error is None else f"{error:+,}" if error else "0",
            f"{charge.get('evidence', 0):,}",
        )
    if told:
        yield Text("")
        yield table


def _course(limit: Said) -> Text | None:
    """Return what calls are spent by, where it is not what the server says."""
    measured = limit.get("measured_tokens_per_minute")
    if measured is None:
        return None
    return Text(f"{safe(str(limit.get('budget', '')))}: {measured:,} tokens a minute", style=_NOTED)


def _next_call(limit: Said) -> Text | str:
    if limit.get("breaker", "closed") != "closed":
        return Text("breaker open", style=_GRAVE)
    if limit.get("next_call_s") is None:
        return "after an answer" if limit.get("waiting") else "-"
    next_s = float(limit["next_call_s"])
    return f"in {spoken_s(next_s)}" if next_s > 0 else "now"


def _bucket(bucket: Said) -> tuple[str, Text, str]:
    low, high = left_of(bucket), left_of(bucket, "level_high")
    percent = f"{low:.0%}" if f"{low:.0%}" == f"{high:.0%}" else f"{low:.0%} to {high:.0%}"
    level = f"{percent}  {max(0, bucket['level_low']):,} of {bucket['capacity']:,}"
    whose = "project " if bucket.get("project") else ""
    return f"{whose}{bucket['metric']} a {spoken_period(float(bucket['period_s']))}", _bar(low, high), level


def _bar(low: float, high: float) -> Text:
    """Draw the tokens that are certainly left, those that may be left, and those that are spent."""
    sure = round(low * _BAR_CELLS)
    perhaps = max(0, round(high * _BAR_CELLS) - sure)
    bar = Text("█" * sure, style="red" if low < 0.05 else "yellow" if low < 0.2 else "green")
    return bar.append("▒" * perhaps).append("░" * (_BAR_CELLS - sure - perhaps), style=_FAINT)


def named(name: str, style: str = "") -> Text:
    """Return a foreign name, shortened and escaped; its brackets are not markup."""
    return Text(short(safe(name), _NAME_CHARS_MAX) or "(none)", style)
