"""The omniscient dispatcher: it knows what is enforced and when foreign calls come, and wastes nothing.

Calls are admitted in their order, each as early as every limit allows. With a given order nothing does better: under
each of these laws an earlier charge never makes a later one wait longer (`tests/unit/benchmarks` tries all schedules of
small cases). Written from the laws as they are described, without a look at the simulator: nothing of broker is
imported here, so that a mistake of the one cannot hide in the other.

Instants are whole microseconds and all sums whole numbers, in units times microseconds where a rate is involved.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final, Protocol

MINUTE_US: Final = 60_000_000


class Kind(StrEnum):
    """How a limit is counted."""

    BUCKET = "bucket"  # refills all the time
    FIXED = "fixed"  # begins anew at each mark
    SLIDING = "sliding"  # counts all charges in the window that ends now
    TWO = "two"  # this window's count, and the last one's as far as it overlaps


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit.

    Attributes:
        per_period: Units a `period_us`.
        window_us: The window it is enforced over; one shorter than the period holds that share of it.
        counts: `tokens` or `requests`.
        mark_us: An instant at which a window begins.
    """

    kind: Kind
    counts: str
    per_period: int
    period_us: int = MINUTE_US
    window_us: int = MINUTE_US
    mark_us: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """A change: from `at_us` on every limit is `factor` times as large."""

    at_us: int
    factor: float


@dataclass(frozen=True, slots=True)
class Burst:
    """A foreign burst that takes what is there, at most its amounts; one that `insists` takes all of it, into debt."""

    at_us: int
    tokens: int
    requests: int
    insists: bool = False


Price = Callable[[int, int], int]
"""Cost in tokens of call number i (of an endless row of calls) at an instant."""


class Meter(Protocol):
    """A limit with its state, as of the last instant it was asked about."""

    def go_to(self, now_us: int) -> None:
        """Advance to an instant."""

    def wait_us(self, cost: int) -> int:
        """Return the time until `cost` can be charged, if nothing else is; 0 if it can be now."""

    def charge(self, cost: int) -> None:
        """Charge it now."""

    def room(self) -> int:
        """Return the whole units that could be charged now."""

    def scale(self, factor: float) -> None:
        """Change the limit from now on; what is in use stays in use."""


