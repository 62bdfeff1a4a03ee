"""Ratio of the server's charges to ours: the last resort where no charge law explains them.

A 429 body names the server's own charge for a request (`Requested`). If no law that we know fits it, the ratio of
recent such figures to ours marks up every charge. Of itself it is never below 1: overpaying costs little, since the
next answer gives the excess back, while underpaying costs refusals. A window gives nothing back, so what its levels
have shown (`headrace.broker.core.budget.charged_shares`) bounds the ratio from above, also to less than 1 (`bound`). A
successor does not inherit less than 1.
"""

from collections import deque
from typing import Final

from headrace.broker.core.units import PPM

SAMPLES_MAX: Final = 16  # refusals that name a charge
TIMES_MAX: Final = 64
"""A stated charge counts as at most this many times ours: one absurd figure would price every call beyond any limit."""


class Markup:
    """The ratio, from the charges that the last refusals stated."""

    def __init__(self, ppm: int = PPM) -> None:
        """Begin with `ppm`, which a predecessor may have left."""
        self.ppm = self._inherited = max(PPM, ppm)
        self._at_most: int | None = None  # parts per million; None: unbounded
        self._samples: deque[tuple[int, int]] = deque(maxlen=SAMPLES_MAX)

    @property
    def stated_ppm(self) -> int:
        """The ratio that refusals have stated, or a predecessor has left, whatever levels have shown."""
        if not self._samples:
            return self._inherited
        ours, theirs = sum(each for each, _ in self._samples), sum(each for _, each in self._samples)
        return max(PPM, theirs * PPM // ours)

    def record(self, charge: int, requested: int) -> None:
        """Record that the server charges `requested` for a call that we priced at `charge`; 0 shows no ratio."""
        if charge <= 0:
            return
        self._samples.append((charge, min(requested, TIMES_MAX * charge)))
        self.ppm = self._bounded(self.stated_ppm)

    def bound(self, at_most_ppm: int | None) -> None:
        """Let the ratio be no more than what levels have shown; None: they show nothing."""
        if at_most_ppm != self._at_most:
            self._at_most = at_most_ppm
            self.ppm = self._bounded(self.stated_ppm)

    def _bounded(self, ppm: int) -> int:
        return ppm if self._at_most is None else min(ppm, self._at_most)

    def learn(self, charge: int, requested: int, *, explained: bool) -> None:
        """Learn from a charge that no law explains; one that a law does explain ends the markup."""
        if explained:
            self._samples.clear()
            self._inherited = PPM
            self.ppm = self._bounded(PPM)
        else:
            self.record(charge, requested)

    def applied(self, charge: int) -> int:
        """Return the amount to pay for a call that our law prices at `charge`, rounded up."""
        return charge if self.ppm == PPM else -(-charge * self.ppm // PPM)
