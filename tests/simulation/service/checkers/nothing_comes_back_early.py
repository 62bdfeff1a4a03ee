"""Nothing that was parked is back on its lane before its wait is over, however wrong the clock of a retrier.

Where Redis does not answer, a wrong clock cannot be told from a right one. Waits are written by the leader's clock.
"""

from collections.abc import Iterator
from datetime import timedelta

from headrace.schemas import headers as names
from headrace.schemas.instants import from_wire
from headrace.schemas.record import Record
from tests.simulation.service.history import RETRIER, History
from tests.simulation.service.scenario import WALL

SLACK_S = 8.0
"""Clocks that differ by less than five seconds are left as they are, and a status may have lived for 2.5 s more."""


def check(history: History) -> Iterator[str]:
    """Whatever came back too soon."""
    faults = history.scenario.faults
    if faults.redis_away or faults.cut_from_redis or faults.lease_lost:
        return
    for commit in history.commits:
        if commit.group == RETRIER:
            for records in commit.records.values():
                for record in records:
                    due_s = _due_s(history, record)
                    if due_s is not None and commit.at_s < due_s - SLACK_S:
                        yield f"{record.key!r} came back at {commit.at_s:.3f} s and was due at {due_s:.3f} s"


def _due_s(history: History, record: Record) -> float | None:
    """When its wait is over, in the world's seconds; None for what is no request."""
    found = history.failure_of(record)
    if found is None:
        return None
    slot, failure = found
    assert slot.record is not None
    written = from_wire(dict(slot.record.headers)[names.CE_TIME].decode())
    parked = timedelta(milliseconds=slot.at_ms) - timedelta(seconds=WALL.timestamp())
    return (parked + (failure.not_before - written)).total_seconds()
