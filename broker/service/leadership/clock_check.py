"""Whether this process's wall clock is right, asked when it is about to lead: deadlines pass by it, ids are forgotten.

A machine may have started with a clock that is an hour off. Neither Redis nor Kafka is believed alone; where both say
the same, and something else than we do, ours is corrected. Nothing else ever moves it. A retrier writes nothing that
Kafka stamps. Its second witness is the dispatcher that leads: `not_before` is by that one's clock.
"""

import json
from datetime import datetime
from typing import Any

import structlog

from broker.clock import WallClock
from broker.errors import LeaseUnavailable
from broker.ports import Lease

TOLERANCE_MS = 5_000
"""What clocks may differ by: deadlines are minutes, and answers take their time."""
ASKED_TIMES = 3
"""Redis is asked so often, until it has answered once."""
STATUS_AGE_MS = 2_500
"""Half of what a live status may have lived: so it is taken for at most as much older or younger than it is."""

_log = structlog.get_logger("clock")


class Timekeeper:
    """Compares our wall clock with Redis' and with Kafka's."""

    def __init__(self, clock: WallClock, lease: Lease) -> None:
        """`lease` is asked for Redis' time."""
        self._clock = clock
        self._lease = lease
        self._redis_ms: int | None = None

    async def ask_redis(self) -> bool:
        """Find out how far Redis' clock is from ours. False if Redis is silent, and has been ever since we began.

        What it said earlier holds: our clock is not moved by anything but what comes from here.
        """
        for _ in range(ASKED_TIMES if self._redis_ms is None else 1):
            try:
                self.heard(await self._lease.server_time_ms())
            except LeaseUnavailable:
                continue
            return True
        return self._redis_ms is not None

    def heard(self, redis_ms: int) -> None:
        """Redis has just said what time it is."""
        self._redis_ms = redis_ms - self._clock.utc_ms()

    def earliest_utc_ms(self) -> int:
        """The wall time that it is at least: ours, or Redis' as last told if that is earlier."""
        return self._clock.utc_ms() + min(0, self._redis_ms or 0)

    @property
    def is_contradicted(self) -> bool:
        """Whether Redis, when it was asked last, said something else than our clock."""
        return abs(self._redis_ms or 0) > TOLERANCE_MS

    def stamped(self, kafka_ms: int, began_ms: int) -> None:
        """Kafka stamped a record of ours with `kafka_ms`; we began to send it at `began_ms` of our wall clock."""
        ended_ms = self._clock.utc_ms()
        self.told("kafka", kafka_ms - min(max(kafka_ms, began_ms), ended_ms))  # nothing, if it lies in between

    def told(self, witness: str, off_ms: int) -> None:
        """A witness, named for the log, says that our clock should stand so much later, or earlier if negative."""
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
    """Compares the clock of a retrier with Redis' and with that of the dispatcher that leads, as its status tells it.

    `is_settled`: the clock may be gone by. It is not while Redis contradicts it and no dispatcher leads; then there is
    also nobody who would take what is put back. One that is being promoted has not compared its own clock yet.
    """

    def __init__(self, clock: WallClock, leader: Lease) -> None:
        """`leader` is the dispatchers' lease, which is only read."""
        self._clock = clock
        self._leader = leader
        self._keeper = Timekeeper(clock, leader)
        self.is_settled = False

    async def ask(self) -> None:
        """Once it is settled, it stays so. A silent Redis settles nothing."""
        if self.is_settled:
            return
        try:
            self._keeper.heard(await self._leader.server_time_ms())
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
            self._keeper.told("leader", at_ms + STATUS_AGE_MS - self._clock.utc_ms())
        self.is_settled = True


def _parsed(status: str) -> dict[str, Any]:
    """What a status says; nothing if it cannot be read."""
    try:
        told = json.loads(status)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _instant(told: dict[str, Any]) -> int | None:
    """When a status was made, by the clock of who made it; another release may not say so."""
    try:
        return int(datetime.fromisoformat(told["at"]).timestamp() * 1_000)
    except (ValueError, KeyError, TypeError):
        return None
