"""Slow start of bursts: a wave of calls is not sent before its first ones are admitted.

The mirrors may be wrong about what can be paid. Without a ramp the error costs as many refusals as calls are waiting:
all are sent in the same instant, long before the first refusal comes back. So a burst begins small for `ACTIVE_MS`
after a refusal, for `OPENING_MS` at a new server, and wherever a window of `TAPERED_MS` or longer is spent at once.
Then at most twice as many calls may be unanswered as were admitted of those sent in the last `COUNTED_MS`, or, up to
`OPENING_CALLS`, in the last `FLOW_MS`; one at least after a refusal, else `OPENING_CALLS`. A call about which the
server has been silent for `SILENCE_MS` counts as admitted, since refusals come back sooner. A burst of a hundred calls
takes five such steps after its first call, as in the slow start of congestion control (RFC 5681). A flow of twenty
calls a second may become one of eighty at once, but no wave of forty calls follows it.

A refusal that others' charges in a known window of a second or two explain makes no burst small. Nor does a long window
where such a second, in which others spend, alone bounds the tokens of a burst.

Towards the end of a window, and in buckets, the tokens without an answer are bounded as well (`may_join`).
"""

from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.answers.refill_detection import BUCKET
from headrace.broker.core.budget.mirror_list import AnyMirror
from headrace.broker.core.budget.rate_control import SILENCE_MS

COUNTED_MS: Final = 3 * SILENCE_MS
"""Two rounds of calls that have been answered, and the one whose answers may still come."""
FLOW_MS: Final = 1_000  # a flow of few calls has none in most rounds
UNANSWERED_PER_ADMITTED: Final = 2
ACTIVE_MS: Final = 600_000
OPENING_MS: Final = 10_000
TAPERED_MS: Final = 10_000  # of a shorter limit, the end is near all the time: it slows no burst
UNANSWERED_PARTS: Final = 2  # of what is left in a window, one part in so many may be unanswered
SPENT_IN_PARTS: Final = 8  # a limit is spent within one part in so many of its period
OPENING_CALLS: Final = 8  # with which a burst begins unless a call was refused within `ACTIVE_MS`


class UnansweredCalls(NamedTuple):
    """Calls without an answer, their tokens, and when the oldest of them will count as admitted."""

    calls: int
    tokens: int
    heard_ms: int


class BurstRamp:
    """The calls of one limit in the last `FLOW_MS`, and how many more may follow.

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

    def record_refusal(self, now_ms: int, *, known: bool = False) -> None:
        """Begin anew with one call, when the refusal of the last one sent would have come back.

        `known`: others' charges in a window that is known explain it. Then it ends what earlier refusals began.
        """
        if known:
            if self._active_until_ms > now_ms + OPENING_MS:  # what began at a new server goes on
                self._active_until_ms = now_ms
            return
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

    def may_send_at(self, now_ms: int, *, bounded: bool = False) -> int:
        """Return when one more call may be sent; `bounded`: bursts are so small that no window is spent at once."""
        if not self.active(now_ms) or (bounded and not self._opens and now_ms >= self._active_until_ms):
            return now_ms
        if self._sent is None or self._lately is None:
            return max(now_ms, self._resumes_ms)
        unanswered = self.unanswered(now_ms)
        first = 1 if self._refused and now_ms < self._active_until_ms else OPENING_CALLS
        flow = UNANSWERED_PER_ADMITTED * (len(self._sent) - unanswered.calls)
        burst = UNANSWERED_PER_ADMITTED * (len(self._lately) - unanswered.calls)
        most = max(first, burst, min(flow, OPENING_CALLS))
        return now_ms if unanswered.calls < most else unanswered.heard_ms

    def joins_at(
        self, paid: int, mirrors: Iterable[AnyMirror], windows: Iterable[tuple[AnyMirror, int, int]], now_ms: int
    ) -> int:
        """Return when a call may follow those without an answer into every limit of `TAPERED_MS` or longer.

        `windows` are those of side limits, each with what the call takes, and what a mean one does.
        """
        calls, tokens, heard_ms = self.unanswered(now_ms)
        if not calls:
            return now_ms
        for mirror in mirrors:
            of_calls = mirror.metric is LimitMetric.REQUESTS
            amount, open_amount = (1, calls) if of_calls else (paid, tokens)
            if is_long(mirror) and not may_join(mirror, amount, open_amount, calls, now_ms):
                return heard_ms
        if all(may_join(mirror, amount, mean * calls, calls, now_ms) for mirror, amount, mean in windows):
            return now_ms
        return heard_ms

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
    """Return whether a limit may slow bursts: it is not short, and its tokens may be spent long before they return."""
    return mirror.period_ms >= TAPERED_MS and not mirror.is_spent_evenly


def may_join(mirror: AnyMirror, amount: int, unanswered: int, calls: int, now_ms: int) -> bool:
    """Return whether a call of `amount` may follow `calls` without an answer, which take `unanswered`, into a limit.

    A window may hold less than is believed. So the unanswered calls may take no more than half of what is left after
    this call: then few calls are refused together at the end of the window. This does not hold for buckets, which have
    no end. In both, from `OPENING_CALLS` on, unanswered calls may take at most what returns within `SILENCE_MS` at
    `SPENT_IN_PARTS` times the limit's rate; a limit longer than a minute counts as one of a minute. Neither rule counts
    the call itself: a large call would wait until no small one is sent.
    """
    if mirror.refill is not BUCKET and unanswered * UNANSWERED_PARTS > mirror.low(now_ms) - amount:
        return False
    period_ms = min(mirror.period_ms, MINUTE_MS)
    return calls < OPENING_CALLS or unanswered * period_ms <= mirror.capacity * SILENCE_MS * SPENT_IN_PARTS
