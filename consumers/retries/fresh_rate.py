"""Fresh work: the growth of the lanes, polled each second in the background.

It is read from the lanes' ends. That needs no right beyond that of writing there, and no counting elsewhere. A lane
that does not answer earns its retries nothing but the floor.
"""

import asyncio
from collections.abc import Mapping

import structlog

from headrace.broker.clock import WallClock
from headrace.broker.errors import LogUnavailable, MissingTopic
from headrace.broker.ports import LaneLog
from headrace.consumers.retries.retry_budget import RetryBudgets

ASKED_EVERY_S = 1.0
LANES_LOOKED_UP_EVERY_MS = 30_000

_log = structlog.get_logger("retrier")


class FreshWork:
    """Poller that reports the lanes' growth to the retry budgets."""

    def __init__(self, lanes: Mapping[str, LaneLog], retry_budgets: RetryBudgets, clock: WallClock) -> None:
        """`lanes` are asked for their bounds and never read."""
        self._lanes = lanes
        self._retry_budgets = retry_budgets
        self._clock = clock
        self._partitions: dict[str, list[int]] = {}
        self._looked_up_ms: dict[str, int] = {}
        self._silent: set[str] = set()

    async def watch(self) -> None:
        """Poll until cancelled."""
        while True:
            for lane, log in self._lanes.items():
                try:
                    await self._ask(lane, log)
                except Exception as error:  # noqa: BLE001 — a lane without fresh work keeps its floor, and the watch goes on
                    if lane not in self._silent:
                        _log.warning("fresh_work_unknown", lane=lane, reason=_reason(error))
                    self._silent.add(lane)
                else:
                    self._silent.discard(lane)
            await asyncio.sleep(ASKED_EVERY_S)

    async def _ask(self, lane: str, log: LaneLog) -> None:
        now_ms = self._clock.now_ms()
        if now_ms >= self._looked_up_ms.get(lane, now_ms):
            self._partitions[lane] = await log.partitions()
            self._looked_up_ms[lane] = now_ms + LANES_LOOKED_UP_EVERY_MS
        bounds = await log.bounds(self._partitions[lane])
        end = sum(end for _, end in bounds.values())
        self._retry_budgets[lane].observe(end, len(bounds), self._clock.now_ms())


def _reason(error: Exception) -> str:
    """Return Kafka's error as a sentence; for a defect of ours, its type alone."""
    return str(error) if isinstance(error, LogUnavailable | MissingTopic) else type(error).__name__
