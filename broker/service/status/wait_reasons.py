"""Reasons why a waiting request is not called, as data: first its own turn, then what the next call waits for.

Everything is read from the core, mostly by its own queries. Which part of the budget delays the next call longest is
computed here, from the budget's checkpoint. The kinds:

| kind           | it waits                                                                       |
|----------------|--------------------------------------------------------------------------------|
| `leader`       | for this process to lead again, or it is leaving                               |
| `breaker`      | for OpenAI to serve the limit, the account or its service tier again           |
| `tenant_cap`   | for a cap of its tenant to give way                                            |
| `late`         | for all of its lane that have more time left than a call takes                 |
| `lane`         | for another lane, which goes first by its order, its floor or a ceiling        |
| `tenants`      | for the turn of its tenant: another one of its lane is next                    |
| `places`       | for a call in flight to end                                                    |
| `memory`       | for answers in memory to be committed                                          |
| `first_answer` | for the first answer of the limit, which shows how full the limit is           |
| `cooldown`     | until OpenAI wants to be asked again                                           |
| `limit`        | for tokens, requests, input tokens or images to flow in; `kept` of them are    |
|                | for idle lanes above                                                           |
| `own_cap`      | for the operator's own cap on the limit                                        |
| `pace`         | since no more is spent at once than OpenAI has borne, or `burst_s` allows; or  |
|                | for the measured rate, where that is followed instead of the levels            |
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.budget.breaker import Breaker
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.lanes.lanes import Pick
from headrace.broker.core.lanes.limit_queue import LimitQueue
from headrace.broker.core.pricing.markup import Markup
from headrace.broker.core.ticket import ModelTier, Ticket
from headrace.broker.core.units import PPM, unreserved_slots
from headrace.schemas.tiers import UNNAMED

Hindrance = dict[str, Any]
_ROUNDING_MS: Final = 20


class WaitReasons:
    """Wait reasons of tickets, as read from the core."""

    def __init__(
        self, core: Dispatch, tripped: Callable[[str | None, ModelTier | None], Mapping[str, Any] | None]
    ) -> None:
        """`tripped` returns what tripped a breaker, as `Trips.of` does."""
        self._core = core
        self._tripped = tripped

    def of_all(self, limit: str, now_ms: int) -> list[Hindrance]:
        """Return what blocks all requests of a limit: the process itself, or an open breaker."""
        pause = self._core.pauses_for(now_ms)
        if pause is not None:
            return [{"kind": "leader", "why": pause.value}]
        desk = self._core.limits.limit_queues().get(limit)
        found = [] if desk is None else self._breaker(desk.budget.breaker, limit, now_ms)
        return self._breaker(self._core.limits.account.breaker, None, now_ms) + found

    def of_tier(self, ticket: Ticket, now_ms: int) -> list[Hindrance]:
        """Return what blocks a ticket while its service tier rests, whether it waits apart or sleeps."""
        limit, tier = ticket.candidate.limit, ticket.candidate.model_tier
        desk = self._core.limits.limit_queues().get(limit)
        breaker = None if desk is None else desk.budget.tiers.find(tier)
        return [] if breaker is None else self._breaker(breaker, limit, now_ms, tier)

    def in_line(self, ticket: Ticket, now_ms: int) -> list[Hindrance]:
        """Return what blocks a queued ticket, where nothing blocks all of them."""
        if ticket.in_tier_lanes:
            return self.of_tier(ticket, now_ms)
        desk = self._core.limits.limit_queues()[ticket.candidate.limit]
        capped = self._tenant_cap(ticket, desk, now_ms)
        if capped:
            return capped
        pick = desk.pick(now_ms)
        if pick is None:
            return []
        late = _late(ticket, desk) if ticket.late else []
        return [*late, *self._turn(ticket, desk, pick), *self._next_call(ticket, desk, pick, now_ms)]

    def _breaker(
        self, breaker: Breaker, limit: str | None, now_ms: int, tier: ModelTier | None = None
    ) -> list[Hindrance]:
        if breaker.tripped_by is None:
            return []
        return [
            {
                "kind": "breaker",
                "of": "tier" if tier is not None else "account" if limit is None else "limit",
                "limit": limit,
                "tier": None if tier is None else tier.tier or UNNAMED,
                "tripped_by": breaker.tripped_by.value,
                "probing": breaker.is_probing,
                "next_probe_s": (breaker.rests_until(now_ms) - now_ms) / 1_000,
                "tripped": self._tripped(limit, tier),
            }
        ]

    # ------------------------------------------------------------------ turn of the ticket

    def _tenant_cap(self, ticket: Ticket, desk: LimitQueue, now_ms: int) -> list[Hindrance]:
        tenants, tenant = self._core.limits.tenants, ticket.candidate.tenant
        queue = desk.lanes.queue(ticket.source.partition.lane)
        head = ticket if ticket.late else queue.tenant_queue(tenant).head or ticket
        free_ms, rule = tenants.free_at(tenant, head.charge, now_ms), tenants.rule(tenant)
        if free_ms is None:
            return [{"kind": "tenant_cap", "cap": "inflight_max", "most": rule.inflight_max, "payable_in_s": None}]
        if free_ms <= now_ms:
            return []
        wait_s = (free_ms - now_ms) / 1_000
        return [{"kind": "tenant_cap", "cap": "tokens_per_minute", "most": rule.cap_tokens, "payable_in_s": wait_s}]

    def _turn(self, ticket: Ticket, desk: LimitQueue, pick: Pick) -> list[Hindrance]:
        lane, next_lane = ticket.source.partition.lane, pick.ticket.source.partition.lane
        if next_lane != lane:
            queue = desk.lanes.queue(next_lane)
            rule = "order"
            if queue.rule.order > desk.lanes.queue(lane).rule.order:
                rule = "floor" if queue.is_owed(pick.ticket) else "ceiling"
            waiting = {"requests": len(queue), "tokens": queue.waiting_tokens}
            return [{"kind": "lane", "lane": next_lane, "rule": rule, **waiting}]
        if pick.ticket.candidate.tenant != ticket.candidate.tenant:
            return [{"kind": "tenants", "tenant": pick.ticket.candidate.tenant or None}]
        return []

    # ------------------------------------------------------------------ constraints of the next call

    def _next_call(self, ticket: Ticket, desk: LimitQueue, pick: Pick, now_ms: int) -> list[Hindrance]:
        flights, reserved_ppm = self._core.flights, pick.reserved_ppm
        reserved_for = self._reserved_for(desk, pick)
        if len(flights) >= flights.slots(reserved_ppm):
            return [_places("dispatcher", len(flights), flights.slots(), flights.slots(reserved_ppm), reserved_for)]
        if not flights.has_room(reserved_ppm):
            most = self._core.rules.held_bytes_max
            return [{"kind": "memory", "held_bytes": flights.held_bytes, "most": most}]
        found, limit = desk.next(now_ms, probe=False), desk.budget.settings
        if found is None:
            most_inflight = limit.inflight_max
            if most_inflight is None or desk.budget.inflight < unreserved_slots(most_inflight, reserved_ppm):
                return [{"kind": "first_answer", "limit": limit.name}]
            within = unreserved_slots(most_inflight, reserved_ppm)
            return [_places(limit.name, desk.budget.inflight, most_inflight, within, reserved_for)]
        if found[1] <= now_ms:
            return []
        wanted = {"limit": limit.name, "payable_in_s": (found[1] - now_ms) / 1_000, "own": pick.ticket is ticket}
        return [_money(desk, pick, found[1] - now_ms, reserved_for, now_ms) | wanted]

    def _reserved_for(self, desk: LimitQueue, pick: Pick) -> list[str]:
        """Return the idle lanes above whose reserve the next call must leave."""
        if not pick.reserved_ppm:
            return []
        order = desk.lanes.queue(pick.ticket.source.partition.lane).rule.order
        above = (rule for rule in self._core.rules.lanes if rule.order < order and rule.reserve_ppm)
        return [rule.name for rule in above if desk.lanes.queue(rule.name).head is None]


def _late(ticket: Ticket, desk: LimitQueue) -> list[Hindrance]:
    queue = desk.lanes.queue(ticket.source.partition.lane)
    in_time = {"requests": len(queue) - len(queue.late), "tokens": queue.tokens_in_time}
    return [{"kind": "late", "calls_take_s": desk.lanes.durations.of(ticket.candidate.tier).long_ms / 1_000, **in_time}]


def _places(of: str, inflight: int, most: int, within: int, reserved_for: list[str]) -> Hindrance:
    return {
        "kind": "places",
        "of": of,
        "inflight": inflight,
        "most": most,
        "kept": most - within,
        "kept_for": reserved_for,
    }


def _money(desk: LimitQueue, pick: Pick, wait_ms: int, reserved_for: list[str], now_ms: int) -> Hindrance:
    """Return the constraint of the limit that delays its next call longest."""
    budget, checkpoint = desk.budget, desk.budget.checkpoint(now_ms)
    needed = pick.ticket.charge if pick.ticket.stated else Markup(checkpoint.markup_ppm).applied(pick.ticket.charge)
    found: list[tuple[int, Hindrance]] = []
    pace: Hindrance = {"kind": "pace"}
    pause_ms, measured = budget.pause_ms(now_ms), budget.measured_tokens_per_minute
    if measured is not None:
        pace["measured_tokens_per_minute"] = measured
    pause_ms = max(pause_ms, budget.sides.rests_ms(pick.ticket.candidate.prices, now_ms))
    if pause_ms:
        found.append((pause_ms, {"kind": "cooldown"}))
    if measured is None:
        for level in checkpoint.levels:
            amount = needed if level.metric is LimitMetric.TOKENS else 1
            reserved = level.capacity * pick.reserved_ppm // PPM
            if (bucket := _bucket(level, amount, reserved, reserved_for)) is not None:
                found.append((bucket[0] if level.refill is Refill.BUCKET else wait_ms, bucket[1]))
        found += _side_limit(budget, pick, reserved_for, now_ms)
    longest_ms, longest = max(found, key=lambda each: each[0], default=(0, pace))
    if longest_ms + _ROUNDING_MS >= wait_ms:
        return longest
    cap = budget.cap
    if cap is not None and cap.payable_at(needed, pick.reserved_ppm, now_ms) > now_ms:
        charged = {
            "capacity": budget.settings.cap_tokens,
            "charged": checkpoint.charged_last_minute,
            "period_s": MINUTE_MS / 1_000,
        }
        return {"kind": "own_cap", "needed": needed, **charged}
    if not budget.believed:
        return {"kind": "first_answer"}
    return pace


def _side_limit(budget: Budget, pick: Pick, reserved_for: list[str], now_ms: int) -> list[tuple[int, Hindrance]]:
    """Return the bucket of input tokens or images that delays a call longest, and for how long; empty: none does.

    Parts of an image count as a whole one here, so only the budget can say how long they take to flow in.
    """
    prices = pick.ticket.candidate.prices
    side_ms = budget.sides.payable_at(prices, pick.reserved_ppm, now_ms) - now_ms
    found: list[tuple[int, Hindrance]] = []
    for level in budget.sides.levels(now_ms) if side_ms > 0 else ():
        reserved = -(-level.capacity * pick.reserved_ppm // PPM)
        if (bucket := _bucket(level, budget.sides.amount(level.kind, prices), reserved, reserved_for)) is not None:
            found.append((bucket[0] if level.refill is Refill.BUCKET else side_ms, bucket[1]))
    return [(side_ms, max(found, key=lambda each: each[0])[1])] if found else []


def _bucket(level: LevelBounds, amount: int, reserved: int, reserved_for: list[str]) -> tuple[int, Hindrance] | None:
    """Return how long a bucket takes to hold what a call needs, and its figures; None: it holds that now."""
    missing = min(amount + reserved, level.capacity) - level.low
    if missing <= 0:
        return None
    figures: Hindrance = {
        "kind": "limit",
        "metric": level.counts,
        "project": level.project,
        "period_s": level.period_ms / 1_000,
        "capacity": level.capacity,
        "there": level.low,
        "needed": amount,
        "kept": reserved,
        "kept_for": reserved_for,
    }
    return missing * level.period_ms // level.capacity, figures
