"""Bursts that begin small where refusals have come: a wave of calls is not sent before its first ones are admitted.

The mirrors may be wrong about what can be paid. Without a ramp the error costs as many refusals as calls are waiting:
all are sent in the same instant, long before the first refusal comes back. So for some time after a refusal, and
wherever a window of ten seconds or longer is spent at once, at most twice as many calls may be unanswered within
`SILENCE_MS` as were admitted of the last `COUNTED_MS`, and one at least; of few calls, as of the last second. A refusal
comes back sooner than that; a call about which the server has been silent for so long was admitted. A burst of a
hundred calls takes five such steps after its first call, as in the slow start of congestion control (RFC 5681); a flow
of twenty calls a second may become one of eighty, and no wave of forty.
"""

from collections import deque
from typing import Final, NamedTuple

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS
from headrace.broker.core.answers.refill_detection import BUCKET
from headrace.broker.core.budget.mirror_list import AnyMirror
from headrace.broker.core.budget.rate_control import SILENCE_MS

FLOW_MS: Final = 1_000
COUNTED_MS: Final = 3 * SILENCE_MS  # what has been answered, and the round whose answers may still come
UNANSWERED_PER_ADMITTED: Final = 2
ACTIVE_MS: Final = 600_000
OPENING_MS: Final = 10_000
TAPERED_MS: Final = 10_000  # the end of a shorter window is near all the time
UNANSWERED_PARTS: Final = 2  # of what is left in a window, one part in so many may be unanswered
SPENT_IN_PARTS: Final = 8  # a limit is spent within one part in so many of its period
OPENING_CALLS: Final = 8  # with which bursts begin where none was refused for `ACTIVE_MS`


class UnansweredCalls(NamedTuple):
    """Calls without an answer, their tokens, and when the oldest of them will count as admitted."""

    calls: int
    tokens: int
    heard_ms: int


class BurstRamp:
    """The calls of one limit in the last second, and how many more may follow.

    Attributes:
        always: Bursts begin small though none was refused: windows are spent at once.
    """

    __slots__ = (
        "_active_until_ms",
        "_admitted_ms",
        "_lately",
        "_open",
        "_open_tokens",
        "_opens",
        "_refused",
        "_resumes_ms",
        "_sent",
        "always",
    )

    def __init__(self, opened_ms: int | None = None) -> None:
        """`opened_ms`: when calls to an unknown server may begin; None: it is known."""
        self._sent: deque[int] | None = None  # when each call of the last `FLOW_MS` was sent
        self._lately: deque[int] | None = None  # the same of `COUNTED_MS`
        self._open: deque[tuple[int, int]] | None = None  # those without an answer, and the tokens of each
        self._open_tokens = 0
        self._refused = False
        self._admitted_ms = -1
        self._resumes_ms = 0  # the server will have been silent about the last call before the last refusal
        self._opens = opened_ms is not None  # and no call has been admitted yet, however long the first one takes
        self._active_until_ms = 0 if opened_ms is None else opened_ms + OPENING_MS
        self.always = False

    def active(self, now_ms: int) -> bool:
        """Return whether bursts begin small."""
        return self.always or self._opens or now_ms < self._active_until_ms

    def record_refusal(self, now_ms: int) -> None:
        """Begin anew with one call, when the refusal of the last one sent would have come back."""
        self._refused = True
        self._active_until_ms = max(self._active_until_ms, now_ms + ACTIVE_MS)
        if self._sent:
            self._resumes_ms = self._sent[-1] + SILENCE_MS
        self._sent, self._lately, self._open, self._open_tokens = None, None, None, 0

    def record_send(self, tokens: int, now_ms: int) -> None:
        """Count a call that is sent now."""
        if self.active(now_ms):
            if self._sent is None or self._lately is None or self._open is None:
                self._sent, self._lately, self._open = deque(), deque(), deque()
            self._sent.append(now_ms)
            self._lately.append(now_ms)
            self._open.append((now_ms, tokens))
            self._open_tokens += tokens
            self._forget(now_ms)

    def record_admission(self, sent_ms: int, now_ms: int) -> None:
        """Record that a call sent at `sent_ms` was admitted, and so those before it."""
        if self._opens:
            self._opens, self._active_until_ms = False, max(self._active_until_ms, now_ms + OPENING_MS)
        self._admitted_ms = max(self._admitted_ms, sent_ms)

    def may_send_at(self, now_ms: int) -> int:
        """Return when one more call may be sent."""
        if not self.active(now_ms):
            return now_ms
        if self._sent is None or self._lately is None:
            return max(now_ms, self._resumes_ms)
        unanswered = self.unanswered(now_ms)
        first = 1 if self._refused and now_ms < self._active_until_ms else OPENING_CALLS
        flow = UNANSWERED_PER_ADMITTED * (len(self._sent) - unanswered.calls)
        burst = UNANSWERED_PER_ADMITTED * (len(self._lately) - unanswered.calls)
        most = max(first, burst, min(flow, OPENING_CALLS))
        return now_ms if unanswered.calls < most else unanswered.heard_ms

    def unanswered(self, now_ms: int) -> UnansweredCalls:
        """Return the calls that the server has neither answered nor been silent about for `SILENCE_MS`."""
        self._forget(now_ms)
        heard_ms = max(self._admitted_ms, now_ms - SILENCE_MS)
        while self._open and self._open[0][0] <= heard_ms:
            self._open_tokens -= self._open.popleft()[1]
        if not self._open:
            return UnansweredCalls(0, 0, now_ms + SILENCE_MS)
        return UnansweredCalls(len(self._open), self._open_tokens, self._open[0][0] + SILENCE_MS)

    def _forget(self, now_ms: int) -> None:
        """Forget calls sent longer ago than is counted."""
        while self._sent and self._sent[0] <= now_ms - FLOW_MS:
            self._sent.popleft()
        while self._lately and self._lately[0] <= now_ms - COUNTED_MS:
            self._lately.popleft()


def is_long(mirror: AnyMirror) -> bool:
    """Return whether a limit is long enough for its end to be far at times."""
    return mirror.period_ms >= TAPERED_MS and not mirror.is_spread


def may_join(mirror: AnyMirror, amount: int, unanswered: int, calls: int, now_ms: int) -> bool:
    """Return whether one more call may follow `calls` unanswered ones, which take `unanswered`, into a limit.

    A window is spent at once, and may hold less than is believed. So these may take no more than half of what is left
    after this call: towards the end of the window few are refused together. A bucket is always near its end. From
    `OPENING_CALLS` on they may take at most what `SILENCE_MS` lets through at `SPENT_IN_PARTS` times the limit's rate.
    Neither bounds the call itself: a large one would wait for a pause of the small ones.
    """
    if mirror.refill is not BUCKET and unanswered * UNANSWERED_PARTS > mirror.low(now_ms) - amount:
        return False
    period_ms = min(mirror.period_ms, MINUTE_MS)
    return calls < OPENING_CALLS or unanswered * period_ms <= mirror.capacity * SILENCE_MS * SPENT_IN_PARTS
