"""Weighted shares of the tenants: at every instant, over ten minutes, and from the first request on."""

from collections.abc import Mapping
from random import Random
from typing import Any, Final

from benchmarks.lanes.crowd import LARGEST, RULE, rules, size, ticket, tickets, weights
from benchmarks.lanes.findings import Check, Finding
from benchmarks.lanes.played import Played, play, settings_of
from benchmarks.lanes.traffic import BULK, MINUTE_MS, Request
from headrace.broker.core.lanes.lanes import Lanes
from headrace.broker.core.lanes.tenants import Tenants
from headrace.broker.core.ticket import Ticket

TENANTS: Final = 50
RELATIVE: Final = 0.02
JAIN: Final = 0.99
_SERVED: Final = 10_000  # a seed
_AHEAD: Final = 4  # of each tenant wait at any time
_TOKENS_PER_MINUTE: Final = 10_000_000
_SPAN_MS: Final = 10 * MINUTE_MS
_APART: Final = 60  # requests served between two newcomers
_SETTLED: Final = 10 * TENANTS  # requests after which no tenant is new any more


class Market:
    """Lanes in which every tenant has requests waiting all the time."""

    def __init__(self, seed: int, newcomers: Mapping[str, int] | None = None) -> None:
        self.chance = Random(f"market/{seed}")
        self.weights = weights(TENANTS)
        known = {**self.weights, **(newcomers or {})}
        self.lanes = Lanes([RULE], Tenants(rules(known)))
        self.got = dict.fromkeys(self.weights, 0)
        self._numbers = tickets()
        for tenant in list(self.weights) * _AHEAD:
            self.line_up(tenant)

    def line_up(self, tenant: str) -> Ticket:
        """Enqueue one more request of the tenant."""
        made = ticket(next(self._numbers), tenant, size(self.chance))
        self.lanes.queue(RULE.name).append(made)
        return made

    def serve(self) -> Ticket:
        """Serve the next request, and enqueue another one of its tenant, unless that is a newcomer."""
        pick = self.lanes.pick(0)
        assert pick is not None
        self.lanes.serve(pick.ticket, 0)
        tenant = pick.ticket.candidate.tenant
        if tenant in self.got:
            self.got[tenant] += pick.ticket.charge
            self.line_up(tenant)
        return pick.ticket


def at_every_instant(seeds: int) -> Finding:
    """Measure the worst deviation of any tenant after any request."""
    worst = max(_deviation(seed) for seed in range(1, seeds + 1))
    title = f"{TENANTS} tenants that all wait, weights 1 to 5, requests of 50 to 4,000 tokens, after each request"
    checks = [Check("farthest from its weighted share", worst, "tokens", most=float(LARGEST))]
    return Finding("fair-instant", f"{title}; {seeds} seeds", "core", checks)


def _deviation(seed: int) -> float:
    market, total, worst = Market(seed), 0, 0.0
    parts = {tenant: weight / sum(market.weights.values()) for tenant, weight in market.weights.items()}
    for _ in range(_SERVED):
        total += market.serve().charge
        worst = max(worst, *(abs(got - total * parts[tenant]) for tenant, got in market.got.items()))
    return worst


def newcomers(seeds: int) -> Finding:
    """Measure the tokens served to others before a newcomer's first request."""
    worst = max(_passed(seed) for seed in range(1, seeds + 1))
    title = f"a tenant that comes new to {TENANTS} that wait, its first request of 50 to 4,000 tokens"
    checks = [Check("served before it", worst, "tokens", most=float(LARGEST))]
    return Finding("newcomer", f"{title}; {seeds} seeds", "core", checks)


def _passed(seed: int) -> int:
    chance = Random(f"newcomers/{seed}")
    coming = {f"new-{number}": chance.randint(1, 5) for number in range(_SERVED // _APART)}
    market, worst = Market(seed, coming), 0
    for _ in range(_SETTLED):
        market.serve()
    for tenant in coming:
        for _ in range(chance.randint(_APART // 2, _APART)):
            market.serve()
        market.lanes.pick(0)  # another request may hold the next place already
        first, before = market.line_up(tenant), 0
        while (served := market.serve()) is not first:
            before += served.charge
        worst = max(worst, before)
    return worst


def over_minutes() -> Finding:
    """Measure ten minutes of 10,000,000 tokens each, by the whole core in virtual time."""
    weighed = weights(TENANTS)
    run = _played(weighed, _room())
    apart, jain = spread_of(_served(run), weighed)
    checks = [
        Check("farthest from its share", apart, "%", most=RELATIVE),
        Check("Jain's index", jain, "", least=JAIN),
        Check("used", run.share, "%"),
    ]
    title = f"the same at 10,000,000 tokens a minute for 10 min, {len(run.calls):,} calls, all of it taken"
    return Finding("fair-minutes", title, "virtual", checks)


def behind_a_full_buffer() -> Finding:
    """Measure the same with the usual look-ahead: records in Kafka behind it are not ordered by weights."""
    weighed = weights(TENANTS)
    run = _played(weighed, {})
    apart, jain = spread_of(_served(run), weighed)
    checks = [Check("farthest from its share", apart, "%"), Check("Jain's index", jain), Check("used", run.share, "%")]
    title = "the same with the usual `buffer_max`, the rest behind it in Kafka, as many tokens of each tenant"
    return Finding("fair-buffer", title, "virtual", checks)


def spread_of(served: Mapping[str, int], weighed: Mapping[str, int]) -> tuple[float, float]:
    """Return the largest relative deviation from a share, and Jain's index of tokens by weight."""
    total, weight = sum(served.values()), sum(weighed.values())
    apart = max(abs(served[tenant] * weight / (total * each) - 1) for tenant, each in weighed.items())
    by_weight = [served[tenant] / each for tenant, each in weighed.items()]
    return apart, sum(by_weight) ** 2 / (len(by_weight) * sum(value * value for value in by_weight))


def _played(weighed: Mapping[str, int], room: Mapping[str, Any]) -> Played:
    chance = Random("minutes")
    all_in_all = 1.15 * _TOKENS_PER_MINUTE * (1 + _SPAN_MS / MINUTE_MS)
    requests = []
    for tenant, weight in weighed.items():
        left = all_in_all * (weight / sum(weighed.values()) if room else max(weighed.values()) / sum(weighed.values()))
        while left > 0:
            requests.append(Request(0, BULK, size(chance), tenant))
            left -= requests[-1].tokens
    chance.shuffle(requests)
    settings = settings_of(
        _TOKENS_PER_MINUTE,
        tenants={tenant: {"weight": weight} for tenant, weight in weighed.items()},
        dispatcher={"inflight_max": 4_000},
        **room,
    )
    return play(requests, settings, _SPAN_MS)


def _room() -> dict[str, Any]:
    lane = {"order": 1, "buffer_max": 100_000, "buffer_bytes_max": 1 << 40}
    return {"lanes": {BULK: lane}, "topics": {"requests": {"partitions": 24}}}


def _served(run: Played) -> dict[str, int]:
    served: dict[str, int] = {}
    for call in run.calls:
        if call.admitted:
            request = run.requests[call.number]
            served[request.tenant] = served.get(request.tenant, 0) + request.tokens
    return served
