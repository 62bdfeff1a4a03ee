"""The chart of a report: cost and tokens of each hour or day, stacked by the report's first dimension.

Loaded only for `--plot`: matplotlib is an extra of its own, `headrace[plot]`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from warnings import catch_warnings, filterwarnings

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from headrace.broker.amounts import counted
from headrace.broker.cli.report.amounts import spoken_share, spoken_tokens, spoken_usd
from headrace.broker.cli.report.table import NAMELESS, spoken_period
from headrace.broker.cli.terminal import safe, short
from headrace.broker.spending.report import SpendingReport
from headrace.broker.spending.timeline import DAY, HOUR, SpendingTimeline, TimelineRow
from headrace.schemas.money import PICO_PER_USD
from headrace.schemas.spending import OTHERS

_STACKED_MAX: Final = 7
"""Values with a colour of their own; the others are stacked on top, in grey."""
_NAME_CHARS_MAX: Final = 26
_TICKS_MAX: Final = 12
_DAYS_MAX: Final = 8
"""Days whose names have room beside each other."""
_MONDAY: Final = datetime(1970, 1, 5, tzinfo=UTC)
"""A week's ticks stand at Mondays."""
_STEPS: Final = (
    *(hours * HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * DAY for days in (1, 2, 7, 14, 28, 84, 182, 364, 1_092, 3_640)),
)
_YEAR_FROM: Final = 28 * DAY
"""Ticks so far apart name the year instead of the day of the week."""
_FONTS: Final = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans JP",
    "Noto Sans SC",
    "Noto Sans KR",
    "Source Han Sans",
    "WenQuanYi Micro Hei",
    "IPAexGothic",
    "Hiragino Sans",
    "PingFang SC",
    "Apple SD Gothic Neo",
    "Yu Gothic",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Arial Unicode MS",
)
"""For names in scripts that matplotlib's own font lacks, of those that are installed."""


@dataclass(frozen=True, slots=True)
class _Look:
    """Colours of a ground; the stacked ones by Paul Tol, told apart by colour-blind readers too."""

    ground: str
    ink: str
    quiet: str
    stacked: tuple[str, ...]
    others: str


_LIGHT: Final = _Look(
    ground="#ffffff",
    ink="#22313a",
    quiet="#5f727c",
    stacked=("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#e08a3c"),
    others="#b4bcc2",
)
_DARK: Final = _Look(
    ground="#11181d",
    ink="#e4ebef",
    quiet="#94a5af",
    stacked=("#77aadd", "#ee8899", "#44bb88", "#ddcc66", "#88ddee", "#cc77bb", "#eeaa66"),
    others="#6a757c",
)


@dataclass(frozen=True, slots=True)
class _Series:
    """One layer: its name, its colour, and what it used in each hour or day and in all."""

    name: str
    colour: str
    usd: Sequence[float]
    tokens: Sequence[float]


def draw(report: SpendingReport, path: Path, *, dark: bool = False) -> None:
    """Write the picture, of the kind that the file's ending names. Raises OSError."""
    look, time = _DARK if dark else _LIGHT, report.tally.timeline
    assert time is not None  # noqa: S101 — programmer error: a chart is asked for before anything is read
    series, unit = _series(time, look), "hour" if time.width == HOUR else "day"
    has_cost = bool(report.whole.sums.pico_usd)
    with rc_context(_style(look)):
        figure = Figure(figsize=(11, 7.2 if has_cost else 4.6), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.1, w_pad=0.1)  # type: ignore[union-attr, call-arg] # of this layout
        panels = figure.subplots(2 if has_cost else 1, 1, sharex=True, squeeze=False)[:, 0]
        if has_cost:
            _stack(panels[0], time, [(each.usd, each.colour) for each in series], f"Cost per {unit}", _tick_usd)
        layers = [(each.tokens, each.colour) for each in series]
        _stack(panels[-1], time, layers, f"Tokens per {unit}, input and output", _tick_tokens)
        for panel in panels:
            _fade_incomplete(panel, time, look)
        _mark_time(panels[-1], time)
        _legend(figure, report, series)
        _head(figure, report)
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        with catch_warnings():
            filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)  # a box stands for it
            figure.savefig(path, dpi=130, metadata=metadata)


def _style(look: _Look) -> dict[Any, Any]:
    return {
        "font.family": _installed(),
        "font.size": 10,
        "figure.facecolor": look.ground,
        "savefig.facecolor": look.ground,
        "axes.facecolor": look.ground,
        "axes.edgecolor": look.quiet,
        "axes.labelcolor": look.ink,
        "axes.spines.left": False,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "grid.color": look.quiet,
        "text.color": look.ink,
        "text.parse_math": False,
        "xtick.color": look.quiet,
        "ytick.color": look.quiet,
        "xtick.labelcolor": look.ink,
        "ytick.labelcolor": look.ink,
        "ytick.left": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "headrace",
    }


def _installed() -> list[str]:
    """Return the fonts in which a letter is looked for; matplotlib would complain of one that is not installed."""
    names = set(get_font_names())
    return ["DejaVu Sans", *(name for name in _FONTS if name in names), "sans-serif"]


