"""Rates, spans and ranges as people write them in a workload file or on a command line.

Every error is a ValueError with half a sentence that states what is expected.
"""

import re
from typing import Final

from headrace.broker.planner.workload import HOUR_MS, Span

_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|sec|m|min|h|hours?|d|days?)?")
_UNITS_MS: Final = {"ms": 1, "s": 1_000, "sec": 1_000, "m": 60_000, "min": 60_000, "h": HOUR_MS, "hour": HOUR_MS}
_DAY: Final = {"d": 24 * HOUR_MS, "day": 24 * HOUR_MS}
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def span_ms(value: object) -> int:
    """Parse `90 s`, `10 min`, `2h`, `1 day`, or a number of seconds; more than zero."""
    found = _SPAN.fullmatch(str(value).strip()) if not isinstance(value, bool) else None
    unit_ms = _unit_ms(found[2] or "s") if found else 0
    if not found or (amount_ms := round(float(found[1]) * unit_ms)) < 1:
        raise ValueError(f"{value!r} is not a span: write 90 s, 10 min, 2 h or 1 day")
    return amount_ms


def per_hour(value: object) -> float:
    """Parse `2/s`, `90/min`, `1200/h`, `5000/day`."""
    number, slash, unit = str(value).partition("/")
    try:
        unit_ms = _unit_ms(unit.strip())
        rate = float(number) * HOUR_MS / unit_ms
    except (ValueError, KeyError):
        rate = -1.0
    if not slash or not 0 <= rate < 1e12:
        raise ValueError(f"{value!r} is not a rate: write 2/s, 90/min, 1200/h or 5000/day")
    return rate


def span(value: object) -> Span:
    """Parse `600`, or `300-1200` for any number between."""
    low, dash, high = str(value).partition("-")
    try:
        found = Span(int(low), int(high) if dash else int(low))
    except ValueError:
        found = Span(1, 0)
    if isinstance(value, bool) or not 0 <= found.low <= found.high <= 10_000_000:
        raise ValueError(f"{value!r} is not a number of tokens: write 600 or 300-1200")
    return found


def clock_ms(value: object) -> int:
    """Parse `22:30` to milliseconds after midnight."""
    found = _CLOCK.fullmatch(str(value))
    if not found:
        raise ValueError(f"{value!r} is not a time of day: write 22:30")
    return int(found[1]) * HOUR_MS + int(found[2]) * 60_000


def _unit_ms(unit: str) -> int:
    known = _UNITS_MS | _DAY
    return known[unit] if unit in known else known[unit.removesuffix("s")]
