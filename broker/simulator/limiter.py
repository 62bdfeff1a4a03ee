"""OpenAI's rate limiter as its answers show it: the judge of what the core believes about it.

Written from the recorded answers alone (the facts' §0.1 and §4.2), not from the core. Time is an argument, in whole
microseconds, and levels are kept as whole numbers of *unit x period*, so no rounding creeps in:

- A bucket holds `limit` units, starts full and refills continuously and linearly, `limit` units a period.
- `remaining` is the level rounded down, `Used` is limit - remaining, never above the limit; "try again in" is
  computed from that whole `Used`, and every duration is cut, not rounded, to a millisecond. All of that as recorded.
- A call pays every bucket or none. A call above the limit is "Request too large".
- `burst_us` adds hidden buckets that hold less than a period's worth: documented, though no recorded header shows
  one. A hidden bucket lets a call above its own capacity pass when it is full, and goes into debt for it. What a
  refusal says then is unknown; here it states the visible numbers and the hidden wait.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

MINUTE_US = 60_000_000
DAY_US = 86_400_000_000
MODELS_MAX = 1_000  # accounts are made on first sight; a client that invents model names must not fill the memory


class Metric(StrEnum):
    """What a bucket counts."""

    TOKENS = "tokens"
    REQUESTS = "requests"


class RefusedCost(StrEnum):
    """What a refused call takes. The docs say that unsuccessful requests count; no recorded answer shows it."""

    NOTHING = "nothing"
    REQUEST = "request"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits every model gets. `requests_per_day` is enforced too and, as recorded, hides the minute in headers."""

    tokens_per_minute: int
    requests_per_minute: int
    requests_per_day: int | None = None
    burst_us: int | None = None
    refused_cost: RefusedCost = RefusedCost.NOTHING


@dataclass(frozen=True, slots=True)
class Level:
    """One triple of headers: limit, remaining, and the time until the bucket is full."""

    limit: int
    remaining: int
    reset_ms: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call that was paid for, and the levels just after."""

    levels: Mapping[Metric, Level]


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that was not: the numbers of the 429. `wait_ms` is None when the call is larger than the limit."""

    metric: Metric
    period_us: int
    limit: int
    used: int
    requested: int
    wait_ms: int | None
    levels: Mapping[Metric, Level]


