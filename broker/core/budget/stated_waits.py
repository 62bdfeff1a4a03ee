"""Waits that refusals state: a short one is kept, a long one once such waits have proved to be true.

Some servers state a minute whatever is missing. So a long wait is tested by single calls, at the pace of our own
back-off. The first call that is admitted after it shows whether it was true: one that is admitted more than a twentieth
of the wait before its end disproves it, and one that is admitted soon after the end bears it out. Waits that are far
longer than those that proved true are tested all the same: one absurd figure would otherwise stop a limit for a day.
Refusals without an admission between them are a row.

Each test that is refused costs a 429, and two things spare most of them. What the tests themselves are told: a server
that counts down to one instant means it, and one that always says a minute never does. So an end that several refusals
of a row state is tested once half way, and then kept. And what the last row took, as a part of the wait that it stated:
tests begin after half of that, and after five minutes at most. Likewise a short wait that was kept in vain is
lengthened by half of what was missing, and so are those of about its length after it.
"""

from typing import Final

from headrace.broker.core.units import PPM

BACKOFF_FIRST_MS: Final = 300
BACKOFF_MAX_MS: Final = 16_000
BACKOFF_LONG_MS: Final = 300_000  # after `MANY_IN_A_ROW` refusals in a row, which take a minute and a half
MANY_IN_A_ROW: Final = 10
BACKOFF_LEAST_MS: Final = 50
KEPT_WAIT_MS: Final = 2_000  # a wait up to this is short, and kept without trust
KEPT_IN_A_ROW: Final = 2  # kept waits that ended in refusals, before each further one is our own back-off at least
TRUSTED: Final = 2  # stated waits that proved true before longer ones are kept
TRUST_LOST: Final = -2  # so that after a wait that was disproved four must prove true
TRUSTED_MS: Final = 120_000  # waits no longer than this are kept then, and longer ones
TRUSTED_TIMES: Final = 2  # up to this multiple of the longest that proved true
AGREED_PARTS: Final = 4  # two refusals state one end if that has moved by less than one part of the time between them
EXPECTED_PARTS: Final = 2  # tests begin after one part in so many of what it took the last time
ALIKE_TIMES: Final = 4  # one limit's short waits differ by less
EARLY_PPM: Final = 50_000  # a call admitted earlier than this part before the stated end disproves the wait
LATE_MS: Final = 3_000


class StatedWaits:
    """Trust in the waits that one limit's refusals state."""

    __slots__ = (
        "_agreed",
        "_are_kept",
        "_late_ms",
        "_late_of_ms",
        "_part_ppm",
        "_promise",
        "_proven_ms",
        "_rests_until_ms",
        "_trust",
    )

    def __init__(self) -> None:
        self._trust = 0
        self._proven_ms = 0  # the longest wait that proved true
        self._promise: tuple[int, int] | None = None  # when a wait was stated, and its end
        self._agreed = 0  # refusals of this row that state the end that its first one does
        self._rests_until_ms = 0  # after the last refusal
        self._are_kept: bool | None = None  # the waits that the row's refusals state; None: some of them
        self._late_ms = 0  # by which calls were refused after such waits had passed, in the last row
        self._late_of_ms = 0  # the wait that its first refusal stated
        self._part_ppm = 0  # of the wait that was stated, after which a call was admitted, if it was not kept

    def record_refusal(self, wait_ms: int | None, row: int, now_ms: int) -> int:
        """Record a refusal that states `wait_ms`, the `row`-th without an admission; return how long to rest."""
        end_ms = None if wait_ms is None else now_ms + wait_ms
        is_kept = wait_ms is not None and wait_ms <= self._trusted_ms
        if row == 1:
            self._promise = None if end_ms is None else (now_ms, end_ms)
            self._agreed, self._are_kept = 0, is_kept
        elif self._promise is not None and end_ms is not None:
            told_ms, until_ms = self._promise
            self._agreed += abs(end_ms - until_ms) * AGREED_PARTS <= now_ms - told_ms
            if now_ms > until_ms + BACKOFF_FIRST_MS:  # it has passed, and calls are refused all the same
                self._agreed = 0
        if is_kept is not self._are_kept and not self._agreed:
            self._are_kept = None
        rest_ms = self._rest_ms(wait_ms, row)
        self._rests_until_ms = now_ms + rest_ms
        return rest_ms

    def record_admission(self, sent_ms: int) -> None:
        """Judge the wait that was stated last by the first call that was admitted after it."""
        if self._promise is None:
            return
        (told_ms, until_ms), self._promise = self._promise, None
        stated_ms, tested_ms = until_ms - told_ms, min(sent_ms, self._rests_until_ms)
        is_long = stated_ms > KEPT_WAIT_MS
        is_early = is_long and sent_ms < until_ms - stated_ms * EARLY_PPM // PPM
        if self._are_kept and not is_early:
            self._late_ms = max(0, tested_ms - max(until_ms, told_ms + BACKOFF_LEAST_MS))
            self._late_of_ms = max(BACKOFF_LEAST_MS, stated_ms)
        elif self._are_kept is not None:
            self._part_ppm = (tested_ms - told_ms) * PPM // stated_ms
        if is_early:
            self._trust = TRUST_LOST
        elif is_long and sent_ms < until_ms + LATE_MS:
            self._trust = min(TRUSTED, self._trust + 1)
            self._proven_ms = max(self._proven_ms, stated_ms)

    @property
    def are_disproved(self) -> bool:
        """Whether a call was admitted long before the end of a wait, and too few have proved true since."""
        return self._trust < 0

    @property
    def _trusted_ms(self) -> int:
        """The longest wait that is kept without a test."""
        believed = self._trust + self._agreed >= TRUSTED
        return max(TRUSTED_MS, TRUSTED_TIMES * self._proven_ms) if believed else KEPT_WAIT_MS

    def _is_late(self, wait_ms: int) -> bool:
        """Return whether such a wait was too short the last time: one of another length is that of another limit."""
        stated_ms, late_of_ms = max(BACKOFF_LEAST_MS, wait_ms), self._late_of_ms
        is_like = stated_ms <= ALIKE_TIMES * late_of_ms and late_of_ms <= ALIKE_TIMES * stated_ms
        return is_like and self._are_kept is True

    def _rest_ms(self, wait_ms: int | None, row: int) -> int:
        """Return how long to rest, in ms, after the `row`-th refusal in a row, which states `wait_ms`."""
        own_ms = min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS << min(row - 1, 10))
        if wait_ms is None:
            return own_ms
        if row > MANY_IN_A_ROW:  # what states a long wait all that time is likely to mean it
            own_ms = BACKOFF_LONG_MS
        if wait_ms <= self._trusted_ms:
            unkept = row > KEPT_IN_A_ROW and not self._agreed  # waits that were kept, and refused all the same
            late_ms = min(BACKOFF_MAX_MS, self._late_ms // EXPECTED_PARTS) if self._is_late(wait_ms) else 0
            return max(BACKOFF_LEAST_MS, wait_ms + late_ms, own_ms if unkept else 0)
        expected_ms = wait_ms * self._part_ppm // PPM // EXPECTED_PARTS
        if self._agreed:  # it counts down to an instant, which is tested half way
            expected_ms = max(expected_ms, wait_ms // 2)
        return min(max(own_ms, min(expected_ms, BACKOFF_LONG_MS)), wait_ms)