class BucketMeter:
    """A bucket, as the units missing from a full one: `_owed` units x period, which time pays off at `_rate` a µs."""

    def __init__(self, limit: Limit, now_us: int) -> None:
        self._rate, self._period_us, self._window_us = limit.per_period, limit.period_us, limit.window_us
        self._owed, self._at_us = 0, now_us

    def go_to(self, now_us: int) -> None:
        """Advance to an instant."""
        self._owed = max(0, self._owed - (now_us - self._at_us) * self._rate)
        self._at_us = now_us

    def wait_us(self, cost: int) -> int:
        """Return the time until it can pay; a charge above what it holds waits until it is full."""
        allowed = max(0, self._rate * self._window_us - cost * self._period_us)
        return max(0, -(-(self._owed - allowed) // self._rate))

    def charge(self, cost: int) -> None:
        """Add it to what is owed."""
        self._owed += cost * self._period_us

    def room(self) -> int:
        """Return the level; nothing while in debt."""
        return max(0, self._rate * self._window_us - self._owed) // self._period_us

    def scale(self, factor: float) -> None:
        """Scale the limit: what was taken stays taken, but a bucket that shrinks is at worst empty."""
        full = self._rate * self._window_us
        debt = max(0, self._owed - full)
        self._rate = max(1, round(self._rate * factor))
        self._owed = min(self._owed, self._rate * self._window_us + debt)


class FixedMeter:
    """A fixed window's count. A hidden one lets a charge above it pass alone, and later windows pay for it."""

    def __init__(self, limit: Limit, now_us: int) -> None:
        self._limit, self._number = limit, (now_us - limit.mark_us) // limit.window_us
        self._per_period, self._used, self._now_us = limit.per_period, 0, now_us

    def go_to(self, now_us: int) -> None:
        """Advance to an instant, perhaps in another window."""
        number = (now_us - self._limit.mark_us) // self._limit.window_us
        if number > self._number:
            self._used = max(0, self._used - (number - self._number) * self._quota) if self._hidden else 0
            self._number = number
        self._now_us = now_us

    def wait_us(self, cost: int) -> int:
        """Return the time until the window that has room, or that is empty."""
        if self._used == 0 or self._used + cost <= self._quota:
            return 0
        windows = 1
        if self._hidden:
            windows = max(1, -(-(self._used - max(0, self._quota - cost)) // self._quota))
        return self._limit.mark_us + (self._number + windows) * self._limit.window_us - self._now_us

    def charge(self, cost: int) -> None:
        """Count it."""
        self._used += cost

    def room(self) -> int:
        """Return what is left of this window."""
        return max(0, self._quota - self._used)

    def scale(self, factor: float) -> None:
        """Scale the limit, in this window too."""
        self._per_period = max(1, round(self._per_period * factor))

    @property
    def _hidden(self) -> bool:
        return self._limit.window_us < self._limit.period_us

    @property
    def _quota(self) -> int:
        return max(1, self._per_period * self._limit.window_us // self._limit.period_us)


class SlidingMeter:
    """A sliding window, which remembers each charge until it is a window old."""

    def __init__(self, limit: Limit, now_us: int) -> None:
        self._window_us, self._most, self._now_us = limit.window_us, limit.per_period, now_us
        self._charged: deque[tuple[int, int]] = deque()
        self._sum = 0

    def go_to(self, now_us: int) -> None:
        """Advance to an instant, and forget what is as old as the window."""
        self._now_us = now_us
        while self._charged and self._charged[0][0] + self._window_us <= now_us:
            self._sum -= self._charged.popleft()[1]

    def wait_us(self, cost: int) -> int:
        """Return the time until enough is forgotten."""
        over = min(self._sum, self._sum + cost - self._most)
        for at_us, charged in self._charged:
            if over <= 0:
                break
            over -= charged
            if over <= 0:
                return at_us + self._window_us - self._now_us
        return 0

    def charge(self, cost: int) -> None:
        """Remember it."""
        self._charged.append((self._now_us, cost))
        self._sum += cost

    def room(self) -> int:
        """Return what may be charged beside what is remembered."""
        return max(0, self._most - self._sum)

    def scale(self, factor: float) -> None:
        """Scale the limit; what is remembered counts as before."""
        self._most = max(1, round(self._most * factor))


class TwoMeter:
    """An approximate window: last x (share of the last window that still overlaps) + this, in units x window."""

    def __init__(self, limit: Limit, now_us: int) -> None:
        self._limit, self._most = limit, limit.per_period
        self._number, self._into_us = divmod(now_us - limit.mark_us, limit.window_us)
        self._last = self._this = 0

    def go_to(self, now_us: int) -> None:
        """Advance to an instant, perhaps in another window."""
        number, self._into_us = divmod(now_us - self._limit.mark_us, self._limit.window_us)
        if number > self._number:
            self._last = self._this if number == self._number + 1 else 0
            self._this, self._number = 0, number

    def wait_us(self, cost: int) -> int:
        """Return the time until the last window weighs little enough, or in the next window until this one does."""
        window_us = self._limit.window_us
        allowed = max(0, self._most - cost)
        if self._this <= allowed:
            return max(0, _first_us(self._last, allowed - self._this, window_us) - self._into_us)
        return window_us - self._into_us + _first_us(self._this, allowed, window_us)

    def charge(self, cost: int) -> None:
        """Count it."""
        self._this += cost

    def room(self) -> int:
        """Return what the estimate leaves."""
        window_us = self._limit.window_us
        used = self._last * (window_us - self._into_us) + self._this * window_us
        return max(0, self._most * window_us - used) // window_us

    def scale(self, factor: float) -> None:
        """Scale the limit; what is counted stays."""
        self._most = max(1, round(self._most * factor))


def _first_us(last: int, allowed: int, window_us: int) -> int:
    """Return how far into a window the one before weighs at most `allowed`."""
    return 0 if last <= allowed else window_us - allowed * window_us // last


METERS: Final[dict[Kind, Callable[[Limit, int], Meter]]] = {
    Kind.BUCKET: BucketMeter,
    Kind.FIXED: FixedMeter,
    Kind.SLIDING: SlidingMeter,
    Kind.TWO: TwoMeter,
}


class Oracle:
    """One account from `opened_us` on. A run uses it once: it moves forward only."""

    def __init__(
        self, limits: Sequence[Limit], opened_us: int, events: Iterable[Change | Burst] = (), *, price: Price
    ) -> None:
        self._tokens = [METERS[limit.kind](limit, opened_us) for limit in limits if limit.counts == "tokens"]
        self._requests = [METERS[limit.kind](limit, opened_us) for limit in limits if limit.counts == "requests"]
        self._events = deque(sorted(events, key=lambda event: event.at_us))
        self._price = price
        self._now_us = opened_us
        self._number = 0

    def replay(self, admitted: Iterable[tuple[int, int, int]]) -> None:
        """Replay another client's admissions before the oracle takes over: instants, tokens and calls, in order."""
        for at_us, tokens, calls in admitted:
            self._go_to(at_us)
            self._charge(tokens, calls)
            self._number += calls

    def admissions(self, end_us: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield instants and tokens of what can be admitted from now on, until `end_us` inclusive or without end."""
        while True:
            cost = self._price(self._number, self._now_us)
            wait_us = self._wait_us(cost)
            happens_us = self._events[0].at_us if self._events else None
            if wait_us == 0 and (happens_us is None or happens_us > self._now_us):
                self._number += 1
                self._charge(cost)
                yield self._now_us, cost
                continue
            at_us = self._now_us + wait_us if happens_us is None else min(self._now_us + wait_us, happens_us)
            if end_us is not None and at_us > end_us:
                return
            self._go_to(at_us)

    def charged_until(self, end_us: int) -> int:
        """Return the most that can be charged from now up to and including that instant."""
        return sum(tokens for _, tokens in self.admissions(end_us))

    def admitted_at(self, calls: int) -> int:
        """Return the earliest instant at which this number of calls is admitted."""
        at_us = self._now_us
        for at_us, _ in islice(self.admissions(), calls):  # noqa: B007 -- the last one is what is asked for
            pass
        return at_us

    def _wait_us(self, cost: int) -> int:
        of_tokens = (meter.wait_us(cost) for meter in self._tokens)
        return max(*of_tokens, *(meter.wait_us(1) for meter in self._requests), 0)

    def _go_to(self, now_us: int) -> None:
        while self._events and self._events[0].at_us <= now_us:
            event = self._events.popleft()
            self._set(max(self._now_us, event.at_us))
            self._happen(event)
        self._set(now_us)

    def _set(self, now_us: int) -> None:
        self._now_us = max(self._now_us, now_us)
        for meter in (*self._tokens, *self._requests):
            meter.go_to(self._now_us)

    def _happen(self, event: Change | Burst) -> None:
        if isinstance(event, Change):
            for meter in (*self._tokens, *self._requests):
                meter.scale(event.factor)
            return
        tokens, requests = event.tokens, event.requests
        if not event.insists:
            tokens = min(tokens, *(meter.room() for meter in self._tokens), tokens)
            requests = min(requests, *(meter.room() for meter in self._requests), requests)
            if event.requests and not requests:
                return
        for meter in self._tokens:
            meter.charge(tokens)
        for meter in self._requests:
            meter.charge(requests)

    def _charge(self, tokens: int, calls: int = 1) -> None:
        for meter in self._tokens:
            meter.charge(tokens)
        for meter in self._requests:
            meter.charge(calls)
