"""The plot: how long requests had waited when they were called, by time of day, and the part of the quota spent.

Loaded only for `--plot`: matplotlib is an extra of its own, `headrace[plot]`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from headrace.broker.amounts import spoken_s
from headrace.broker.cli.simulate.page import spoken_ms
from headrace.broker.cli.simulate.report import the_one_asked_for
from headrace.broker.planner.plan import Outlook, Plan
from headrace.broker.planner.timeline import Stretch
from headrace.broker.planner.workload import DAY_MS, HOUR_MS

_COLOURS: Final = ("#c0392b", "#2874a6", "#95a5a6", "#1e8449", "#7d3c98", "#ca6f1e")
_INK: Final = "#2c3e50"
_WAITS_S: Final = (0.1, 1, 10, 60, 600, 3_600, 21_600, 86_400, 432_000)
_WAIT_MIN_S: Final = 0.1
_STEPS_MS: Final = (60_000, 300_000, 900_000, HOUR_MS, 3 * HOUR_MS, 6 * HOUR_MS, 12 * HOUR_MS, DAY_MS, 7 * DAY_MS)
_TICKS_MAX: Final = 12
_STYLE: Final[dict[Any, Any]] = {
    "font.size": 10,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "headrace",
}


def draw(plan: Plan, outlooks: list[Outlook], path: Path) -> None:
    """Write the picture, of the kind that the file's ending names. Raises OSError."""
    outlook = the_one_asked_for(outlooks)
    lanes = [name for name in plan.settings.lanes if name in outlook.timeline.lanes]
    colours = dict(zip(lanes, _COLOURS * len(lanes), strict=False))
    with rc_context(_STYLE):
        figure = Figure(figsize=(11, 7.2), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.12)  # type: ignore[union-attr, call-arg] # of the layout just chosen
        waits, tokens = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        _draw_waits(waits, plan, outlook, colours)
        _draw_tokens(tokens, outlook, colours)
        _mark_time(tokens, plan, outlook)
        figure.suptitle(_title(outlook), x=0.012, ha="left", fontsize=13, fontweight="bold")
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, dpi=130, metadata=metadata)


def _title(outlook: Outlook) -> str:
    late = f"{outlook.missed:,} come too late" if outlook.missed else "none misses its deadline"
    return f"{outlook.record.arrived:,} requests on {outlook.tokens_per_minute:,} tokens a minute: {late}"


def _draw_waits(axes: Axes, plan: Plan, outlook: Outlook, colours: Mapping[str, str]) -> None:
    timeline, largest_s = outlook.timeline, 10.0
    for lane, colour in colours.items():
        stretches = sorted(timeline.lanes[lane].items())
        shown = [(number, stretch) for number, stretch in stretches if stretch.called]
        hours = [(number + 0.5) * timeline.width_ms / HOUR_MS for number, _ in shown]
        mean_s = [max(_WAIT_MIN_S, stretch.waited_ms / stretch.called / 1_000) for _, stretch in shown]
        most_s = [max(_WAIT_MIN_S, stretch.waited_most_ms / 1_000) for _, stretch in shown]
        waits = outlook.record.lanes[lane].wait_ms
        label = f"{lane}: {spoken_ms(waits.mean or 0)} on average, longest {spoken_ms(waits.largest)}"
        front = len(colours) - list(colours).index(lane) + 2  # the most urgent lane is not hidden by another
        axes.plot(hours, mean_s, color=colour, linewidth=2, label=label, zorder=front, clip_on=False)
        axes.fill_between(hours, mean_s, most_s, color=colour, alpha=0.18, linewidth=0, zorder=front)
        largest_s = max([largest_s, *most_s])
    _mark_deadlines(axes, plan, colours, largest_s)
    axes.set_yscale("log")
    axes.set_ylim(_WAIT_MIN_S, largest_s * 3)
    axes.yaxis.set_major_locator(FixedLocator([each for each in _WAITS_S if each <= largest_s * 3]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_tick_of))
    axes.grid(axis="y", color=_INK, alpha=0.12)
    axes.set_title("Wait until the call, by time of the call (line: mean, shade: longest)", loc="left", pad=28)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.005, 0.99),
        ncols=3,
        frameon=False,
        fontsize=9,
        handlelength=1.4,
        borderpad=0.2,
    )


