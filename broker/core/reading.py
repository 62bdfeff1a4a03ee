"""What response headers and 429 bodies say, as integers.

OpenAI states its limits in two places. Headers give capacity, what remains and how long until the bucket is full;
a 429 body gives an exact snapshot. Neither names the period of a header (a requests limit may be per minute or per
day), so it is recovered from the refill law, `reset = (limit - remaining) / limit * period` (facts/openai.md §3).

Everything here is pure text in, integers out, and expects the worst: gateways send `-1`, `30,000`, HTML, megabytes or
nothing. What cannot be read is None or left out; nothing raises. Azure's `reset-*` are bare integers of ambiguous
unit, hence no durations.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
MONTH_MS: Final = 30 * DAY_MS  # seen on a free-tier organisation

RESET_MS_MIN: Final = 10  # resets are whole milliseconds; below this, rounding drowns the period
UNUSUAL_PERIOD_EVIDENCE: Final = 40  # used units and reset ms at which rounding explains at most 2 x 1/40 = 5 %
MESSAGE_CHARS_MAX: Final = 2_000  # the longest real message has 500; a body may be an HTML page
DURATION_CHARS_MAX: Final = 64

_USUAL_PERIODS_MS: Final = (SECOND_MS, MINUTE_MS, DAY_MS, MONTH_MS)
_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,  # Go writes either of the two Unicode letters
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PERIODS_MS: Final = {"sec": SECOND_MS, "min": MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS}

_COUNT: Final = re.compile(r"[0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){1,4}")
_DECIMAL: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,12}))?")
_DURATION: Final = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,12})?(?:ns|us|[µμ]s|ms|s|m|h))+")
_DURATION_PART: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?([a-zµμ]+)")

_PERIOD: Final = re.compile(r"\bon (tokens|requests) per (sec|min|hour|day)(?:ond|ute)?\b")
_PERIOD_2022: Final = re.compile(r"\bfor (tokens|requests)\. Limit: [0-9.]+ / (sec|min|hour|day)\b")
_LIMIT: Final = re.compile(r"\bLimit:? ([0-9,]+)")
_USED: Final = re.compile(r"\b(?:Used|Current):? ([0-9,]+)")
_REQUESTED: Final = re.compile(r"\bRequested:? ([0-9,]+)")
_SHARED_NAME: Final = re.compile(r"\(for limit `?([\w.:/-]{1,128})`?\)")
_NAME: Final = re.compile(r"\b(?:reached|large) for (?:model )?`?([\w.:/-]{1,128})`? (?:in|on|\()")
_WAIT: Final = re.compile(r"\btry again in ([0-9][0-9a-zµμ.]*[a-zµμ])(?![\w])", re.IGNORECASE)
_WAIT_SECONDS: Final = re.compile(r"\b(?:try again|retry) (?:in|after) ([0-9.]+) seconds?\b", re.IGNORECASE)


class Metric(StrEnum):
    """What a limit counts."""

    TOKENS = "tokens"
    REQUESTS = "requests"


@dataclass(frozen=True, slots=True)
class Reading:
    """One bucket as response headers state it, right after the answered request was charged.

    `period_ms` is None where the headers do not let it be computed: the bucket is full, or nearly.
    """

    metric: Metric
    capacity: int
    remaining: int
    period_ms: int | None
    full_in_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One bucket as a 429 body states it: exact, and the refused request took nothing from it.

    `requested` is the server's own charge for the request. `project` marks a project's bucket, which is another one
    than the organisation's bucket that the headers describe.
    """

    metric: Metric
    period_ms: int
    capacity: int
    used: int | None
    requested: int | None
    limit_name: str | None
    wait_ms: int | None
    project: bool = False


