"""Faults in what a process makes of a wrong clock."""

from unittest.mock import patch

from headrace.broker.clock import WallClock
from headrace.broker.ports import LedgerStart
from headrace.broker.service.leadership.clock_check import ByTheLeader, Timekeeper
from headrace.broker.service.leadership.ledger_follower import LedgerFollower
from tests.simulation.service.mutants.committing import Patch
from tests.simulation.service.mutants.planting import WAITS, planted

CLOCK = "a process begins while the clock"


@planted(CLOCK)
def a_wrong_clock_stays_wrong() -> Patch:
    """A process that began with a clock an hour off goes on by it."""
    return patch.object(WallClock, "correct", lambda _self, _by_ms: None)


@planted(CLOCK, WAITS)
def a_retriers_clock_stays_wrong() -> Patch:
    """A retrier goes by its own clock, whatever it is told."""

    async def ask(self: ByTheLeader) -> None:
        self.is_settled = True

    return patch.object(ByTheLeader, "ask", ask)


@planted(CLOCK, 3)
def the_window_begins_by_our_own_clock() -> Patch:
    """A clock that is ahead begins the dedupe window so late that no answered id is known, whatever the ledger says."""
    whole = LedgerFollower._open_back

    async def open_back(self: LedgerFollower, utc_ms: int) -> None:
        open_anywhere = self._log.open

        async def by_clock(from_wall_ms: int, *, before_last_ms: int | None = None) -> LedgerStart:
            del before_last_ms
            return await open_anywhere(from_wall_ms)

        with patch.object(self._log, "open", by_clock):
            await whole(self, utc_ms)

    async def reach_back(_self: LedgerFollower, _utc_ms: int) -> None:
        return None

    return patch.multiple(LedgerFollower, _open_back=open_back, reach_back=reach_back)


@planted(CLOCK)
def kafka_alone_corrects_a_clock() -> Patch:
    """The clock is set by one witness, in the wrong direction."""

    def told(self: Timekeeper, _witness: str, off_ms: int) -> None:
        self._clock.correct(-off_ms)

    return patch.object(Timekeeper, "weigh", told)
