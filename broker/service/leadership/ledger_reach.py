"""Reach of a ledger reading: a dedupe window of time in which a dispatcher led, counted back from the last line.

Twice a window a leader writes again what no age may push out: parked ids, waiting cancels, the key of grants. So
whatever counts is within a window of the last line, however old that line is. Counted from now, a window in which no
dispatcher led would contain none of it, and parked requests would be forgotten.

The same holds for a pause in between. A leader that died within moments of its claim has not written again what it had
read from the ledger. So a time in which no line was written for longer than a leader ever pauses is no part of the
window: the reading begins earlier by that time. Of a pause that began before its start, a reading sees only a part; so
from the second time on it goes at least twice as far back, and a pause of a year costs some fifteen readings.
"""

import structlog

from headrace.broker.core.bounds import RECOMMIT_EVERY_MS
from headrace.broker.ports import LedgerStart

_log = structlog.get_logger("ledger")


class LedgerReach:
    """Reach of one reading, from its start to the line that was the last one then.

    Attributes:
        back_ms: Distance from the last line back to the start of the reading.
    """

    def __init__(self, window_ms: int) -> None:
        """`window_ms` is the dedupe window."""
        self._window_ms = window_ms
        self._silence_max_ms = min(RECOMMIT_EVERY_MS, window_ms // 2) * 5 // 4
        self._start: LedgerStart | None = None
        self._last_ms = self._unled_ms = 0
        self._before_ms = 0  # the part of it before the first line
        self._first_ms: int | None = None
        self.back_ms = window_ms

    def begin(self, start: LedgerStart) -> None:
        """Note the start of the reading."""
        self._start, self._last_ms, self._first_ms = start, start.from_ms, None
        self._unled_ms = self._before_ms = 0

    def record_line(self, at_ms: int) -> None:
        """Note the next line and its Kafka time."""
        pause_ms = at_ms - self._last_ms
        if pause_ms > self._silence_max_ms:
            self._unled_ms += pause_ms
        if self._first_ms is None:
            self._first_ms, self._before_ms = at_ms, self._unled_ms
        self._last_ms = max(self._last_ms, at_ms)

    def falls_short(self) -> bool:
        """After all lines were read, whether the reading must begin again, `back_ms` before the last one."""
        start, self._start = self._start, None
        if start is None:
            return False  # it was known already
        needed_ms = self._window_ms + self._unled_ms
        if not start.is_first and needed_ms > self.back_ms:
            is_second = self.back_ms > self._window_ms
            self.back_ms = max(needed_ms, 2 * self.back_ms) if is_second else needed_ms
            return True
        first_ms = self._last_ms if self._first_ms is None else self._first_ms
        led_ms = self._last_ms - max(first_ms, start.from_ms) - (self._unled_ms - self._before_ms)
        if start.is_first and start.removed and led_ms < self._window_ms:
            _log.warning("ledger_reaches_back_less", seconds=max(0, led_ms) // 1_000, window_s=self._window_ms // 1_000)
        self.back_ms = self._window_ms
        return False
