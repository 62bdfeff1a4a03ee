"""Follower of the totals topic, in every dispatcher: it feeds `/status`, and nothing depends on it.

It begins 25 hours back. Where the topic is missing or Kafka is away it tries again every few seconds, and what it shows
grows old meanwhile; no failure of it reaches leadership.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from headrace.broker.clock import WallClock
from headrace.broker.errors import LogUnavailable, MissingTopic
from headrace.broker.service.preflight.probe import Observed
from headrace.broker.spending.window import HOURS, SpendingWindow, last_of_each_key
from headrace.broker.status_ports import TotalsLog
from headrace.schemas.record import Record
from headrace.schemas.spending import HOUR_S

READ_EVERY_S: Final = 1.0
"""Interval of the reads at the end: a busy leader writes fifty times a second."""
AGAIN_AFTER_S: Final = 10.0
CAUGHT_UP_MS: Final = 5_000
"""Age of the last look at the end that still counts; at the end there is one every second or two."""
_WAIT_MS: Final = 1_000
_RECORDS_A_TURN: Final = 100

_log = structlog.get_logger("totals")


class SpendingFollower:
    """Follower of one totals topic.

    Attributes:
        window: The sums of the last hours.
    """

    def __init__(self, log: TotalsLog, clock: WallClock, observed: Observed) -> None:
        """Nothing is read before `run`."""
        self.window = SpendingWindow()
        self._at_end_ms: int | None = None
        self._log = log
        self._clock = clock
        self._observed = observed
        self._said: str | None = None

    @property
    def is_caught_up(self) -> bool:
        """Whether it has read to the end, and lately: brokers that are silent say nothing of new records either."""
        return self._at_end_ms is not None and self._clock.now_ms() - self._at_end_ms <= CAUGHT_UP_MS

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            while True:
                await self._surviving(self._follow)
                self._at_end_ms = None
                await self._surviving(self._log.close)
                await asyncio.sleep(AGAIN_AFTER_S)
        finally:
            await self._surviving(self._log.close)

    async def _surviving(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do it, and survive whatever is wrong with it: what only observes ends nothing."""
        try:
            await step()
        except (LogUnavailable, MissingTopic) as error:
            self._say(str(error))
        except Exception as error:  # noqa: BLE001 — see above
            self._observed("totals", error)

    async def _follow(self) -> None:
        now_ms = self._clock.utc_ms()
        first_hour = now_ms // (HOUR_S * 1_000) - HOURS + 1
        await self._log.open(first_hour * HOUR_S * 1_000)
        window = SpendingWindow()
        while True:
            records = await self._log.read(_WAIT_MS)
            await self._observe(window, last_of_each_key(records))
            if await self._log.is_at_end():
                self.window, self._at_end_ms, self._said = window, self._clock.now_ms(), None
                await asyncio.sleep(READ_EVERY_S)

    async def _observe(self, window: SpendingWindow, records: Sequence[Record]) -> None:
        """Take note of a read, of which all 2,000 take 0.12 s: other tasks of the loop have their turns meanwhile."""
        hour = self._clock.utc_ms() // (HOUR_S * 1_000)
        for begin in range(0, max(1, len(records)), _RECORDS_A_TURN):
            window.observe(records[begin : begin + _RECORDS_A_TURN], hour)
            await asyncio.sleep(0)

    def _say(self, reason: str) -> None:
        """Log a reason once, until it has passed."""
        if reason != self._said:
            self._said = reason
            _log.info("totals_not_followed", reason=reason)
