"""Traffic of an account's other clients: times and amounts, by seed."""

import math
from random import Random

from headrace.broker.simulator.admission import MINUTE_US, SECOND_US
from headrace.broker.simulator.behaviours.enforcement import Foreign


class ForeignClient:
    """One such client: bursts of one size, at random or at an even pace."""

    def __init__(self, foreign: Foreign, tokens_per_minute: int, seed: str, opened_us: int) -> None:
        rate = foreign.tokens_per_minute or foreign.share * tokens_per_minute
        self.tokens = foreign.burst_tokens or max(1, round(foreign.burst * tokens_per_minute))
        self.requests = foreign.requests
        self.insists = foreign.insists
        self._gap_us = self.tokens / rate * MINUTE_US if rate else math.inf
        self._regular = foreign.regular
        self._from_us = opened_us + foreign.from_s * SECOND_US
        self._to_us = opened_us + foreign.to_s * SECOND_US
        self._chance = Random(seed)

    def next_us(self, after_us: int) -> int | None:
        """Return the instant of the next burst, or None when no more will come."""
        if self._gap_us == math.inf:
            return None
        gap_us = self._gap_us if self._regular else self._chance.expovariate(1 / self._gap_us)
        at_us = max(after_us, self._from_us) + max(1.0, gap_us)
        return math.ceil(at_us) if at_us < self._to_us else None