def _series(time: SpendingTimeline, look: _Look) -> list[_Series]:
    """Return the layers, the largest first, below all others together."""
    sizes = {value: (sum(row.pico_usd), sum(row.tokens)) for value, row in time.rows.items()}
    ordered = sorted((value for value in sizes if value != OTHERS), key=sizes.__getitem__, reverse=True)
    own = ordered[:_STACKED_MAX]
    layers = [
        _layer(safe(short(value or NAMELESS, _NAME_CHARS_MAX)), colour, time.rows[value])
        for value, colour in zip(own, look.stacked, strict=False)
    ]
    others = [time.rows[value] for value in (*ordered[_STACKED_MAX:], OTHERS) if value in time.rows]
    if others:
        together = TimelineRow([0] * time.bins, [0] * time.bins)
        for row in others:
            together.add(row)
        name = OTHERS if OTHERS in time.rows else f"{len(others):,} more"
        layers.append(_layer(name, look.others, together))
    return layers


def _layer(name: str, colour: str, row: TimelineRow) -> _Series:
    return _Series(name, colour, [pico_usd / PICO_PER_USD for pico_usd in row.pico_usd], row.tokens)


def _stack(
    axes: Axes,
    time: SpendingTimeline,
    layers: Sequence[tuple[Sequence[float], str]],
    title: str,
    tick: Callable[[float, int | None], str],
) -> None:
    edges = range(time.bins + 1)
    below = [0.0] * time.bins
    for amounts, colour in layers:
        above = [low + amount for low, amount in zip(below, amounts, strict=True)]
        axes.stairs(above, edges, baseline=below, fill=True, color=colour, linewidth=0)
        below = above
    axes.set_ylim(0, max([*below, 0.0]) * 1.08 or 1)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(tick))
    axes.grid(axis="y", alpha=0.25, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", fontsize=11)


def _tick_usd(usd: float, _: int | None) -> str:
    return f"${usd:,.0f}" if usd >= 1_000 else f"${usd:.9f}".rstrip("0").rstrip(".")


def _tick_tokens(tokens: float, _: int | None) -> str:
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if tokens >= factor:
            return f"{tokens / factor:g}{unit}"
    return f"{tokens:g}"


def _fade_incomplete(axes: Axes, time: SpendingTimeline, look: _Look) -> None:
    """Fade the first and the last hour or day where the period holds only a part of it."""
    ends = (
        (0, time.begin < time.period.since),
        (time.bins - 1, time.begin + time.bins * time.width > time.period.until),
    )
    for number, is_incomplete in ends:
        if is_incomplete and time.bins > 2:
            axes.axvspan(number, number + 1, color=look.ground, alpha=0.5, linewidth=0, zorder=3)


def _mark_time(axes: Axes, time: SpendingTimeline) -> None:
    """Write days, or the hours of a short period, below; a thin line stands at each midnight of some days."""
    axes.set_xlim(0, time.bins)
    length = time.bins * time.width
    step = next((each for each in _STEPS if length / each <= (_DAYS_MAX if each >= DAY else _TICKS_MAX)), _STEPS[-1])
    first = _floor(time.begin + step - timedelta(microseconds=1), step)
    instants = [first + number * step for number in range((time.begin + length - first) // step + 1)]
    places = [(at - time.begin) / time.width for at in instants]
    axes.set_xticks(places, [_name_of(at, step) for at in instants], ha="left" if step >= DAY else "center")
    axes.set_xlabel("UTC", loc="right", fontsize=9)


def _name_of(at: datetime, step: timedelta) -> str:
    if step >= _YEAR_FROM:
        return f"{at.day} {at:%b %Y}"
    day = f"{at:%a} {at.day} {at:%b}"
    return day if step >= DAY else f"{at:%H:%M}\n{day}" if at.hour == 0 else f"{at:%H:%M}"


def _legend(figure: Figure, report: SpendingReport, series: Sequence[_Series]) -> None:
    """Name the layers on the right, in the order in which they lie above each other."""
    whole_usd, whole_tokens = report.whole.sums.pico_usd / PICO_PER_USD, report.whole.tokens
    handles = [Patch(color=each.colour, label=_label(each, whole_usd, whole_tokens)) for each in reversed(series)]
    title = f"by {report.tally.question.stacked_by}"
    legend = figure.legend(
        handles=handles,
        title=title,
        loc="outside right upper",
        frameon=False,
        fontsize=9.5,
        labelspacing=0.9,
        handlelength=1.0,
        handleheight=1.4,
        alignment="left",
    )
    legend.get_title().set_fontweight("bold")


def _label(layer: _Series, whole_usd: float, whole_tokens: int) -> str:
    tokens = sum(layer.tokens)
    told = f"{spoken_tokens(tokens)} tokens"
    if not whole_usd:
        return f"{layer.name}\n{told} ({spoken_share(tokens / whole_tokens if whole_tokens else None)})"
    usd = sum(layer.usd)
    return f"{layer.name}\n{spoken_usd(usd * PICO_PER_USD)} ({spoken_share(usd / whole_usd)}), {told}"


def _head(figure: Figure, report: SpendingReport) -> None:
    """Write what all of it is, and the period."""
    figure.suptitle(_title(report), x=0.012, ha="left", fontsize=14, fontweight="bold")
    figure.axes[0].set_title(spoken_period(report.tally.question.period), loc="right", fontsize=9)


def _title(report: SpendingReport) -> str:
    sums = report.whole.sums
    cost = f"{spoken_usd(sums.pico_usd)} for " if sums.pico_usd else ""
    return f"{cost}{spoken_tokens(report.whole.tokens)} tokens of {counted(sums.outcomes, 'request')}"


def _floor(at: datetime, width: timedelta) -> datetime:
    return _MONDAY + (at - _MONDAY) // width * width
