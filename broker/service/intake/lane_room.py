"""Room of one lane's partitions for further records."""

from typing import Final

from headrace.broker.core.ticket import LanePartition
from headrace.broker.service.driver import Driver

CLOSED_WAIT_MS: Final = 200
"""Delay until a partition without room is looked at again."""


class LaneRoom:
    """Room in the core, and the partitions whose next record does not fit although there is room."""

    def __init__(self, lane: str, driver: Driver) -> None:
        self._lane = lane
        self._driver = driver
        self._full: dict[int, int] = {}  # partitions whose next record does not fit, and when to try again

    def of(self, partition: int) -> int:
        """Return how many records of the partition the core would take now."""
        if self._driver.clock.now_ms() < self._full.get(partition, 0):
            return 0
        return self._driver.core.room(LanePartition(self._lane, partition))

    def close(self, partition: int) -> None:
        """Ask for no record of the partition for a while: its next one does not fit."""
        self._full[partition] = self._driver.clock.now_ms() + CLOSED_WAIT_MS
