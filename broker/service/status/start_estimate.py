"""Estimate of a request's start, if no later arrival goes first.

The requests called by then are held against each constraint: each bucket of the limit (or its measured rate, where
that is followed), its own cap, the tenant's caps and the slots of calls in flight. The slowest one decides. Nothing is
foreseen of an open breaker, nor of a request that must wait for an answer while no call has ended yet.
"""

from collections.abc import Sequence

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.pricing.markup import Markup
from headrace.broker.core.requests.in_flight import CallsInFlight
from headrace.broker.core.ticket import Ticket
from headrace.broker.core.units import PPM, unreserved_slots
from headrace.broker.service.status.queue_position import QueueTotals


def flows_in_ms(budget: Budget, crowd: QueueTotals, reserved_ppm: int, now_ms: int) -> int:
    """Return the time until buckets and own cap of a limit have paid for these requests and still hold the reserve.

    Where a measured rate is followed, no bucket pays: then it is the time in which that rate lets them through.
    """
    checkpoint, share_ppm = budget.checkpoint(now_ms), budget.learned_limits().share_ppm
    tokens = Markup(checkpoint.markup_ppm).applied(crowd.tokens)
    waits_ms = [
        budget.pause_ms(now_ms),
        0 if budget.cap is None else budget.cap.flows_in_ms(tokens, reserved_ppm, now_ms),
    ]
    measured = budget.measured_tokens_per_minute
    if measured is not None:
        return max(*waits_ms, _flow_ms(tokens, measured, MINUTE_MS))
    for level in checkpoint.levels:
        of_tokens = level.metric is LimitMetric.TOKENS
        reserved = level.capacity * reserved_ppm // PPM
        missing = (tokens if of_tokens else crowd.requests) + reserved - level.low
        rate_ppm = share_ppm if of_tokens else PPM
        waits_ms.append(_flow_ms(missing, level.capacity * rate_ppm // PPM, level.period_ms))
    return max(*waits_ms, budget.sides.flows_in_ms(tokens, reserved_ppm, now_ms))


def lets_through_ms(flights: CallsInFlight, budget: Budget, crowd: QueueTotals, reserved_ppm: int) -> int | None:
    """Return the time until enough calls have ended for these requests; None: none has ended yet to measure by."""
    most, own = flights.slots(reserved_ppm), budget.settings.inflight_max
    waits_ms = [_ends_ms(crowd.requests + len(flights) - most, most, flights)]
    if own is not None:
        most = unreserved_slots(own, reserved_ppm)
        waits_ms.append(_ends_ms(crowd.requests + budget.inflight - most, most, flights))
    return _longest(waits_ms)


def cap_lets_through_ms(
    tenants: Tenants, ticket: Ticket, own: QueueTotals, flights: CallsInFlight, now_ms: int
) -> int | None:
    """Return the delay by its tenant's caps, after the tenant's earlier requests (`own`); None: it is unknown."""
    tenant = ticket.candidate.tenant
    rule = tenants.rule(tenant)
    if not rule.capped:
        return 0
    waits_ms: list[int | None] = [0]
    tokens = own.tokens + ticket.charge
    if rule.cap_tokens is not None:
        at_ms = tenants.free_at(tenant, min(tokens, rule.cap_tokens), now_ms)
        beyond_ms = _flow_ms(tokens - rule.cap_tokens, rule.cap_tokens, MINUTE_MS)
        waits_ms.append(beyond_ms if at_ms is None else at_ms - now_ms + beyond_ms)
    if rule.inflight_max is not None:
        missing = own.requests + 1 + tenants.inflight(tenant) - rule.inflight_max
        waits_ms.append(_ends_ms(missing, rule.inflight_max, flights))
    return _longest(waits_ms)


def _flow_ms(missing: int, capacity: int, period_ms: int) -> int:
    """Return the time in which the missing amount flows in."""
    return 0 if missing <= 0 else -(-missing * period_ms // max(1, capacity))


def _ends_ms(missing: int, at_once: int, flights: CallsInFlight) -> int | None:
    """Return the time that the missing calls take to end; the first is half way through, on average."""
    if missing <= 0:
        return 0
    usual_ms = flights.usual_ms()
    return None if usual_ms is None else (2 * missing - 1) * usual_ms // (2 * at_once)


def _longest(waits_ms: Sequence[int | None]) -> int | None:
    known = [wait_ms for wait_ms in waits_ms if wait_ms is not None]
    return max(known) if len(known) == len(waits_ms) else None
