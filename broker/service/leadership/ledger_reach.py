"""How far back the ledger is read: a dedupe window of time in which a dispatcher led, counted from its last line.

Twice a window a leader says again what no age may push out: ids that are parked, cancels that wait, the key of grants.
So whatever counts stands within a window of the last line, however long ago that is. Counted from now, a window in
which none led would tell nothing of it, and what is parked would be forgotten.

The same holds for a pause in between. A leader that died within moments of its claim has not said again what its own
reading of the ledger told it. So a time in which no line was written for longer than a leader ever leaves out is no
part of the window: the reading begins earlier by as much. Of a pause that began before it a reading sees a part alone;
so from the second time on it goes at least twice as far back, and a pause of a year costs some fifteen readings.
"""

import structlog

from broker.core.bounds import RECOMMIT_EVERY_MS
from broker.ports import LedgerStart

_log = structlog.get_logger("ledger")


class LedgerReach:
    """Of one reading, from its start to the last line that stood there then.

    Attributes:
        back_ms: How long before the last line the reading begins.
    """

    def __init__(self, window_ms: int) -> None:
        """`window_ms` is the dedupe window."""
        self._window_ms = window_ms
        self._silence_max_ms = min(RECOMMIT_EVERY_MS, window_ms // 2) * 5 // 4
        self._start: LedgerStart | None = None
        self._last_ms = self._unled_ms = 0
        self._before_ms = 0  # of that, before the first line
        self._first_ms: int | None = None
        self.back_ms = window_ms

    def begin(self, start: LedgerStart) -> None:
        """The reading begins there."""
        self._start, self._last_ms, self._first_ms = start, start.from_ms, None
        self._unled_ms = self._before_ms = 0

    def line(self, at_ms: int) -> None:
        """The next line, and Kafka's time of it."""
        pause_ms = at_ms - self._last_ms
        if pause_ms > self._silence_max_ms:
            self._unled_ms += pause_ms
        if self._first_ms is None:
            self._first_ms, self._before_ms = at_ms, self._unled_ms
        self._last_ms = max(self._last_ms, at_ms)

    def falls_short(self) -> bool:
        """All lines were read. Whether the reading must begin again, `back_ms` before the last one."""
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
