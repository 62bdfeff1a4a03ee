"""A long steady workload in parts: runs side by side, each with a seed of its own, reported as one.

The state of a queue an hour ago says nothing of its state now, provided that it is empty now and then. So in eight
parts of a day requests wait on average as in the whole day, and the parts also show the precision of that average: this
is the method of independent replications. A dispatcher that has just started waits for its first answers, so every part
has a lead-in that is not counted.

The method holds for a constant load that leaves room. Everything else is run whole: batches and rhythms, quotas by the
day, behaviours (which happen at an instant), and loads above 95 % of the capacity of any limit, own cap or bound on
calls in flight.

The number of parts depends on the plan alone, so that every machine gets the same result.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from statistics import stdev
from typing import Final

from headrace.broker.planner.arrivals import ENDPOINTS
from headrace.broker.planner.plan import LimitOutlook, Outlook, Plan, Quota, busiest_hour
from headrace.broker.planner.record import LaneRecord, RunRecord
from headrace.broker.planner.timeline import Timeline
from headrace.broker.planner.workload import HOUR_MS, Stream
from headrace.broker.simulator.pricing import ChatLaw, charge_at, settlement_of
from headrace.broker.simulator.tally import Tally

COUNTS: Final = (8, 4)
"""Possible numbers of parts; each divides the stretches of a timeline."""
REQUESTS_MIN: Final = 50_000
"""Least requests of a part: one with few would be little more than its beginning."""
LEAD_IN_MS: Final = 30_000
"""Least lead-in. By then the first answers are there and the core has learned the limit from them."""
LOAD_MAX: Final = 0.95
"""A queue forgets within about 1 / (1 - load)^2 requests: here 400, of a part's 50,000."""
_STUDENT_95: Final = {4: 3.182, 8: 2.365}
"""Student's t for an interval of 95 %, by the number of parts."""


def parts_of(plan: Plan, factor: float = 1.0) -> tuple[Plan, ...]:
    """Split a plan on `factor` times the quota into parts; the plan alone if it must be run whole."""
    expected = plan.expected or 0
    count = next((count for count in COUNTS if expected >= count * REQUESTS_MIN), 1)
    return in_parts(plan, count) if count > 1 and _is_steady(plan, factor) else (plan,)


def in_parts(plan: Plan, count: int) -> tuple[Plan, ...]:
    """Split a steady plan into `count` parts."""
    return tuple(_part(plan, number, count) for number in range(count))


def together(plan: Plan, parts: Sequence[Outlook]) -> Outlook:
    """Combine the results of a plan's parts, one after another in time."""
    if len(parts) == 1:
        return parts[0]
    shifts_ms = [number * _length_ms(plan, len(parts)) - _lead_in_ms(plan) for number in range(len(parts))]
    record = RunRecord({name: LaneRecord() for name in parts[0].record.lanes})
    timeline = Timeline(plan.stretch_width_ms)
    for part, shift_ms in zip(parts, shifts_ms, strict=True):
        record.take_in(part.record, shift_ms)
        timeline.take_in(part.timeline, shift_ms)
    limits = tuple(
        _joined(each, record.ended_ms, shifts_ms[-1]) for each in zip(*(part.limits for part in parts), strict=True)
    )
    quotas = [limit.quota for limit in limits]
    means = {name: [part.record.lanes[name].wait_ms.mean for part in parts] for name in record.lanes}
    return Outlook(
        factor=parts[0].factor,
        record=record,
        limits=limits,
        timeline=timeline,
        busiest_hour=busiest_hour(timeline, record, quotas),
        parts=len(parts),
        wait_within_ms={name: within for name, each in means.items() if (within := _within(each)) is not None},
    )


def _part(plan: Plan, number: int, count: int) -> Plan:
    """Return one of `count` parts, with a seed of its own; as long as the others, or with as many requests."""
    seed, expected = Random(f"{plan.workload.seed}/part {number}").getrandbits(62), plan.expected or 0
    counted = plan.requests_max == expected
    requests = expected * (number + 1) // count - expected * number // count
    span_ms = None if counted else _lead_in_ms(plan) + _length_ms(plan, count)
    return replace(
        plan,
        workload=replace(plan.workload, span_ms=span_ms, seed=seed),
        upstream=replace(plan.upstream, seed=seed),
        times=replace(plan.times, seed=seed),
        requests_max=requests if counted else None,
        stretch_ms=plan.stretch_width_ms,
        lead_in_ms=_lead_in_ms(plan),
    )