class Bucket:
    """One limit as the server enforces it; `window_us` below `period_us` makes it a hidden, shorter one."""

    def __init__(self, limit: int, period_us: int, window_us: int, now_us: int) -> None:
        self.limit = limit
        self.period_us = period_us
        self.window_us = window_us
        self._full = limit * window_us
        self._credit = self._full
        self._at_us = now_us

    @property
    def visible(self) -> bool:
        """Whether headers and messages speak of it."""
        return self.window_us == self.period_us

    def refill(self, now_us: int) -> None:
        """Bring the level to `now_us`; a clock that steps back adds nothing."""
        elapsed_us = max(0, now_us - self._at_us)
        self._credit = min(self._full, self._credit + elapsed_us * self.limit)
        self._at_us = max(self._at_us, now_us)

    def short_by_us(self, cost: int) -> int:
        """Microseconds until it can pay `cost`; 0 when it can now. A cost above its capacity needs it full."""
        missing = min(cost * self.period_us, self._full) - self._credit
        return max(0, -(-missing // self.limit))

    def pay(self, cost: int) -> None:
        """Take `cost`; the caller has asked `short_by_us`."""
        self._credit -= cost * self.period_us

    def drain(self, cost: int) -> None:
        """Take what is there, at most `cost`: `Used` is never above the limit."""
        self._credit = max(min(self._credit, 0), self._credit - cost * self.period_us)

    def used(self) -> int:
        """Units in use, rounded up, so that limit - used is the level rounded down."""
        return min(self.limit, -(-(self._full - self._credit) // self.period_us))

    def level(self) -> Level:
        """What headers say of it."""
        return Level(self.limit, self.limit - self.used(), (self._full - self._credit) // self.limit // 1_000)

    def stated_wait_ms(self, cost: int) -> int:
        """(Used + Requested - Limit) / Limit x period, cut to a millisecond, as in 25 of 25 recorded messages."""
        return (self.used() + cost - self.limit) * self.period_us // self.limit // 1_000


class Account:
    """All buckets of one model."""

    def __init__(self, limits: Limits, now_us: int) -> None:
        self._refused_cost = limits.refused_cost
        periods = [
            (Metric.TOKENS, limits.tokens_per_minute, MINUTE_US),
            (Metric.REQUESTS, limits.requests_per_minute, MINUTE_US),
        ]
        if limits.requests_per_day is not None:
            periods.append((Metric.REQUESTS, limits.requests_per_day, DAY_US))
        self._buckets = [(metric, Bucket(limit, period, period, now_us)) for metric, limit, period in periods]
        self._shown = dict(self._buckets)  # the longest period of a metric is the one headers show
        if limits.burst_us is not None:
            self._buckets += [
                (metric, Bucket(limit, period, limits.burst_us, now_us))
                for metric, limit, period in periods
                if limits.burst_us < period == MINUTE_US
            ]

    def admit(self, charge: int, now_us: int) -> Admitted | Refused:
        """Pay `charge` tokens and one request from every bucket, or say which one cannot and until when."""
        costs = {Metric.TOKENS: charge, Metric.REQUESTS: 1}
        self.refilled(now_us)
        for metric, bucket in self._buckets:
            if bucket.visible and costs[metric] > bucket.limit:
                return self._refuse(metric, bucket, costs, too_large=True)
        metric, worst = max(self._buckets, key=lambda entry: entry[1].short_by_us(costs[entry[0]]))
        if worst.short_by_us(costs[metric]) > 0:
            return self._refuse(metric, worst, costs, too_large=False)
        for metric, bucket in self._buckets:
            bucket.pay(costs[metric])
        return Admitted(self.levels())

    def refilled(self, now_us: int) -> dict[Metric, Level]:
        """Bring every bucket to `now_us`; what headers show then."""
        for _, bucket in self._buckets:
            bucket.refill(now_us)
        return self.levels()

    def levels(self) -> dict[Metric, Level]:
        """What headers show, as of the last refill."""
        return {metric: bucket.level() for metric, bucket in self._shown.items()}

    def _refuse(self, metric: Metric, bucket: Bucket, costs: Mapping[Metric, int], *, too_large: bool) -> Refused:
        stated = bucket if bucket.visible else self._shown[metric]
        cost = costs[metric]
        if too_large:
            wait_ms = None
        elif bucket.visible:
            wait_ms = bucket.stated_wait_ms(cost)
        else:
            wait_ms = -(-bucket.short_by_us(cost) // 1_000)
        used = stated.used()
        self._punish(costs)
        return Refused(metric, stated.period_us, stated.limit, used, cost, wait_ms, self.levels())

    def _punish(self, costs: Mapping[Metric, int]) -> None:
        for metric, bucket in self._buckets:
            if self._refused_cost is RefusedCost.ALL or (
                self._refused_cost is RefusedCost.REQUEST and metric is Metric.REQUESTS
            ):
                bucket.drain(costs[metric])


class Limiter:
    """One account a model, made full when the model is first seen."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._accounts: dict[str, Account] = {}

    @property
    def models(self) -> tuple[str, ...]:
        """The models seen since the start or the last reset."""
        return tuple(self._accounts)

    def has_room_for(self, model: str) -> bool:
        """Whether `model` has an account or may still get one."""
        return model in self._accounts or len(self._accounts) < MODELS_MAX

    def admit(self, model: str, charge: int, now_us: int) -> Admitted | Refused:
        """Admit one call of `model` or refuse it; see `Account.admit`."""
        return self._account(model, now_us).admit(charge, now_us)

    def levels(self, model: str, now_us: int) -> dict[Metric, Level]:
        """What headers show of `model` now, for an answer that nothing is paid for."""
        return self._account(model, now_us).refilled(now_us)

    def reset(self) -> None:
        """Every bucket is full again."""
        self._accounts.clear()

    def _account(self, model: str, now_us: int) -> Account:
        account = self._accounts.get(model)
        if account is None:
            account = self._accounts[model] = Account(self.limits, now_us)
        return account
