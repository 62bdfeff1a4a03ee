"""Check of this process's wall clock when it is about to lead: deadlines pass and ids are forgotten by it.

A machine may have started with a clock that is an hour off. Neither Redis nor Kafka is believed alone; where both agree
with each other and differ from us, our clock is corrected. Nothing else ever moves it. A retrier writes nothing that
Kafka stamps. Its second witness is the leading dispatcher: `not_before` is set by that dispatcher's clock.
"""

from datetime import datetime
from typing import Any

import structlog

from headrace.broker.clock import WallClock
from headrace.broker.errors import LeaseUnavailable
from headrace.broker.ports import Lease
from headrace.schemas.bounded_json import json_or_none

TOLERANCE_MS = 5_000
"""Accepted difference between clocks: deadlines are minutes, and answers take time."""
ASKED_TIMES = 3
"""Number of times Redis is asked, until it has answered once."""
STATUS_AGE_MS = 2_500
"""Half the largest age of a live status: so its age is misjudged by at most this, in either direction."""

_log = structlog.get_logger("clock")


class Timekeeper:
    """Comparison of our wall clock with those of Redis and Kafka."""

    def __init__(self, clock: WallClock, lease: Lease) -> None:
        """`lease` is asked for Redis' time."""
        self._clock = clock
        self._lease = lease
        self._redis_ms: int | None = None

    async def ask_redis(self) -> bool:
        """Measure the offset of Redis' clock from ours. False if Redis is silent, and has been ever since we began.

        An earlier answer still holds: nothing but this class moves our clock.
        """
        for _ in range(ASKED_TIMES if self._redis_ms is None else 1):
            try:
                self.observe(await self._lease.server_time_ms())
            except LeaseUnavailable:
                continue
            return True
        return self._redis_ms is not None

    def observe(self, redis_ms: int) -> None:
        """Note the time that Redis has just reported."""
        self._redis_ms = redis_ms - self._clock.utc_ms()

    def earliest_utc_ms(self) -> int:
        """Return the earliest possible wall time: ours, or Redis' as last reported if that is earlier."""
        return self._clock.utc_ms() + min(0, self._redis_ms or 0)

    @property
    def is_contradicted(self) -> bool:
        """Whether Redis, when it was last asked, contradicted our clock."""
        return abs(self._redis_ms or 0) > TOLERANCE_MS

    def compare_kafka(self, kafka_ms: int, began_ms: int) -> None:
        """Compare with Kafka, which stamped our record `kafka_ms`; sending began at `began_ms` of our wall clock."""
        ended_ms = self._clock.utc_ms()
        self.weigh("kafka", kafka_ms - min(max(kafka_ms, began_ms), ended_ms))  # no difference, if it lies in between

    def weigh(self, witness: str, off_ms: int) -> None:
        """Weigh a witness, named for the log: our clock should move by `off_ms`, forward if positive."""
        if abs(off_ms) <= TOLERANCE_MS:
            return
        if self._redis_ms is None or abs(self._redis_ms - off_ms) > TOLERANCE_MS:
            redis_s = None if self._redis_ms is None else self._redis_ms / 1_000
            _log.warning("clocks_differ", redis_s=redis_s, **{f"{witness}_s": off_ms / 1_000})
            return
        self._clock.correct(self._redis_ms)
        _log.warning("clock_corrected", seconds=self._redis_ms / 1_000)
        self._redis_ms = 0


class ByTheLeader:
    """Comparison of a retrier's clock with Redis' and with the leading dispatcher's, as its status shows it.

    `is_settled`: the clock may be relied on. It is false while Redis contradicts the clock and no dispatcher leads;
    then no dispatcher would take what is put back either. One that is being promoted has not compared its own clock
    yet.
    """

    def __init__(self, clock: WallClock, leader: Lease) -> None:
        """`leader` is the dispatchers' lease, which is only read."""
        self._clock = clock
        self._leader = leader
        self._keeper = Timekeeper(clock, leader)
        self.is_settled = False

    async def ask(self) -> None:
        """Compare until settled, which it then stays. A silent Redis settles nothing."""
        if self.is_settled:
            return
        try:
            self._keeper.observe(await self._leader.server_time_ms())
            status = await self._leader.read_status() if self._keeper.is_contradicted else ""
        except LeaseUnavailable:
            return
        if status is None:
            return
        told = _parsed(status)
        if told.get("role", "leader") != "leader":
            return
        at_ms = _instant(told)
        if at_ms is not None:
            self._keeper.weigh("leader", at_ms + STATUS_AGE_MS - self._clock.utc_ms())
        self.is_settled = True


def _parsed(status: str) -> dict[str, Any]:
    """Parse a status; return nothing if it cannot be read."""
    told = json_or_none(status)
    return told if isinstance(told, dict) else {}


def _instant(told: dict[str, Any]) -> int | None:
    """Return when a status was made, by its writer's clock; another release may not say so."""
    try:
        return int(datetime.fromisoformat(told["at"]).timestamp() * 1_000)
    except (ValueError, KeyError, TypeError):
        return None