def _tick_of(wait_s: float, _: int | None) -> str:
    return "at once" if wait_s <= _WAIT_MIN_S else spoken_s(wait_s).replace(".0 s", " s")


def _mark_deadlines(axes: Axes, plan: Plan, colours: Mapping[str, str], largest_s: float) -> None:
    """Draw a lane's deadline where its waits come near to it."""
    for lane, colour in colours.items():
        asked_ms = [stream.deadline_ms for stream in plan.workload.streams if stream.lane == lane]
        named_ms = [each for each in asked_ms if each is not None]
        deadline_s = min(named_ms) / 1_000 if named_ms else plan.settings.lanes[lane].deadline_s
        if deadline_s <= largest_s * 3:
            axes.axhline(deadline_s, color=colour, linestyle=(0, (1, 2)), linewidth=1.2)
            axes.annotate(
                f"deadline of {lane}",
                (0.006, deadline_s),
                xycoords=("axes fraction", "data"),
                va="bottom",
                color=colour,
                fontsize=9,
            )


def _draw_tokens(axes: Axes, outlook: Outlook, colours: Mapping[str, str]) -> None:
    timeline = outlook.timeline
    stretches = max((number for lane in timeline.lanes.values() for number in lane), default=0) + 1
    edges = [number * timeline.width_ms / HOUR_MS for number in range(stretches + 1)]
    below = [0.0] * stretches
    for lane, colour in colours.items():
        minutes = timeline.width_ms / 60_000
        numbers = timeline.lanes[lane]
        above = [
            below[number] + numbers.get(number, Stretch()).charged / minutes / 1_000 for number in range(stretches)
        ]
        axes.stairs(above, edges, baseline=below, fill=True, color=colour, alpha=0.75, linewidth=0)
        below = above
    quota = outlook.tokens_per_minute / 1_000
    axes.axhline(quota, color=_INK, linestyle="--", linewidth=1.3)
    axes.annotate(
        f"quota: {quota:,.0f} k tokens a minute",
        (0.006, quota),
        xycoords=("axes fraction", "data"),
        va="bottom",
        fontsize=9,
    )
    axes.set_ylim(0, max([quota, *below]) * 1.15)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f} k"))
    axes.grid(axis="y", color=_INK, alpha=0.12)
    whole = "the quota" if outlook.enforces_quota else "what the server offered"
    axes.set_title(f"Tokens spent per minute, by lane ({outlook.used:.0%} of {whole})", loc="left")


def _mark_time(axes: Axes, plan: Plan, outlook: Outlook) -> None:
    """Draw times of day below, with a thin line at each midnight."""
    starts_ms = plan.workload.starts_ms
    ends_ms = max(outlook.record.ended_ms, 1)
    step_ms = next((step for step in _STEPS_MS if ends_ms / step <= _TICKS_MAX), _STEPS_MS[-1])
    first_ms = -(-starts_ms // step_ms) * step_ms
    ticks_ms = range(first_ms, starts_ms + ends_ms + 1, step_ms)
    days = ends_ms > DAY_MS
    axes.set_xlim(0, ends_ms / HOUR_MS)
    axes.set_xticks(
        [(tick - starts_ms) / HOUR_MS for tick in ticks_ms], [_time_of(tick, days=days) for tick in ticks_ms]
    )
    for midnight in range(DAY_MS * (starts_ms // DAY_MS + 1), starts_ms + ends_ms, DAY_MS):
        for each in axes.figure.axes:
            each.axvline((midnight - starts_ms) / HOUR_MS, color=_INK, alpha=0.25, linewidth=0.8)


def _time_of(at_ms: int, *, days: bool) -> str:
    day, rest_ms = divmod(at_ms, DAY_MS)
    clock = f"{rest_ms // HOUR_MS:02}:{rest_ms // 60_000 % 60:02}"
    return f"{clock}\nday {day + 1}" if days and (rest_ms == 0 or at_ms == 0) else clock
