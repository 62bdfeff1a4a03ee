"""Snapshot of a dispatcher: leader, waiting requests, budget and trouble. JSON for `/status` and Redis."""

import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any, Final

from headrace.broker.clock import WallClock
from headrace.broker.core.budget.breaker import Breaker
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.config import Role
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.lanes.limit_queue import LimitQueue
from headrace.broker.core.ticket import State, Ticket
from headrace.broker.core.units import PPM
from headrace.broker.service.health import Health
from headrace.broker.service.metrics.telemetry import Telemetry, in_seconds
from headrace.broker.service.publishing.outcome_counts import OutcomeCounts
from headrace.broker.service.publishing.reply_topics import Replies
from headrace.broker.service.spending.shown import SpendingShown
from headrace.broker.service.status.backlog import backlog_ms
from headrace.broker.service.status.lags import Lags
from headrace.broker.service.status.wait_reasons import Hindrance, WaitReasons
from headrace.broker.settings.whole import Settings
from headrace.schemas.instants import to_wire
from headrace.schemas.tiers import UNNAMED

FOLLOWS: Final = "follows the server's own numbers"
MEASURES: Final = "measures by itself"
LOOKED_AT_MAX: Final = 10_000
"""Tickets among which one is looked for, for each limit that has requests and no next one: a millisecond."""
RECENT_MS: Final = 1_100
"""A leader reports once a second; what shows its report waits for no other."""
TENANTS_SHOWN: Final = 3
"""Those that fill a lane: an operator asks which one floods it, not for a list."""
TENANT_CHARS_MAX: Final = 100


