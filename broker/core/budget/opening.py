"""Calls that may be sent before the first answer has shown how full a limit is.

Other programs may have emptied it, so one call is sent first. Its answer may take a minute. Meanwhile others may
follow, one each time the server has been silent for `SILENCE_MS` about the last one: a server refuses at once, so
silence means that the call was admitted.

- Together they may spend a quarter of the size that the operator has configured, or `SMALL_TOKENS` if none is. The
  reserves of idle lanes are kept out of that part as out of any bucket; otherwise large calls of a lower lane would use
  it up. Of a configured size several calls may follow at once, as soon as the server has been silent about the oldest.
- A request of a lane above every call in flight may be sent whatever it costs, since it would otherwise wait for the
  answer to a call of a lower lane. If it is the second call, and within that part, it is sent at once.

A refusal ends this until another call is sent first, or an answer has come. So at most one call is refused in addition
to each first call; two, if the first one is refused as well.
"""

from collections.abc import Collection
from typing import Final

from headrace.broker.core.budget.burst_control import SILENCE_MS
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.units import PPM

CONFIGURED_PARTS: Final = 4  # a quarter of a configured limit may be spent before the first answer
SMALL_TOKENS: Final = 2_500
"""A quarter of 10,000, the smallest limit per minute that OpenAI has for a text model."""


class FirstCalls:
    """Calls of one limit before its first answer.

    Attributes:
        refused: A call has been refused since the last one that was sent first.
    """

    def __init__(self, tokens: int | None) -> None:
        """`tokens`: the configured size of the limit; None: no size is configured."""
        self.refused = False
        self._tokens = tokens

    def may_call_at(  # noqa: PLR0913 — the particulars of one call
        self,
        calls: Collection[Reservation],
        *,
        spent: int,
        paid: int,
        reserved_ppm: int,
        lane_order: int,
        now_ms: int,
    ) -> int | None:
        """Return when a call may be sent; None: not before the first answer.

        Args:
            calls: The calls in flight, oldest first.
            spent: Tokens paid within the last minute, including those of `calls`.
            paid: Tokens that the call would pay.
            reserved_ppm: The share of the limit that is reserved for idle lanes above.
            lane_order: Its lane's position in the order of preference; the most urgent lane has the smallest.
            now_ms: The caller's clock.
        """
        if not calls:
            return now_ms
        if self.refused and self._tokens is None:
            return None
        sent_ms = [call.sent_ms for call in calls]
        within = spent + paid <= self._part(reserved_ppm)
        if not self.refused and lane_order < min([call.lane_order for call in calls]):
            return now_ms if within and len(sent_ms) == 1 else sent_ms[-1] + SILENCE_MS
        if not within:
            return None
        return sent_ms[-1 if self._tokens is None else 0] + SILENCE_MS

    def _part(self, reserved_ppm: int) -> int:
        """Return the tokens that may be spent before the first answer, without the reserved share."""
        if self._tokens is None:
            return SMALL_TOKENS - SMALL_TOKENS * reserved_ppm // PPM
        return self._tokens // CONFIGURED_PARTS - self._tokens * reserved_ppm // PPM
