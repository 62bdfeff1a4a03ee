"""By how much the server's charges exceed ours: the last resort, where no charge law explains them.

A 429 body names the server's own charge for a request (`Requested`). If no law that we know fits it, the ratio of
recent such figures to ours marks up every charge. Never below 1: paying too much costs little, since the next answer
gives it back, while paying too little costs refusals.
"""

from collections import deque
from typing import Final

from broker.core.units import PPM

SAMPLES_MAX: Final = 16
TIMES_MAX: Final = 64
"""A stated charge counts as so many times ours at most: one absurd figure would price every call beyond any limit."""


class Markup:
    """The ratio, from what the last refusals said."""

    def __init__(self, ppm: int = PPM) -> None:
        self.ppm = ppm
        self._samples: deque[tuple[int, int]] = deque(maxlen=SAMPLES_MAX)

    def learn(self, charge: int, requested: int) -> None:
        """The server charges `requested` for what we priced at `charge`."""
        self._samples.append((charge, min(requested, TIMES_MAX * charge)))
        ours, theirs = (sum(column) for column in zip(*self._samples, strict=True))
        self.ppm = max(PPM, theirs * PPM // ours)

    def heed(self, charge: int, requested: int, *, explained: bool) -> None:
        """Learn from a charge that no law explains; one that a law does explain ends it."""
        if explained:
            self._samples.clear()
            self.ppm = PPM
        else:
            self.learn(charge, requested)

    def applied(self, charge: int) -> int:
        """What to pay for a call that our law prices at `charge`, rounded up."""
        return charge if self.ppm == PPM else -(-charge * self.ppm // PPM)
