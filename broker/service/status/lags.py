"""Lag of each lane: records in Kafka that were not taken yet, as a number with its age.

A task of its own asks every few seconds while this process leads, with a short timeout: it delays nothing. Where Kafka
does not answer, the last number stays, and grows older.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from headrace.broker.clock import WallClock
from headrace.broker.errors import LogUnavailable, MissingTopic
from headrace.broker.service.intake.lane_intake import LaneIntake

ASKED_EVERY_S = 5.0
ANSWER_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Lag:
    """Offsets of a lane that were not taken yet: its requests, and a marker for each transaction on it.

    Attributes:
        requests: Their number over all partitions.
        age_s: Time since Kafka was asked for it.
    """

    requests: int
    age_s: float


class Lags:
    """Lag of each lane while this process leads."""

    def __init__(self, intakes: Mapping[str, LaneIntake], clock: WallClock) -> None:
        self._intakes = intakes
        self._clock = clock
        self._found: dict[str, tuple[int, int]] = {}  # the number, and when it was asked for

    async def measure(self) -> None:
        """Ask Kafka for the ends of every lane that is being taken; the lag of a lane without a timely answer stays."""
        for lane, intake in self._intakes.items():
            asked_ms, lag = self._clock.now_ms(), None
            with contextlib.suppress(LogUnavailable, MissingTopic, TimeoutError):
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    lag = await intake.lag()
            if lag is not None:
                self._found[lane] = lag, asked_ms
            elif not intake.takes:
                self._found.pop(lane, None)

    def forget(self) -> None:
        """Forget all lags, as this process does not lead and another one takes."""
        self._found.clear()

    def of(self, lane: str, now_ms: int) -> Lag | None:
        """Return a lane's lag; None where it is unknown: this process does not lead, or Kafka has not answered yet."""
        found = self._found.get(lane)
        return None if found is None else Lag(found[0], max(0, now_ms - found[1]) / 1_000)
