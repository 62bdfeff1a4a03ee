"""By how much the server's charges exceed ours: a stopgap for a wrong charge law.

A law can be wrong by a factor, as when OpenAI counted `max_tokens`. A 429 body names the server's own charge for a
request (`Requested`); the ratio of recent such figures to ours marks up every charge. Never below 1: paying too much
costs little, since the next answer gives it back, while paying too little costs refusals.
"""

from collections import deque
from typing import Final

PPM: Final = 1_000_000
SAMPLES_MAX: Final = 16


class Markup:
    """The ratio, from what the last refusals said."""

    def __init__(self, ppm: int = PPM) -> None:
        self.ppm = ppm
        self._samples: deque[tuple[int, int]] = deque(maxlen=SAMPLES_MAX)

    def learn(self, charge: int, requested: int) -> None:
        """The server charges `requested` for what we priced at `charge`."""
        self._samples.append((charge, requested))
        ours, theirs = (sum(column) for column in zip(*self._samples, strict=True))
        self.ppm = max(PPM, theirs * PPM // ours)

    def applied(self, charge: int) -> int:
        """What to pay for a call that our law prices at `charge`, rounded up."""
        return -(-charge * self.ppm // PPM)