def parse_duration_ms(text: str) -> int | None:
    """A Go duration (`6ms`, `1m0.198s`, `83h10m39.057s`) in milliseconds, rounded up; None if it is not one."""
    text = text.strip()
    if text == "0":
        return 0  # the only bare number that means the same in every unit
    if len(text) > DURATION_CHARS_MAX or not _DURATION.fullmatch(text):
        return None
    nanoseconds = sum(
        _scaled(whole, fraction, _NANOSECONDS[unit]) for whole, fraction, unit in _DURATION_PART.findall(text)
    )
    return -(-nanoseconds // 1_000_000)


def readings(headers: Mapping[str, str]) -> tuple[Reading, ...]:
    """The buckets that `x-ratelimit-*` headers describe; a metric with an unreadable number is left out.

    Project and image buckets are other headers (`…-project-tokens`, `…-input-images`) and are not read yet.
    """
    lowered = _lowered(headers)
    found = (_reading(lowered, metric) for metric in Metric)
    return tuple(reading for reading in found if reading is not None)


def retry_after_ms(headers: Mapping[str, str]) -> int | None:
    """The wait that headers state: `retry-after-ms`, else `retry-after` in seconds. An HTTP date is None: no clock."""
    lowered = _lowered(headers)
    for name, unit in (("retry-after-ms", 1_000_000), ("retry-after", 1_000_000_000)):
        if match := _DECIMAL.fullmatch(lowered.get(name, "")):
            return -(-_scaled(match[1], match[2], unit) // 1_000_000)
    return None


def snapshot(message: str) -> Snapshot | None:
    """The bucket a 429 message describes (templates: facts/openai.md §4.2), or None if it states no limit."""
    text = _flat(message)
    period = _PERIOD.search(text) or _PERIOD_2022.search(text)
    capacity = _number(_LIMIT, text)
    if period is None or not capacity:
        return None
    name = _SHARED_NAME.search(text) or _NAME.search(text)
    return Snapshot(
        metric=Metric(period[1]),
        period_ms=_PERIODS_MS[period[2]],
        capacity=capacity,
        used=_number(_USED, text),
        requested=_number(_REQUESTED, text),
        limit_name=name[1] if name else None,
        wait_ms=wait_in_ms(text),
        project=" in project " in text,
    )


def wait_in_ms(message: str) -> int | None:
    """The wait a message states in words: `try again in 1m2.5s`, `retry after 7 seconds`."""
    text = _flat(message)
    if match := _WAIT.search(text):
        return parse_duration_ms(match[1])
    if (match := _WAIT_SECONDS.search(text)) and (seconds := _DECIMAL.fullmatch(match[1])):
        return -(-_scaled(seconds[1], seconds[2], 1_000_000_000) // 1_000_000)
    return None


def _reading(lowered: Mapping[str, str], metric: Metric) -> Reading | None:
    capacity = _count(lowered.get(f"x-ratelimit-limit-{metric}", ""))
    remaining = _count(lowered.get(f"x-ratelimit-remaining-{metric}", ""))
    if not capacity or remaining is None:
        return None
    remaining = min(remaining, capacity)
    full_in_ms = parse_duration_ms(lowered.get(f"x-ratelimit-reset-{metric}", ""))
    return Reading(metric, capacity, remaining, _period_ms(capacity, capacity - remaining, full_in_ms), full_in_ms)


def _period_ms(capacity: int, used: int, full_in_ms: int | None) -> int | None:
    """The refill law solved for the period, snapped to a usual one; an unusual one only if rounding cannot explain it.

    `remaining` is rounded to whole units: one request that has refilled by half still counts as one used, and would
    halve the computed period.
    """
    if full_in_ms is None or full_in_ms < RESET_MS_MIN or used < 1:
        return None
    computed = (full_in_ms * capacity + used // 2) // used
    for usual in _USUAL_PERIODS_MS:
        if abs(computed - usual) * 20 <= usual:
            return usual
    return computed if min(used, full_in_ms) >= UNUSUAL_PERIOD_EVIDENCE else None


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value.strip() for name, value in headers.items()}


def _flat(message: str) -> str:
    return " ".join(message[:MESSAGE_CHARS_MAX].split())


def _count(text: str) -> int | None:
    return int(text.replace(",", "")) if _COUNT.fullmatch(text) else None


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    match = pattern.search(text)
    return _count(match[1].rstrip(",")) if match else None


def _scaled(whole: str, fraction: str | None, unit: int) -> int:
    """`whole.fraction` times an integer unit, without floats."""
    return int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
