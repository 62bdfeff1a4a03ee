"""Rate limits in response headers, as integers.

OpenAI states its limits in two places. Headers give capacity, what remains and how long until the bucket is full; a 429
body gives an exact snapshot (`headrace.broker.core.answers.rate_limit_messages`). Neither names the period of a header
(a requests limit may be per minute or per day), so it is recovered from the refill law, `reset = (limit - remaining) /
limit * period` (facts/openai.md §3).

All functions are pure, take text, return integers and expect malformed input: gateways send `-1`, `30,000`, HTML,
megabytes or nothing. Unreadable values become None or are left out; nothing raises. Azure's `reset-*` are bare integers
of ambiguous unit, hence no durations; its `renewalperiod-*` state the period in seconds.

The names here are OpenAI's, which most servers use; `headrace.broker.core.answers.dialect_headers` reads other names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from headrace.broker.core.answers.numbers import (
    instant_ms,
    parse_count,
    parse_decimal_ms,
    parse_duration_ms,
    until_ms,
)
from headrace.broker.core.value import value

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
MONTH_MS: Final = 30 * DAY_MS  # seen on a free-tier organisation

RESET_MS_MAX: Final = 31 * DAY_MS
"""No limit takes longer to refill; a longer reset is not believed, since a call waiting for it would wait for ever."""
RESET_MS_MIN: Final = 10  # resets are whole milliseconds; below this, rounding hides the period
UNUSUAL_PERIOD_EVIDENCE: Final = 40  # used units and reset ms at which rounding explains at most 2 x 1/40 = 5 %

SIDE_KINDS: Final = ("project-tokens", "project-requests", "input-images", "input-tokens")
"""OpenAI's own words in the header names, and those of servers that count input by itself."""

_DECIMALS_OF_MS: Final = 3
USUAL_PERIODS_MS: Final = (SECOND_MS, MINUTE_MS, DAY_MS, MONTH_MS)  # no period is near two of them


class LimitMetric(StrEnum):
    """The unit that a limit counts."""

    TOKENS = "tokens"
    REQUESTS = "requests"


TOKENS: Final = LimitMetric.TOKENS  # module names, as every call compares them: cheaper before Python 3.12
REQUESTS: Final = LimitMetric.REQUESTS

PROJECT_METRICS: Final = {"project-tokens": TOKENS, "project-requests": REQUESTS}
"""The kinds of side readings that are a project's, and what they count."""


@dataclass(frozen=True, slots=True)
class _Names:
    """OpenAI's names of the headers of one bucket, and Azure's of its period."""

    limit: str
    remaining: str
    reset: str
    renewal: str


def _named(kind: str) -> _Names:
    return _Names(*(f"x-ratelimit-{word}-{kind}" for word in ("limit", "remaining", "reset", "renewalperiod")))


_METRICS: Final = tuple((metric, _named(metric.value)) for metric in LimitMetric)
_SIDES: Final = tuple((kind, _named(kind)) for kind in SIDE_KINDS)


@value
class Reading:
    """One bucket as response headers state it, right after the answered request was charged.

    `period_ms` is None where the headers do not let it be computed: the bucket is full, or nearly. It is `named` where
    the header's name states it, or its server's documentation: then one metric may have several buckets.
    """

    metric: LimitMetric
    capacity: int
    remaining: int
    period_ms: int | None
    full_in_ms: int | None = None
    named: bool = False


