"""Whether this process's wall clock is right, asked when it is about to lead: deadlines pass by it, ids are forgotten.

A machine may have started with a clock that is an hour off. Neither Redis nor Kafka is believed alone; where both say
the same, and something else than we do, ours is corrected. Nothing else ever moves it.
"""

import structlog

from broker.clock import WallClock
from broker.errors import LeaseUnavailable
from broker.ports import Lease

TOLERANCE_MS = 5_000
"""What clocks may differ by: deadlines are minutes, and answers take their time."""

_log = structlog.get_logger("clock")


class Timekeeper:
    """Compares our wall clock with Redis' and with Kafka's."""

    def __init__(self, clock: WallClock, lease: Lease) -> None:
        """`lease` is asked for Redis' time."""
        self._clock = clock
        self._lease = lease
        self._redis_ms: int | None = None

    async def ask_redis(self) -> None:
        """Remember how far Redis' clock is from ours; a silent Redis says nothing."""
        try:
            told_ms = await self._lease.server_time_ms()
        except LeaseUnavailable:
            self._redis_ms = None
        else:
            self._redis_ms = told_ms - self._clock.utc_ms()

    def earliest_utc_ms(self) -> int:
        """The wall time that it is at least: ours, or Redis' as last told if that is earlier."""
        return self._clock.utc_ms() + min(0, self._redis_ms or 0)

    def stamped(self, kafka_ms: int, began_ms: int) -> None:
        """Kafka stamped a record of ours with `kafka_ms`; we began to send it at `began_ms` of our wall clock."""
        ended_ms = self._clock.utc_ms()
        off_ms = kafka_ms - min(max(kafka_ms, began_ms), ended_ms)  # nothing, if it lies in between
        if abs(off_ms) <= TOLERANCE_MS:
            return
        if self._redis_ms is None or abs(self._redis_ms - off_ms) > TOLERANCE_MS:
            redis_s = None if self._redis_ms is None else self._redis_ms / 1_000
            _log.warning("clocks_differ", kafka_s=off_ms / 1_000, redis_s=redis_s)
            return
        self._clock.correct(self._redis_ms)
        _log.warning("clock_corrected", seconds=self._redis_ms / 1_000)
        self._redis_ms = 0
