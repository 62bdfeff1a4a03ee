"""What may be called before the first answer has told how full a limit is.

Nobody knows whether somebody else has emptied it, so one call goes first. While it has no answer, and a slow model's
takes a minute, others may follow, one each time that the server was silent for `QUIET_MS` about the last one: it
refuses at once, so silence means that it admitted.

- A part of the limit's size as the operator told it, or `SMALL_TOKENS` of one that nobody has told, may be spent so by
  all; of that part others' share is kept like any other, or large calls of a lane below would use it up.
- A request of a lane above every call in flight may go whatever it costs, for it would wait for an answer of a lane
  below. If it is within that part, and one call is in flight, it goes at once.

A refusal ends this until a call goes first again, or an answer has come. So beside each first call one call at most is
refused; two, if the first one is as well.
"""

from collections.abc import Collection
from typing import Final

from broker.core.markup import PPM
from broker.core.reservation import Reservation
from broker.core.spread import QUIET_MS

UNTOLD_PARTS: Final = 4  # so little of a configured limit is spent before the first answer
SMALL_TOKENS: Final = 2_500
"""A quarter of 10,000, the smallest limit per minute that OpenAI has for a model of text."""


class Opening:
    """One limit's first calls.

    Attributes:
        refused: A call has been refused since one went first.
    """

    def __init__(self, tokens: int | None) -> None:
        """`tokens`: the limit's size as the operator told it."""
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
            keep_ppm: The share that must be left for others.
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
        """What may be spent before the first answer beside the share kept."""
        if self._tokens is None:
            return SMALL_TOKENS - SMALL_TOKENS * keep_ppm // PPM
        return self._tokens // UNTOLD_PARTS - self._tokens * keep_ppm // PPM