def _lead_in_ms(plan: Plan) -> int:
    """Return the lead-in in whole stretches of the timeline."""
    return -(-LEAD_IN_MS // plan.stretch_width_ms) * plan.stretch_width_ms


def _length_ms(plan: Plan, count: int) -> int:
    """Return the duration of arrivals in each of `count` parts."""
    per_ms = sum(stream.per_hour for stream in plan.workload.streams) / HOUR_MS
    return round((plan.expected or 0) / per_ms / count)


def _is_steady(plan: Plan, factor: float) -> bool:
    """Whether arrivals are the same at all times, and no queue lasts."""
    streams, upstream = plan.workload.streams, plan.upstream
    quotas = [quota.times(factor) for quota in plan.quotas]
    if any(not stream.per_hour or len(set(stream.rhythm)) > 1 for stream in streams):
        return False
    if upstream.behaviours or upstream.burst_s is not None:
        return False
    if any(quota.tokens_per_day is not None or quota.requests_per_day is not None for quota in quotas):
        return False
    flying = _flying(streams, plan) / plan.settings.dispatcher.inflight_max
    return max([flying, *(_load(plan, quota) for quota in quotas)]) <= LOAD_MAX


def _load(plan: Plan, quota: Quota) -> float:
    """Return a limit's load: the demand on its scarcest resource, as a share of that."""
    drawing = [stream for stream in plan.workload.streams if stream.model in quota.models]
    law = ChatLaw(plan.upstream.law)
    tokens = sum(stream.per_hour * _charge(stream, law) for stream in drawing) / 60
    loads = [
        tokens / quota.tokens_per_minute,
        sum(stream.per_hour for stream in drawing) / 60 / quota.requests_per_minute,
    ]
    own = plan.settings.limits.get(quota.limit)
    if own is not None and own.cap_tokens_per_minute is not None:
        loads.append(tokens / own.cap_tokens_per_minute)
    if own is not None and own.inflight_max is not None:
        loads.append(_flying(drawing, plan) / own.inflight_max)
    return max(loads)


def _charge(stream: Stream, law: ChatLaw) -> float:
    """Return the tokens that a request of middle size is charged."""
    tokens, output = stream.input_tokens, stream.output_tokens
    _, asked = stream.sizes((tokens.low + tokens.high) // 2)
    endpoint = ENDPOINTS[stream.endpoint]
    return charge_at(endpoint, asked, law) + settlement_of(endpoint, asked, (output.low + output.high) // 2, law)


def _flying(streams: Sequence[Stream], plan: Plan) -> float:
    """Return the average calls in flight: as many as come while one lasts (Little's law)."""
    return sum(stream.per_hour for stream in streams) / 3_600 * sum(plan.upstream.latency_s) / 2


def _joined(limits: Sequence[LimitOutlook], ended_ms: int, shift_ms: int) -> LimitOutlook:
    """Combine one limit's parts: a bucket that was full once, at the start."""
    last = limits[-1]
    return replace(
        last,
        calls=sum(limit.calls for limit in limits),
        throttled=sum(limit.throttled for limit in limits),
        tokens=_poured(last.quota.tokens_per_minute, [limit.tokens for limit in limits], ended_ms),
        requests=_poured(last.quota.requests_per_minute, [limit.requests for limit in limits], ended_ms),
        last_admitted_ms=None if last.last_admitted_ms is None else shift_ms + last.last_admitted_ms,
    )


def _poured(per_minute: int, tallies: Sequence[Tally], ended_ms: int) -> Tally:
    return Tally(
        offered=per_minute + per_minute * ended_ms // 60_000,
        charged=sum(tally.charged for tally in tallies),
        refused=sum(tally.refused for tally in tallies),
        wasted=sum(tally.wasted for tally in tallies),
    )


def _within(means: Sequence[float | None]) -> float | None:
    """Return half of the interval that holds the overall mean in 95 of 100 plans; None where some part has none."""
    known = [mean for mean in means if mean is not None]
    if len(known) < len(means):
        return None
    return _STUDENT_95[len(known)] * stdev(known) / math.sqrt(len(known))
