"""Longest time a call may take from its sending to the server's limiter: the mirror's safety margin.

The server does not report this delay, and it varies: a proxy, a queue before the limiter or a busy event loop of ours
lengthens it. So the estimate starts long, shrinks a little with every answer that agrees with the mirror, and doubles
with every answer that contradicts it. A value that has proved too short is not tried again soon: the lower bound
becomes twice that value and comes down slowly. An estimate that is too long costs the refill of that time, once (a
second of a minute's bucket: 1.7 %); one that is too short costs refusals. Where other clients spend from the same
bucket, their spending contradicts the mirror whatever the delay; then a contradiction raises the estimate for the
moment but not the lower bound.

A refusal that states a level is the limiter's own and comes back at once: no call takes longer to the limiter than the
slowest of the last ones took to come back. That bounds the delay of a window of a second or two, which a second's delay
would leave unused, and it shrinks sooner there. Beside a longer one a delay costs little, and keeps calls within limits
that the mirror does not know as well.
"""

from typing import Final

from headrace.broker.core.answers.refill_detection import SHORT_MS

DELAY_MAX_MS: Final = 1_000
DELAY_MIN_MS: Final = 120  # but of periods below three seconds
SHORT_PARTS: Final = 25  # of a short period, which a delay of `DELAY_MIN_MS` would leave unused to a large part
SHRINKS_BY: Final = 128  # each agreeing answer shortens the delay by one part in this many
SHORT_SHRINKS_BY: Final = 16  # likewise beside a short window, which a long delay leaves half unused
FORGETS_AFTER: Final = 1_024  # agreeing answers in a row before the lower bound comes down a little
FORGETS_PARTS: Final = 16
RAISED_AMONG_OTHERS: Final = 16  # where answers have proved to be contradicted by others' spending alone
REFUSALS_REMEMBERED: Final = 8
REFUSALS_MIN: Final = 4
LONGER_PARTS: Final = 4  # other calls may take longer, by one part in this many
OTHERS_STAY: Final = 16_384  # agreeing answers during which contradictions are attributed to other clients


class LongestDelay:
    """The longest time that any call takes to the limiter, as its refusals show it.

    A refusal comes back at once, so its call took less time to get there. Of the last ones the slowest tells.

    Attributes:
        ms: That time; `DELAY_MAX_MS` until enough refusals have come.
    """

    __slots__ = ("_took_ms", "ms")

    def __init__(self) -> None:
        self.ms = DELAY_MAX_MS
        self._took_ms: tuple[int, ...] = ()

    def record_refusal(self, took_ms: int) -> None:
        """Record how long after its call a refusal came."""
        self._took_ms = (*self._took_ms[1 - REFUSALS_REMEMBERED :], took_ms)
        if len(self._took_ms) >= REFUSALS_MIN:
            longest_ms = max(self._took_ms)
            self.ms = max(1, min(DELAY_MAX_MS, longest_ms + longest_ms // LONGER_PARTS))


class AdmissionDelay:
    """The longest delay that the answers so far leave possible.

    Attributes:
        ms: In whole milliseconds.
        longest_ms: What refusals leave possible (`LongestDelay`); of a short window it is no longer than that, from the
            next answer on.
    """

    def __init__(self) -> None:
        self.ms = self.longest_ms = DELAY_MAX_MS
        self._is_short = False
        self._least_ms = self._shortest_ms = DELAY_MIN_MS
        self._agreed = 0
        self._raised_by = 1  # among others, each contradiction lengthens it by one part in so many
        self._among_others = 0  # agreeing answers left during which contradictions are attributed to other clients

    def adapt_to(self, period_ms: int) -> None:
        """Let it come down to one part in `SHORT_PARTS` of a period, if that is less than `DELAY_MIN_MS`."""
        self._least_ms = min(DELAY_MIN_MS, max(1, period_ms // SHORT_PARTS))
        self._is_short = period_ms <= SHORT_MS
        self.judge_anew()

    def judge_anew(self) -> None:
        """Let it come down again: what contradicted other mirrors, or other prices, may have been no delay."""
        self._shortest_ms = self._least_ms

    def learn(
        self, error: int | None, capacity: int, period_ms: int, *, of_tokens: bool = True, by_others: bool = False
    ) -> None:
        """Learn from the error of a mirror of that size and period: see `Mirror.observe`.

        A shortfall of tokens beyond what the longest delay explains is others' spending; any other one means a longer
        delay. `by_others`: it is known to be theirs, and so tells nothing of delays.
        """
        self._bound()
        if error == 0:
            self.record_agreement()
        elif by_others:
            self._among_others, self._shortest_ms, self._raised_by = OTHERS_STAY, self._least_ms, RAISED_AMONG_OTHERS
        elif error is not None and error < 0:
            self.record_shortfall(by_others=of_tokens and -error * period_ms > self._max_ms * capacity)

    def record_agreement(self) -> None:
        """Record an answer that agreed with the mirror."""
        if self.ms > self._shortest_ms:
            parts = SHORT_SHRINKS_BY if self._is_short else SHRINKS_BY
            self.ms = max(self._shortest_ms, self.ms - max(1, self.ms // parts))
        self._agreed += 1
        if self._among_others:
            self._among_others -= 1
        if self._agreed >= FORGETS_AFTER:
            self._agreed = 0
            self._shortest_ms = max(self._least_ms, self._shortest_ms - self._shortest_ms // FORGETS_PARTS)

    def record_shortfall(self, *, by_others: bool = False) -> None:
        """Record that the server had less than believed, or refused a call that should have been payable.

        `by_others`: the shortfall is larger than any delay explains.
        """
        raised_by = self._raised_by if self._among_others else 1
        self.ms += -(-self.ms // raised_by)
        self._bound()
        if by_others:
            self._among_others = OTHERS_STAY
            self._shortest_ms = self._least_ms
        elif not self._among_others:
            self._shortest_ms = max(self._shortest_ms, self.ms)
        self._agreed = 0

    def _bound(self) -> None:
        """Let it be no longer than it may be."""
        max_ms = self._max_ms
        self.ms, self._shortest_ms = min(self.ms, max_ms), min(self._shortest_ms, max_ms)

    @property
    def _max_ms(self) -> int:
        """What it may be at most: refusals bound only that of a short window."""
        return max(self._least_ms, self.longest_ms) if self._is_short else DELAY_MAX_MS
