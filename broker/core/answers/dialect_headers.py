"""Limits and charges in headers whose names are not OpenAI's.

`headrace.broker.core.answers.rate_limit_headers` reads OpenAI's own names, which most servers use. The names here state
their period, or their server's documentation does, so that one metric may have several buckets: tokens of a minute and
requests of a day. They are read only where OpenAI's are not all there, so that the usual answer costs nothing more.

A bucket of tokens or requests becomes a `Reading`, which the budget believes; any other a `SideReading`: the budget
believes those of input tokens and images, others are for people.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from headrace.broker.core.answers.dialect_table import TABLE
from headrace.broker.core.answers.dialects import HeaderBucket
from headrace.broker.core.answers.numbers import parse_count
from headrace.broker.core.answers.rate_limit_headers import LimitMetric, Reading, SideReading, exact_span_ms, span_ms

_BUCKETS: Final = tuple(dict.fromkeys(bucket for dialect in TABLE for bucket in dialect.buckets))
_BY_REMAINING: Final = {bucket.remaining: number for number, bucket in reversed(list(enumerate(_BUCKETS)))}
"""The number of the bucket whose level stands in a header."""
_CHARGES: Final = tuple(name for dialect in TABLE for name in dialect.charges)
_METRICS: Final = {metric.value: metric for metric in LimitMetric}
_POLICY: Final = re.compile(r"q=([0-9]{1,15})(?:;[a-z]{1,16}=[^;,]{0,64}){0,4};w=([0-9]{1,8})(?![0-9])")
_LEVEL: Final = re.compile(r";r=([0-9]{1,15})(?![0-9])")


class OtherLimits(NamedTuple):
    """Limits that headers state under other names than OpenAI's.

    Attributes:
        readings: Buckets that a budget may believe, each with its period; of one metric the shorter period comes first.
        side_readings: Other buckets.
        charge: Tokens charged for the answered call.
        wait_ms: The longest time until a bucket that is empty has refilled.
    """

    readings: tuple[Reading, ...] = ()
    side_readings: tuple[SideReading, ...] = ()
    charge: int | None = None
    wait_ms: int | None = None


NONE: Final = OtherLimits()


def other_limits(by_name: Mapping[str, str]) -> OtherLimits:
    """Return what headers with lower-case names state; a bucket with an unreadable number is left out."""
    numbers = sorted(_BY_REMAINING[name] for name in by_name if name in _BY_REMAINING)
    charge = next((parse_count(by_name[name]) for name in _CHARGES if name in by_name), None)
    if not numbers and charge is None and "ratelimit" not in by_name:
        return NONE
    readings: list[Reading] = []
    side: list[SideReading] = []
    waits: list[int] = []
    for bucket in (_BUCKETS[number] for number in numbers):
        _add(bucket, by_name, readings, side, waits)
    if (structured := _structured(by_name)) is not None:
        side.append(structured)
    return OtherLimits(tuple(readings), tuple(side), charge, max(waits, default=None))


def _add(
    bucket: HeaderBucket,
    by_name: Mapping[str, str],
    readings: list[Reading],
    side: list[SideReading],
    waits: list[int],
) -> None:
    """Add one bucket, if its numbers are readable."""
    capacity, remaining = parse_count(by_name.get(bucket.limit, "")), parse_count(by_name[bucket.remaining])
    if not capacity or remaining is None:
        return
    reset = by_name.get(bucket.reset, "")
    remaining, full_in_ms = min(remaining, capacity), exact_span_ms(reset)
    metric = None if bucket.shown_only else _METRICS.get(bucket.kind)
    if metric is not None:
        readings.append(
            Reading(metric, capacity, remaining, bucket.period_ms, full_in_ms, bucket.period_ms is not None)
        )
    else:
        side.append(SideReading(bucket.kind, capacity, remaining, bucket.period_ms, full_in_ms))
    if remaining == 0 and (wait_ms := span_ms(reset, by_name.get("date", ""))):
        waits.append(wait_ms)


def _structured(by_name: Mapping[str, str]) -> SideReading | None:
    """Read the structured fields of the IETF's draft: `"api";r=9;t=5` of the policy `"api";q=10;w=60`."""
    policy = _POLICY.search(by_name.get("ratelimit-policy", "")[:512])
    level = _LEVEL.search(by_name.get("ratelimit", "")[:512])
    if policy is None or level is None or not int(policy[1]):
        return None
    capacity = int(policy[1])
    return SideReading("requests", capacity, min(int(level[1]), capacity), int(policy[2]) * 1_000 or None)
