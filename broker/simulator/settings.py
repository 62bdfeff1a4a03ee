"""Settings of the simulated OpenAI: its limits and its faults, all decided before it serves.

Every rate is a share between 0 and 1, and which calls it hits depends on the seed, the content, the request id and the
number of the call, never on when or in which order calls arrive (see `trouble`).
"""

import math
from dataclasses import dataclass
from typing import Final

from headrace.broker.simulator.account import Scene
from headrace.broker.simulator.admission import RefusedCost
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.catalogue import check_together
from headrace.broker.simulator.behaviours.enforcement import EnforcedWindow
from headrace.broker.simulator.behaviours.latencies import Latency, UniformLatency
from headrace.broker.simulator.pricing import ChatLaw
from headrace.broker.simulator.rules import Limits

DAY_S: Final = 86_400.0
SEED_BOUND: Final = 10**38  # it is a key of 16 bytes


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """Limits and behaviour of the simulated OpenAI.

    Attributes:
        tokens_per_minute: Every model's token limit.
        requests_per_minute: Every model's request limit.
        requests_per_day: As well, if given; headers then show the day, as recorded.
        law: Charge law of Chat Completions.
        latency_s: A range; a request's place in it depends on `seed` and content. A stream ends after as long.
        error_rate: Share of admitted calls that end in 500, 502 or 503 after their latency, charge kept.
        long_429_rate: Share of calls that a project's daily limit refuses, at once and for nothing.
        long_429_s: Wait that these refusals state.
        stream_cut_rate: Share of streams with the connection cut on the way, charge kept.
        stream_error_rate: Share of streams that end in an error event instead of the rest, charge kept.
        declined_rate: Share of contents that the model declines to answer, with a sentence in the `refusal` field.
        burst_s: Also enforce a hidden bucket of that many seconds of quota.
        refused_cost: Cost of a call that the limiter refuses.
        behaviours: Further behaviour, by name or value (`behaviours.catalogue`); it takes precedence over the above.
        seed: Same seed, same answers, latencies and troubles.
        models: The models served; empty for every model.
        host: The address to listen on.
        port: 0 takes a free one.
    """

    tokens_per_minute: int = 200_000
    requests_per_minute: int = 500
    requests_per_day: int | None = None
    law: str = ChatLaw.CHAT_2025
    latency_s: tuple[float, float] = (1.0, 4.0)
    error_rate: float = 0.0
    long_429_rate: float = 0.0
    long_429_s: float = 90.0
    stream_cut_rate: float = 0.0
    stream_error_rate: float = 0.0
    declined_rate: float = 0.0
    burst_s: float | None = None
    refused_cost: str = RefusedCost.NOTHING
    behaviours: tuple[Behaviour, ...] = ()
    seed: int = 7
    models: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        ChatLaw(self.law)
        RefusedCost(self.refused_cost)
        per_day = 1 if self.requests_per_day is None else self.requests_per_day
        if min(self.tokens_per_minute, self.requests_per_minute, per_day) < 1:
            raise ValueError("a limit is at least 1")
        if not 0 <= self.latency_s[0] <= self.latency_s[1] < math.inf:
            raise ValueError("a latency is a range of seconds with the smaller number first")
        if not all(0 <= rate <= 1 for rate in (self.error_rate, self.long_429_rate, self.declined_rate)):
            raise ValueError("a rate is between 0 and 1")
        if min(self.stream_cut_rate, self.stream_error_rate) < 0 or self.stream_cut_rate + self.stream_error_rate > 1:
            raise ValueError("the rates of cut and of failing streams are between 0 and 1, and together at most 1")
        if not 0.001 <= self.long_429_s <= DAY_S:
            raise ValueError("the wait of a daily limit is at least a millisecond and at most a day")
        if self.burst_s is not None and self.burst_s <= 0:
            raise ValueError("a burst is more than 0 seconds")
        if not -SEED_BOUND <= self.seed < SEED_BOUND:
            raise ValueError("a seed is a whole number of at most 38 digits")
        check_together(self.behaviours)
        if self.burst_s is not None and any(isinstance(each, EnforcedWindow) for each in self.behaviours):
            raise ValueError("a hidden bucket (burst_s) would have no effect beside a window")

    def scene(self) -> Scene:
        """Return the limiter's scenario."""
        return Scene(self.behaviours, self.seed)

    def latency(self) -> Latency:
        """Return the latency of answers."""
        played = [behaviour for behaviour in self.behaviours if isinstance(behaviour, Latency)]
        return played[-1] if played else UniformLatency(*self.latency_s)

    def limits(self) -> Limits:
        """Return the limiter's part of the settings."""
        return Limits(
            tokens_per_minute=self.tokens_per_minute,
            requests_per_minute=self.requests_per_minute,
            requests_per_day=self.requests_per_day,
            burst_us=None if self.burst_s is None else max(1, round(self.burst_s * 1_000_000)),
            refused_cost=RefusedCost(self.refused_cost),
        )
