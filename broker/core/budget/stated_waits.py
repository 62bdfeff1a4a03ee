"""Waits that refusals state: a short one is kept, a long one once such waits have proved to be true.

Some servers state a minute whatever is missing. So a long wait is tested by single calls, at the pace of our own
back-off. The first call that is admitted after it shows whether it was true: one that is admitted more than a twentieth
of the wait before its end disproves it, and one that is admitted soon after the end bears it out. Waits that are far
longer than those that proved true are tested all the same: one absurd figure would otherwise stop a limit for a day.
"""

from typing import Final

from headrace.broker.core.units import PPM

BACKOFF_FIRST_MS: Final = 300
BACKOFF_MAX_MS: Final = 16_000
BACKOFF_LONG_MS: Final = 300_000  # after `MANY_ROWS` refusals in a row, which take a minute and a half
MANY_ROWS: Final = 10
BACKOFF_LEAST_MS: Final = 50
KEPT_WAIT_MS: Final = 2_000
KEPT_IN_A_ROW: Final = 2
TRUSTED: Final = 2  # stated waits that proved true before longer ones are kept
TRUST_LOST: Final = -2  # so that after a wait that was disproved four must prove true
TRUSTED_MS: Final = 120_000  # waits no longer than this are kept then, and longer ones
TRUSTED_TIMES: Final = 2  # up to this multiple of the longest that proved true
EARLY_PPM: Final = 50_000  # a call admitted earlier than this part before the stated end disproves the wait
LATE_MS: Final = 3_000


class StatedWaits:
    """Trust in the long waits that one server states."""

    __slots__ = ("_promise", "_proven_ms", "_trust")

    def __init__(self) -> None:
        self._trust = 0
        self._proven_ms = 0  # the longest wait that proved true
        self._promise: tuple[int, int] | None = None  # when a wait was stated, and its end

    def record(self, wait_ms: int | None, now_ms: int) -> None:
        """Record the wait that the first of several refusals in a row states; None: it states none."""
        self._promise = None if wait_ms is None else (now_ms, now_ms + wait_ms)

    def record_admission(self, sent_ms: int) -> None:
        """Judge the wait that was stated last by the first call that was admitted after it."""
        if self._promise is None:
            return
        (told_ms, until_ms), self._promise = self._promise, None
        if until_ms - told_ms > KEPT_WAIT_MS:
            if sent_ms < until_ms - (until_ms - told_ms) * EARLY_PPM // PPM:
                self._trust = TRUST_LOST
            elif sent_ms < until_ms + LATE_MS:
                self._trust = min(TRUSTED, self._trust + 1)
                self._proven_ms = max(self._proven_ms, until_ms - told_ms)

    def rest_ms(self, wait_ms: int | None, row: int) -> int:
        """Return how long to rest after a refusal that states `wait_ms`; it is the `row`-th without an admission."""
        own_ms = min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS << min(row - 1, 10))
        if wait_ms is None:
            return own_ms
        if row > MANY_ROWS:  # what states a long wait all that time is likely to mean it
            own_ms = BACKOFF_LONG_MS
        trusted_ms = max(TRUSTED_MS, TRUSTED_TIMES * self._proven_ms) if self._trust >= TRUSTED else KEPT_WAIT_MS
        if wait_ms <= trusted_ms:
            unkept = row > KEPT_IN_A_ROW  # waits that were kept, and refused all the same
            return max(BACKOFF_LEAST_MS, wait_ms, own_ms if unkept else 0)
        return min(own_ms, wait_ms)