@dataclass(frozen=True, slots=True)
class SideReading:
    """A bucket beside the organisation's tokens and requests.

    `kind` is one of SIDE_KINDS: the project's buckets, which the budget reads with `of_project`, those of images and of
    input tokens, which it pays as well (`headrace.broker.core.budget.side_limits`). Other servers have further kinds
    (`headrace.broker.core.answers.dialect_table`): seconds of audio, a gateway's keys. They are for people.
    """

    kind: str
    capacity: int
    remaining: int
    period_ms: int | None
    full_in_ms: int | None = None

    def of_project(self) -> Reading | None:
        """Return what it says of a project's tokens or requests; None where it is about something else."""
        metric = PROJECT_METRICS.get(self.kind)
        if metric is None:
            return None
        return Reading(metric, self.capacity, self.remaining, self.period_ms, self.full_in_ms)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One bucket as a 429 body states it: exact, and not charged for the refused request.

    `requested` is the server's own charge for the request. `project` marks a project's bucket, which is a different one
    from the organisation's bucket that the headers describe.
    """

    metric: LimitMetric
    period_ms: int
    capacity: int
    used: int | None
    requested: int | None
    limit_name: str | None
    wait_ms: int | None
    project: bool = False


def reading_of(metric: LimitMetric, capacity: int, remaining: int, full_in_ms: int) -> Reading:
    """Return the reading that headers with these numbers would yield."""
    return Reading(metric, capacity, remaining, _period_ms(capacity, capacity - remaining, full_in_ms), full_in_ms)


class Lowered(dict[str, str]):
    """Headers with lower-case names and stripped values; a type of its own, so that they are converted only once."""

    __slots__ = ()


def lowered(headers: Mapping[str, str]) -> Lowered:
    """Return the headers with lower-case names, as every function here expects them."""
    if isinstance(headers, Lowered):
        return headers
    return Lowered([(name.lower(), value.strip()) for name, value in headers.items()])


def readings(headers: Mapping[str, str]) -> tuple[Reading, ...]:
    """Return the buckets that `x-ratelimit-*` headers describe; a metric with an unreadable number is left out."""
    by_name = lowered(headers)
    return tuple(
        [Reading(metric, *numbers) for metric, names in _METRICS if (numbers := _numbers(by_name, names)) is not None]
    )


def side_readings(headers: Mapping[str, str]) -> tuple[SideReading, ...]:
    """Return the buckets of the project, of images and of input tokens, where headers describe them.

    They are kept apart from `readings`: a project's tokens are a different bucket from the organisation's.
    """
    by_name = lowered(headers)
    return tuple(
        [SideReading(kind, *numbers) for kind, names in _SIDES if (numbers := _numbers(by_name, names)) is not None]
    )


def retry_after_ms(headers: Mapping[str, str]) -> int | None:
    """Return the wait that headers state: `retry-after-ms`, else `retry-after` in seconds or as an HTTP date.

    There is no clock here. A date is compared with the response's own `date`; without one it is ignored.
    """
    by_name = lowered(headers)
    for name, unit_ms in (("retry-after-ms", 1), ("retry-after", SECOND_MS)):
        if (wait_ms := parse_decimal_ms(by_name.get(name, ""), unit_ms)) is not None:
            return wait_ms
    return until_ms(by_name.get("retry-after", ""), by_name.get("date", ""))


def span_ms(text: str, date: str) -> int | None:
    """Return the time that a header or a field states in any form: Go's notation, seconds, or an instant after `date`.

    Ten or thirteen digits are an instant: no server states a wait of thirty years.
    """
    if instant_ms(text) is not None:
        return until_ms(text, date)
    duration_ms = parse_duration_ms(text)
    return parse_decimal_ms(text, SECOND_MS) if duration_ms is None else duration_ms


def exact_span_ms(text: str) -> int | None:
    """Return a time that is stated to the millisecond, as evidence of a refill must be; no whole seconds."""
    duration_ms, (whole, _, fraction) = parse_duration_ms(text), text.partition(".")
    if duration_ms is None and len(fraction) >= _DECIMALS_OF_MS and fraction.isdigit():
        duration_ms = parse_decimal_ms(f"{whole}.{fraction[:_DECIMALS_OF_MS]}", SECOND_MS)
    return duration_ms if duration_ms is None or duration_ms <= RESET_MS_MAX else None


def _numbers(by_name: Mapping[str, str], names: _Names) -> tuple[int, int, int | None, int | None] | None:
    """Return capacity, remaining, period and time until full of one bucket; None if the first two are unreadable."""
    if names.limit not in by_name:
        return None
    capacity = parse_count(by_name[names.limit])
    remaining = parse_count(by_name.get(names.remaining, ""))
    if not capacity or remaining is None:
        return None
    remaining = min(remaining, capacity)
    full_in_ms = parse_duration_ms(by_name.get(names.reset, ""))
    if full_in_ms is not None and full_in_ms > RESET_MS_MAX:
        full_in_ms = None
    # Azure's resets are bare numbers, of ms on one endpoint and of rounded seconds on another
    if not full_in_ms and names.renewal in by_name:
        renewal_ms = parse_decimal_ms(by_name[names.renewal], SECOND_MS)
        return capacity, remaining, renewal_ms if renewal_ms and renewal_ms <= RESET_MS_MAX else None, None
    return capacity, remaining, _period_ms(capacity, capacity - remaining, full_in_ms), full_in_ms


def _period_ms(capacity: int, used: int, full_in_ms: int | None) -> int | None:
    """Solve the refill law for the period, snapped to a usual one; an unusual one only if rounding cannot explain it.

    `remaining` is rounded to whole units: one request that has refilled by half still counts as one used, and would
    halve the computed period. And a window of which little is used computes to days: no answer alone shows an unusual
    period of more than an hour.
    """
    if full_in_ms is None or full_in_ms < RESET_MS_MIN or used < 1:
        return None
    computed = (full_in_ms * capacity + used // 2) // used
    for usual in USUAL_PERIODS_MS:
        if abs(computed - usual) * 20 <= usual:
            return usual
    is_exact = full_in_ms % SECOND_MS  # whole seconds are rounded, and what is left beside them may be as well
    evident = is_exact and min(used, full_in_ms) >= UNUSUAL_PERIOD_EVIDENCE and computed <= HOUR_MS
    return computed if evident else None
