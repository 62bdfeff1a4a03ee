"""Latency of an answer: one number for each draw between 0 and 1, so that a seed decides it.

Measured spreads of the real API are not in the facts; calls of 50 ms to a minute and more are common experience.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from headrace.broker.simulator.behaviours.bounds import Behaviour, bounded

LONGEST_S: Final = 3_600.0
_NORMAL: Final = NormalDist()
_EDGE: Final = 1e-12  # the inverse has no value at 0


@dataclass(frozen=True, slots=True)
class FixedLatency(Behaviour):
    """A constant latency."""

    seconds: float = bounded(1.0, 0.0, LONGEST_S)

    def delay_s(self, draw: float, inflight: int) -> float:
        """Return the latency of one call."""
        return self.seconds


@dataclass(frozen=True, slots=True)
class UniformLatency(Behaviour):
    """A uniform latency between two numbers: the meaning of `--latency`."""

    shortest_s: float = bounded(1.0, 0.0, LONGEST_S)
    longest_s: float = bounded(4.0, "shortest_s", LONGEST_S)

    def delay_s(self, draw: float, inflight: int) -> float:
        """Return the latency of one call."""
        return self.shortest_s + (self.longest_s - self.shortest_s) * draw


@dataclass(frozen=True, slots=True)
class LogNormalLatency(Behaviour):
    """A log-normal latency: most near the median, some much longer; `spread` is the deviation of the logarithm."""

    median_s: float = bounded(2.0, 0.001, LONGEST_S)
    spread: float = bounded(0.8, 0.0, 5.0)
    shortest_s: float = bounded(0.05, 0.0, LONGEST_S)
    longest_s: float = bounded(60.0, "shortest_s", LONGEST_S)

    def delay_s(self, draw: float, inflight: int) -> float:
        """Return the latency of one call."""
        delay_s = self.median_s * math.exp(self.spread * _NORMAL.inv_cdf(max(_EDGE, draw)))
        return min(self.longest_s, max(self.shortest_s, delay_s))


@dataclass(frozen=True, slots=True)
class WideLatency(Behaviour):
    """A log-uniform latency, each order of magnitude equally often: from 50 ms to a minute by default."""

    shortest_s: float = bounded(0.05, 0.001, LONGEST_S)
    longest_s: float = bounded(60.0, "shortest_s", LONGEST_S)

    def delay_s(self, draw: float, inflight: int) -> float:
        """Return the latency of one call."""
        return float(self.shortest_s * (self.longest_s / self.shortest_s) ** draw)


@dataclass(frozen=True, slots=True)
class LoadLatency(Behaviour):
    """A latency that grows with the calls in flight: doubled with `knee` of them, tripled with twice as many."""

    shortest_s: float = bounded(0.5, 0.0, LONGEST_S)
    longest_s: float = bounded(2.0, "shortest_s", LONGEST_S)
    knee: int = bounded(100, 1, 1_000_000)

    def delay_s(self, draw: float, inflight: int) -> float:
        """Return the latency of one call."""
        unloaded_s = self.shortest_s + (self.longest_s - self.shortest_s) * draw
        return min(LONGEST_S, unloaded_s * (1 + inflight / self.knee))


Latency = FixedLatency | UniformLatency | LogNormalLatency | WideLatency | LoadLatency