@dataclass(eq=False)
class Status:
    """Maker of the snapshot.

    The collaborators are read; nothing is changed. `url` is this process's address, once it listens.
    """

    settings: Settings
    core: Dispatch
    health: Health
    telemetry: Telemetry
    replies: Replies
    lags: Lags
    outcome_counts: OutcomeCounts
    spending: SpendingShown
    owner: str
    clock: WallClock
    url: str | None = field(default=None, init=False)
    _hindrances: WaitReasons = field(init=False)
    _last: tuple[int, dict[str, Any]] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._hindrances = WaitReasons(self.core, self.telemetry.trips.of)

    def snapshot(self, now_ms: int) -> dict[str, Any]:
        """Return the state at this instant, in requests, tokens, seconds. `unshown` names parts that failed."""
        told, unshown = self._who(), list[str]()
        for name, part in self._parts(now_ms).items():
            told[name] = {}
            with self.telemetry.containment.observing("status"):
                told[name] = part()
                continue
            unshown.append(name)
        return {**told, "unshown": unshown} if unshown else told

    def reported(self, now_ms: int) -> dict[str, Any]:
        """Return the state and, beside it as `lately`, the last fifteen minutes: what Redis and the page get."""
        told = self.snapshot(now_ms)
        with self.telemetry.containment.observing("status"):
            if self.health.role == "leader" and self.health.term:
                self.telemetry.lately.note_term(self.health.term)
            told["lately"] = self.telemetry.lately.shown()
        self._last = now_ms, told
        return told

    def recent(self, now_ms: int) -> dict[str, Any]:
        """Return what was reported last, if that is not older than `RECENT_MS` and was said in the present role."""
        if self._last is not None:
            at_ms, told = self._last
            if now_ms - at_ms <= RECENT_MS and told["role"] == self.health.role:
                return told
        return self.reported(now_ms)

    def _who(self) -> dict[str, Any]:
        health = self.health
        return {
            "name": self.settings.dispatcher.name,
            "topic_prefix": self.settings.kafka.topic_prefix,
            "owner": self.owner,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "at": to_wire(self.clock.utc_now()),
            "url": self.url,
            "role": health.role,
            "leader": health.holder,
            "term": health.term,
            "leading_since": to_wire(health.leading_since) if health.leading_since else None,
            "ready": {"kafka": health.kafka_ready, "redis": health.redis_ready},
            "inflight": len(self.core.flights),
            "held_bytes": self.core.flights.held_bytes,
            "parked": self.core.identities.parked_count,
            "cancels_waiting": len(self.core.identities.cancels),
        }

    def _parts(self, now_ms: int) -> dict[str, Callable[[], Any]]:
        """Return the parts made of many figures, each computed independently: one that fails removes no other."""
        core, telemetry = self.core, self.telemetry
        return {
            "trouble": self._trouble,
            "lanes": lambda: self._lanes(now_ms),
            "account": lambda: _breaker(core.limits.account.breaker, telemetry.trips.of(None), now_ms),
            "limits": lambda: {
                name: self._limit(name, desk, now_ms) for name, desk in core.limits.limit_queues().items()
            },
            "models": lambda: {name: sums.means() for name, sums in telemetry.model_means.items()},
            "outcomes": lambda: dict(self.outcome_counts.counts),
            "spending": self.spending.shown,
            "failed_lately": telemetry.failures.shown,
            "dedupe": lambda: {
                "ids": len(core.identities),
                "window_s": core.identities.window_reached_ms(core.wall_ms(now_ms)) // 1_000,
            },
            "replies": self.replies.shown,
        }

    def _lanes(self, now_ms: int) -> dict[str, Any]:
        """Return each lane, from one walk over all tickets: 30 lanes may hold 60,000."""
        tickets: dict[str, list[Ticket]] = {name: [] for name in self.settings.lanes}
        for ticket in self.core.registry.tickets():
            if (of := tickets.get(ticket.source.partition.lane)) is not None:
                of.append(ticket)
        return {name: self._lane(name, held, now_ms) for name, held in tickets.items()}

    def _lane(self, name: str, tickets: list[Ticket], now_ms: int) -> dict[str, Any]:
        waiting = [ticket for ticket in tickets if ticket.state is State.WAITING]
        oldest_ms = min((ticket.taken_ms for ticket in waiting), default=now_ms)
        lag = self.lags.of(name, now_ms)
        return {
            "lag": None if lag is None else {"requests": lag.requests, "age_s": round(lag.age_s, 1)},
            "waiting": len(waiting),
            "tenants": _largest(ticket.candidate.tenant for ticket in waiting),
            "waiting_tokens": sum(ticket.charge for ticket in waiting),
            "waiting_seconds": in_seconds(backlog_ms(self.core.limits, name, now_ms)),
            "calling": sum(ticket.state is State.CALLING for ticket in tickets),
            "settled": sum(ticket.state is State.SETTLED for ticket in tickets),
            "objective_s": self.settings.lanes[name].objective_s,
            "oldest_s": round((now_ms - oldest_ms) / 1_000, 1),
        }

    def _limit(self, name: str, desk: LimitQueue, now_ms: int) -> dict[str, Any]:
        """Return one limit: its buckets as believed, the requests that wait for it, and what it waits for itself."""
        learned = desk.budget.learned_limits()
        return {
            "believed": desk.budget.believed,
            **_breaker(desk.budget.breaker, self.telemetry.trips.of(name), now_ms),
            "paused_s": round(desk.budget.pause_ms(now_ms) / 1_000, 1),
            "next_call_s": self._next_call_s(desk, now_ms),
            "next_waits_for": self._next_waits_for(name, desk, now_ms),
            "inflight": desk.budget.inflight,
            "charged_last_minute": desk.budget.charged_last_minute(now_ms),
            "budget": self._course(desk.budget, now_ms),
            "measured_tokens_per_minute": desk.budget.measured_tokens_per_minute,
            "foreign_tokens": desk.budget.foreign_tokens,
            "way_ms": learned.admission_delay_ms,
            "at_once": {"borne": learned.tolerated_burst_tokens, "ceiling": learned.burst_ceiling_tokens},
            "share_of_rate": learned.share_ppm / PPM,
            "waiting": desk.waiting(),
            "resting_tiers": [
                {
                    "model": tier.model,
                    "tier": tier.tier or UNNAMED,
                    "waiting": desk.tier_lanes[tier].waiting() if tier in desk.tier_lanes else 0,
                    "probing": breaker.is_probing,
                    **_breaker(breaker, self.telemetry.trips.of(name, tier), now_ms),
                }
                for tier, breaker in desk.budget.tiers.resting()
            ],
            "charges": {
                each.endpoint: {
                    "law": each.law,
                    "identified": each.identified,
                    "evidence": each.pieces,
                    "error_tokens": each.error_tokens,
                    "charged_tokens": each.charged_tokens,
                }
                for each in desk.budget.tariff.law_statuses()
            },
            "buckets": [
                self._bucket(name, level, now_ms)
                for level in (*desk.budget.levels(now_ms), *desk.budget.sides.levels(now_ms))
            ],
        }

    def _bucket(self, name: str, level: LevelBounds, now_ms: int) -> dict[str, Any]:
        """Return one bucket: its level as predicted, and what the server last stated of it, if it did."""
        countable = not level.project and not level.kind
        stated = self.telemetry.lately.stated(name, level.counts, level.capacity) if countable else None
        return {
            "metric": level.counts,
            "capacity": level.capacity,
            "period_s": level.period_ms / 1_000,
            "refill": level.refill.value,
            "level_low": level.low,
            "level_high": level.high,
            "project": level.project,
            "stated": None
            if stated is None
            else {"level": stated.remaining, "age_s": round((now_ms - stated.at_ms) / 1_000, 1)},
        }

    def _next_waits_for(self, name: str, desk: LimitQueue, now_ms: int) -> list[Hindrance]:
        """Return what the limit's next request waits for: what binds the limit now; empty: nothing, or none waits."""
        found: list[Hindrance] = []
        if desk.waiting():
            with self.telemetry.containment.observing("status"):
                found = self._hindrances.of_all(name, now_ms)
                if not found:
                    pick = desk.pick(now_ms)
                    ticket = self._any_queued(name) if pick is None else pick.ticket
                    found = [] if ticket is None else self._hindrances.in_line(ticket, now_ms)
        return found

    def _any_queued(self, limit: str) -> Ticket | None:
        """Return a request of a limit of which none can be next: its tenant's cap, or its tier, holds each of them."""
        some = islice(self.core.registry.tickets(), LOOKED_AT_MAX)
        return next((each for each in some if each.queued and each.candidate.limit == limit), None)

    def _course(self, budget: Budget, now_ms: int) -> str:
        """Return in words what a limit's calls are spent by."""
        if budget.measured_tokens_per_minute is None:
            return FOLLOWS
        since_ms = budget.guide.measures_since_ms
        if since_ms is None:
            return f"{MEASURES}: no limit of tokens is stated"
        ago = timedelta(milliseconds=now_ms - since_ms)
        return f"{MEASURES}, since {to_wire(self.clock.utc_now() - ago)}"

    def _next_call_s(self, desk: LimitQueue, now_ms: int) -> float | None:
        """Return the seconds until the next request can be called; None: none waits, or a call must end first."""
        account = self.core.limits.account.breaker
        found, probe_ms = desk.next(now_ms, probe=not account.closed), account.may_call_at(now_ms)
        return None if found is None or probe_ms is None else round((max(found[1], probe_ms) - now_ms) / 1_000, 1)

    def _trouble(self) -> str | None:
        """Return what is wrong now, for a person: Kafka, Redis, and each open breaker; None if nothing is."""
        limits = self.core.limits
        said = [self.health.trouble or ""]
        if self.core.role is Role.FOLLOWING:
            return said[0] or None  # its beliefs about limits date from when it led
        if not limits.account.breaker.closed:
            said.append(f"The account's breaker is open ({limits.account.breaker.tripped_by}).")
        for name, desk in limits.limit_queues().items():
            if not desk.budget.breaker.closed:
                said.append(f"The breaker of limit {name} is open ({desk.budget.breaker.tripped_by}).")
        return " ".join(filter(None, said)) or None


def _largest(tenants: Iterable[str]) -> dict[str, int]:
    """Return the tenants with the most waiting requests, and how many they have."""
    return dict(Counter(tenant[:TENANT_CHARS_MAX] for tenant in tenants).most_common(TENANTS_SHOWN))


def _breaker(breaker: Breaker, tripped: dict[str, Any] | None, now_ms: int) -> dict[str, Any]:
    """Return a breaker's state, and why it is open."""
    return {
        "breaker": "closed" if breaker.closed else f"open: {breaker.tripped_by}",
        "rests_s": round((breaker.rests_until(now_ms) - now_ms) / 1_000, 1),
        "tripped": None if breaker.closed else tripped,
    }
