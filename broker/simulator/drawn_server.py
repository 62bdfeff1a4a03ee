"""A server drawn by seed: `random:17` names one, and plays the behaviours that the seed draws.

Everything that a compatible server was seen to do, or that a gateway may do, is combined: one to three enforced
windows, the charge, what headers and refusals state, the cost of a refusal, other clients, a front that drops bursts,
latencies. The same seed always draws the same server.

Combinations that no operator would run, or that no client could serve, are left out:

1. Some limit of tokens or input tokens is metered over at most a minute, so that a run of minutes shows it.
2. Every such window holds at least `LARGEST_PARTS` calls of the largest size, times the factor of the charge.
3. Two windows of one metric, fronts apart, differ in length by at least a factor of two, and the longer one lets no
   more pass over its length than the shorter one does: otherwise one of the two would never refuse.
4. A window of an hour or a day holds what three to thirty minutes take: one that holds more never refuses in a run.
5. Levels are `mixed`, or of the `shortest` or `tightest` window, only where two shown windows have one metric; and
   numbers are those of the `shown` window only there.
6. Numbers are scaled to a minute only where the window of tokens is shorter.
7. The law `usage` is drawn with buckets alone: no server is known that settles a charge into a counted window.
8. Other clients take at most 40 %, and only where refusals cost nothing: with both, the ideal itself starves.
9. A front that drops bursts lets at least three times the calls of the rate pass, in any of its windows.
10. A burst of another client is one request: it takes at most half of what the shortest window of tokens holds, as our
    largest ones do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from headrace.broker.simulator.admission import Metric, RefusedCost
from headrace.broker.simulator.behaviours import profiles
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.enforcement import (
    ChargedRefusals,
    ChargeFactor,
    ChargeLaw,
    EnforcedWindow,
    Foreign,
    Kind,
)
from headrace.broker.simulator.behaviours.latencies import FixedLatency, LogNormalLatency, UniformLatency, WideLatency
from headrace.broker.simulator.behaviours.profiles import ShownWindow, StatedNumbers, StatedWait
from headrace.broker.simulator.pricing import ChatLaw

MINUTE_S: Final = 60.0
CALL_TOKENS: Final = 450
"""What a usual call is charged."""
LARGEST_TOKENS: Final = 1_700
"""What the largest call is charged: 4,800 bytes, and an answer of 400 tokens."""
LARGEST_PARTS: Final = 2
TOKENS_PER_MINUTE: Final = (90_000, 900_000)

_SPANS_S: Final = (1.0, 6.0, 10.0, 60.0, 60.0, 60.0, 60.0)
_LONG_SPANS_S: Final = (3_600.0, 86_400.0)
_KINDS: Final = {Kind.BUCKET: 45, Kind.FIXED: 25, Kind.SLIDING: 18, Kind.TWO: 12}


@dataclass(frozen=True, slots=True)
class DrawnServer:
    """One server.

    Attributes:
        seed: Its seed.
        tokens_per_minute: The minute's tokens, of which each window has its share.
        requests_per_minute: Likewise.
        behaviours: What it plays.
        tells_all: Its headers and refusals state every enforced limit exactly and at once, and no other client spends.
    """

    seed: int
    tokens_per_minute: int
    requests_per_minute: int
    behaviours: tuple[Behaviour, ...]
    tells_all: bool


def drawn_server(seed: int) -> DrawnServer:
    """Draw the server of a seed."""
    return _Draw(seed).server()


class _Draw:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._chance = Random(f"server/{seed}")
        low, high = TOKENS_PER_MINUTE
        self._tokens_per_minute = 1_000 * round(low / 1_000 * float(high / low) ** self._chance.random())
        self._factor = round(self._chance.uniform(0.8, 1.5), 2) if self._happens(0.15) else 1.0
        self._counts = Metric.INPUT_TOKENS if self._happens(0.1) else Metric.TOKENS
        if self._counts is Metric.INPUT_TOKENS:
            self._tokens_per_minute = max(low, self._tokens_per_minute // 3)

    def server(self) -> DrawnServer:
        """Draw in a fixed order, so that the same seed gives the same server."""
        windows = self._windows()
        requests_per_minute = self._requests_per_minute()
        charge = list(self._charge(windows))
        stated = list(self._stated(windows))
        refused = list(self._refusal(windows))
        costs = self._costs()
        others = [] if costs else self._others(windows)
        front = self._front(requests_per_minute)
        latency = self._latency()
        inexact = (profiles.NoHeaders, profiles.AzureUnlimited, profiles.StaleHeaders, profiles.RoundedHeaders)
        one_each = len({window.counts for window in windows}) == len(windows)
        exact = not any(isinstance(each, inexact) for each in stated) and refused == [profiles.StatedRefusals()]
        told = one_each and exact and all(window.shown and not window.cached for window in windows)
        return DrawnServer(
            self._seed,
            self._tokens_per_minute,
            requests_per_minute,
            (*windows, *front, *charge, *stated, *refused, *costs, *others, latency),
            told and not others and not front,
        )

    def _happens(self, probability: float) -> bool:
        return self._chance.random() < probability

    def _windows(self) -> list[EnforcedWindow]:
        least = LARGEST_PARTS * LARGEST_TOKENS * self._factor
        fitting = [span_s for span_s in _SPANS_S if self._tokens_per_minute * span_s / MINUTE_S >= least]
        first = self._window(self._counts, self._chance.choice(fitting), 1.0)
        windows = [first]
        if self._happens(0.35):
            windows.append(self._window(Metric.REQUESTS, self._chance.choice((1.0, 60.0, 60.0)), 1.0))
        if self._happens(0.3):
            windows += self._second(first, fitting)
        return windows

    def _window(self, counts: Metric, seconds: float, factor: float, *, shown: bool = True) -> EnforcedWindow:
        kind = self._chance.choices(tuple(_KINDS), tuple(_KINDS.values()))[0]
        mark_s = round(self._chance.uniform(0, seconds), 3) if kind in {Kind.FIXED, Kind.TWO} else 0.0
        cached = round(self._chance.uniform(0.1, 0.6), 2) if counts is Metric.INPUT_TOKENS and self._happens(0.4) else 0
        return EnforcedWindow(kind, counts, seconds, factor, mark_s, shown, cached)

    def _second(self, first: EnforcedWindow, fitting: list[float]) -> Iterator[EnforcedWindow]:
        """Draw another window of the metric: shorter and as strict, longer and stricter, or an hour's or a day's."""
        if self._happens(0.35):
            span_s = self._chance.choice(_LONG_SPANS_S)
            minutes = self._chance.uniform(3, 30)
            yield self._window(first.counts, span_s, round(minutes * MINUTE_S / span_s, 6))
            return
        shorter = [span_s for span_s in fitting if 2 * span_s <= first.seconds]
        if shorter:
            shown = self._happens(0.5)
            yield self._window(first.counts, self._chance.choice(shorter), 1.0, shown=shown)
        elif first.seconds < MINUTE_S:
            yield self._window(first.counts, MINUTE_S, round(self._chance.uniform(0.5, 0.95), 2))

    def _requests_per_minute(self) -> int:
        """Draw a limit of requests that is met by the usual calls, or seldom."""
        calls = self._tokens_per_minute / CALL_TOKENS
        per_call: float = self._chance.choice((0.7, 1.5, 5.0))
        return max(60, int(calls * per_call + 0.5))

    def _charge(self, windows: list[EnforcedWindow]) -> Iterator[Behaviour]:
        laws = {ChatLaw.CHAT_2025: 50, ChatLaw.CHAT_LEGACY: 20, ChatLaw.DOCUMENTED: 10}
        if all(window.kind is Kind.BUCKET for window in windows):
            laws[ChatLaw.USAGE] = 20
        law = self._chance.choices(tuple(laws), tuple(laws.values()))[0]
        if law is not ChatLaw.CHAT_2025:
            yield ChargeLaw(law)
        if law is not ChatLaw.USAGE and self._happens(0.1):
            others = [each for each in laws if each not in {law, ChatLaw.USAGE}]
            yield ChargeLaw(self._chance.choice(others), round(self._chance.uniform(20, 200), 1))
        if self._factor != 1.0:
            yield ChargeFactor(self._factor)

    def _stated(self, windows: list[EnforcedWindow]) -> Iterator[Behaviour]:
        """Draw what headers show."""
        if _has_twins(windows):
            yield profiles.ShownLevels(self._chance.choice(tuple(ShownWindow)))
        drawn = self._chance.random()
        if drawn < 0.12:
            yield profiles.NoHeaders()
        elif drawn < 0.17:
            yield profiles.AzureUnlimited()
        elif drawn < 0.27:
            yield profiles.StaleHeaders(round(self._chance.uniform(0.2, 5.0), 1))
        elif drawn < 0.37:
            yield profiles.RoundedHeaders(self._chance.choice((10, 20, 100)))

    def _refusal(self, windows: list[EnforcedWindow]) -> Iterator[Behaviour]:
        """Draw what a 429 states."""
        numbers = {StatedNumbers.REFUSING: 50, StatedNumbers.NONE: 25}
        if any(window.seconds < MINUTE_S for window in windows if window.counts is not Metric.REQUESTS):
            numbers[StatedNumbers.MINUTE] = 25
        if _has_twins(windows):
            numbers[StatedNumbers.SHOWN] = 25
        waits = {StatedWait.EXACT: 50, StatedWait.SECONDS: 20, StatedWait.MINUTE: 10, StatedWait.NONE: 20}
        yield profiles.StatedRefusals(
            self._chance.choices(tuple(numbers), tuple(numbers.values()))[0],
            self._chance.choices(tuple(waits), tuple(waits.values()))[0],
        )

    def _costs(self) -> list[Behaviour]:
        if not self._happens(0.15):
            return []
        return [ChargedRefusals(self._chance.choice((RefusedCost.REQUEST, RefusedCost.ALL)))]

    def _others(self, windows: list[EnforcedWindow]) -> list[Behaviour]:
        if not self._happens(0.25):
            return []
        share, burst = round(self._chance.uniform(0.05, 0.4), 2), round(self._chance.uniform(0.002, 0.05), 4)
        held = min(each.seconds / MINUTE_S * each.factor for each in windows if each.counts is self._counts)
        burst = min(burst, round(held / LARGEST_PARTS, 4))
        return [Foreign(share, burst, regular=self._happens(0.3), insists=self._happens(0.3))]

    def _front(self, requests_per_minute: int) -> list[Behaviour]:
        if not self._happens(0.1):
            return []
        seconds = self._chance.choice((0.25, 1.0))
        calls = max(3, 3 * self._tokens_per_minute / CALL_TOKENS * seconds / MINUTE_S)
        per_minute = max(60, calls * MINUTE_S / seconds)
        factor = round(per_minute / requests_per_minute, 3)
        return [EnforcedWindow(Kind.SLIDING, Metric.REQUESTS, seconds, factor, shown=False)]

    def _latency(self) -> Behaviour:
        drawn = self._chance.random()
        if drawn < 0.5:
            return UniformLatency(1.0, 4.0)
        if drawn < 0.8:
            return LogNormalLatency()
        return FixedLatency(round(self._chance.uniform(0.2, 5.0), 1)) if drawn < 0.9 else WideLatency(0.1, 30.0)


def _has_twins(windows: list[EnforcedWindow]) -> bool:
    """Return whether two shown windows count the same."""
    shown = [window.counts for window in windows if window.shown]
    return len(set(shown)) < len(shown)
