"""Tokens and money of a status as text: three spans, and below them what the last day was spent on."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from headrace.broker.cli.status.limits import columns
from headrace.broker.cli.terminal import safe, short
from headrace.broker.service.status.findings import table_of
from headrace.broker.service.status.reading import Said
from headrace.broker.spending.sums import NAMED
from headrace.schemas.money import MICRO_PER_USD

NAMES_MAX: Final = 4
"""Names of each kind on one line, the rest together; `--json` has more."""
_SPANS: Final[Mapping[str, str]] = {
    "this_hour": "this hour",
    "last_hour": "last hour",
    "last_25_hours": "last 25 hours",
}
_NAME_CHARS_MAX: Final = 30
_FAINT: Final = "dim"
_CENT: Final = 0.01


def spending_shown(said: Said) -> Iterator[RenderableType]:
    """Yield the table of spans and a line for each kind of name; nothing if nothing was spent."""
    spending = table_of(said, "spending")
    spans = {title: table_of(spending, name) for name, title in _SPANS.items()}
    if not any(span.get("outcomes") for span in spans.values()):
        return
    yield Text("")
    table = columns("spent", "outcomes", "calls", "input", "cached", "output", "mean", "p50", "p95", "cost")
    for title, span in spans.items():
        share = span.get("cached_share")
        table.add_row(
            title,
            *(f"{int(span.get(name) or 0):,}" for name in ("outcomes", "calls", "input_tokens")),
            "-" if share is None else f"{100 * float(share):.0f} %",
            f"{int(span.get('output_tokens') or 0):,}",
            *(_size(span.get(f"tokens_{name}")) for name in ("mean", "p50", "p95")),
            money(span),
        )
    yield table
    by = table_of(spans["last 25 hours"], "by")
    for kind in NAMED:
        if (sums := table_of(by, kind)) and set(sums) != {""}:
            yield Text(f"by {kind}  {_line(sums)}")
    if spending.get("costs_enabled") is False:
        yield Text("(costs are off: costs.enabled)", style=_FAINT)
    if spending.get("caught_up") is False:
        yield Text("(these are older sums: the totals topic is not read to its end)", style=_FAINT)


def money(span: Mapping[str, Any]) -> str:
    """Return the cost in dollars; `+ 3 unpriced` where outcomes have none, which means that it is more.

    It is `-` where no outcome carries a cost, as with costs off.
    """
    dollars = float(span.get("micro_usd") or 0) / MICRO_PER_USD
    unpriced, without = int(span.get("unpriced") or 0), int(span.get("without_cost") or 0)
    if without and not dollars and not unpriced:
        return "-"
    told = f"${dollars:,.2f}" if dollars >= _CENT or not dollars else f"${dollars:.6f}"
    told = f"{told} + {unpriced:,} unpriced" if unpriced else told
    return f"{told} + {without:,} without a cost" if without else told


def _size(tokens: Any) -> str:
    return "-" if tokens is None else f"{float(tokens):,.0f}"


def _line(sums: Mapping[str, Said]) -> str:
    """Return the largest names with what they cost, or with their tokens where nothing has a price."""
    shown = [f"{_named(name)} {_amount(each)}" for name, each in list(sums.items())[:NAMES_MAX]]
    more = len(sums) - len(shown)
    return "  ".join([*shown, *([f"and {more} more"] if more > 0 else [])])


def _named(name: str) -> str:
    return short(safe(name), _NAME_CHARS_MAX) or "(none)"


def _amount(sums: Said) -> str:
    if sums.get("micro_usd"):
        return money(sums)
    return f"{int(sums.get('input_tokens') or 0) + int(sums.get('output_tokens') or 0):,} tokens"
