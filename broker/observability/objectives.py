"""Alerts on the lanes' objectives: how fast each lane spends the 1 % of its outcomes that may be late.

Multi-window, multi-burn-rate, as chapter 5 of Google's SRE Workbook has it: a long window says that it matters, a short
one that it still happens. The rates are the workbook's, for an objective of 99 % over 30 days: 14.4 times over an hour
spends 2 % of the month's allowance, 6 times over six hours 5 %, 3 times over a day 10 %, once over three days 10 %.

In a quiet hour one late outcome of six would be a burn rate of 17. So the long window must hold `LATE_MIN` late
outcomes besides; a lane with fewer is not worth a person's night, and its late outcomes are on the dashboard.
Only lanes that promise an outcome within `PAGED_S` page: for a longer promise the next working hour is soon enough.
"""

from dataclasses import dataclass
from typing import Final

from headrace.broker.observability.panel import rate
from headrace.broker.observability.panels import BY_KEY

ALLOWED: Final = BY_KEY["late_share"].warn or 0.0
"""Share of outcomes that may be late."""

LATE_MIN: Final = 5
PAGED_S: Final = 3_600


@dataclass(frozen=True, slots=True)
class Burn:
    """A burn rate and the two windows in which it must be exceeded."""

    rate: float
    long: str
    short: str


FAST: Final = (Burn(14.4, "1h", "5m"), Burn(6, "6h", "30m"))
SLOW: Final = (Burn(3, "1d", "2h"), Burn(1, "3d", "6h"))

WINDOWS: Final = tuple(dict.fromkeys(window for burn in (*FAST, *SLOW) for window in (burn.short, burn.long)))


def recorded(window: str) -> str:
    """Return the name of the recording rule of the late share over a window."""
    return f"job_lane:headrace_outcomes_late:share{window}"


def late_share(window: str) -> str:
    """Return the query of the late share over a window; nothing where no outcome came."""
    late, timed = rate("outcomes_late", "lane", window=window), rate("outcomes_timed", "lane", window=window)
    return f"{late} / ({timed} > 0)"


def burns(*rates: Burn, paged: bool) -> str:
    """Return the condition that one of these rates is exceeded; `paged`: only of lanes whose promise is short."""
    where = f" and on (job, lane) (max by (job, lane) (headrace_lane_objective_seconds) <= {PAGED_S})" if paged else ""
    return " or ".join(f"({_burns(each)}{where})" for each in rates)


def _burns(burn: Burn) -> str:
    share = f"{burn.rate * ALLOWED:g}"
    late = f"sum by (job, lane) (increase(headrace_outcomes_late_total[{burn.long}]))"
    return f"{recorded(burn.long)} > {share} and {recorded(burn.short)} > {share} and {late} >= {LATE_MIN}"
