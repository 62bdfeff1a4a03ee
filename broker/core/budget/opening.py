"""Which calls may leave before the first answer has shown how full a limit is.

Other programs may have emptied it, so one call goes first. Its answer may take a minute. Meanwhile others may follow,
one each time the server has been silent for `QUIET_MS` about the last one: a server refuses at once, so silence means
that the call was admitted.

- Together they may spend a quarter of the size that the operator has configured, or `SMALL_TOKENS` if none is. Of that
  part the reserves of idle lanes are kept as of any bucket, or large calls of a lane below would use it up. Of a
  configured size several calls may follow at once, as soon as the server has been silent about the oldest.
- A request of a lane above every call in flight may go whatever it costs, since it would otherwise wait for the answer
  to a call of a lane below. If it is the second call, and within that part, it goes at once.

A refusal ends this until another call goes first, or an answer has come. So beside each first call one call at most is
refused; two, if the first one is refused as well.
"""

from collections.abc import Collection
from typing import Final

from broker.core.budget.burst_control import QUIET_MS
from broker.core.budget.reservation import Reservation
from broker.core.units import PPM

CONFIGURED_PARTS: Final = 4  # a quarter of a configured limit may be spent before the first answer
SMALL_TOKENS: Final = 2_500
"""A quarter of 10,000, the smallest limit per minute that OpenAI has for a model of text."""


class FirstCalls:
    """One limit's calls before its first answer.

    Attributes:
        refused: A call has been refused since the last one that went first.
    """

    def __init__(self, tokens: int | None) -> None:
        """`tokens`: the limit's size as configured; None: it is not."""
        self.refused = False
        self._tokens = tokens

    def may_call_at(  # noqa: PLR0913 — the particulars of one call
        self, flights: Collection[Reservation], *, spent: int, paid: int, keep_ppm: int, lane_order: int, now_ms: int
    ) -> int | None:
        """When a call may leave; None: not before the first answer.

        Args:
            flights: The calls in flight, oldest first.
            spent: Tokens paid within the last minute, theirs included.
            paid: Tokens that the call would pay.
            keep_ppm: The share of the limit that must be left for idle lanes above.
            lane_order: Its lane's place in the order of preference; that of the most urgent one is the smallest.
            now_ms: The caller's clock.
        """
        if not flights:
            return now_ms
        if self.refused and self._tokens is None:
            return None
        sent_ms = [flight.sent_ms for flight in flights]
        within = spent + paid <= self._part(keep_ppm)
        if not self.refused and lane_order < min([flight.lane_order for flight in flights]):
            return now_ms if within and len(sent_ms) == 1 else sent_ms[-1] + QUIET_MS
        if not within:
            return None
        return sent_ms[-1 if self._tokens is None else 0] + QUIET_MS

    def _part(self, keep_ppm: int) -> int:
        """Tokens that may be spent before the first answer, less the share that is kept."""
        if self._tokens is None:
            return SMALL_TOKENS - SMALL_TOKENS * keep_ppm // PPM
        return self._tokens // CONFIGURED_PARTS - self._tokens * keep_ppm // PPM
