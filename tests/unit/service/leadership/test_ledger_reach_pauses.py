"""How many readings of the ledger a long pause between its lines costs."""

import pytest

from headrace.broker.ports import LedgerStart
from headrace.broker.service.leadership.ledger_reach import LedgerReach

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def readings(lines_ms: list[int]) -> list[int]:
    """How far back each reading of such a ledger began, until one was enough, with a window of an hour."""
    reach, backs_ms = LedgerReach(HOUR_MS), []
    while True:
        backs_ms.append(reach.back_ms)
        from_ms = lines_ms[-1] - reach.back_ms
        reach.begin(LedgerStart(from_ms, is_first=from_ms <= lines_ms[0], removed=False, end=len(lines_ms)))
        for at_ms in lines_ms:
            if at_ms >= from_ms:
                reach.record_line(at_ms)
        if not reach.falls_short():
            assert reach.back_ms == HOUR_MS, "the next reading begins like the first one"
            return backs_ms


def led(until_ms: int, hours: int) -> list[int]:
    """A line each ten minutes."""
    return list(range(until_ms - hours * HOUR_MS, until_ms + 1, 10 * MINUTE_MS))


def test_a_ledger_that_was_written_all_the_time_is_read_once() -> None:
    assert readings(led(0, 5)) == [HOUR_MS]


def test_a_pause_within_the_window_costs_one_more_reading_that_begins_earlier_by_as_much() -> None:
    assert readings([*led(-50 * MINUTE_MS, 5), *led(0, 0)]) == [HOUR_MS, 110 * MINUTE_MS]
    assert readings([*led(-50 * MINUTE_MS, 5), -10 * MINUTE_MS, 0]) == [HOUR_MS, 100 * MINUTE_MS]


@pytest.mark.parametrize("days", [1, 10, 300])
def test_however_long_no_line_was_written_few_readings_find_what_stood_before(days: int) -> None:
    backs_ms = readings([*led(-days * DAY_MS, 5), *led(0, 0)])
    assert backs_ms[-1] >= days * DAY_MS + HOUR_MS
    assert len(backs_ms) <= 3 + (days * 24).bit_length()
    assert backs_ms[-1] <= 2 * (days * DAY_MS + HOUR_MS)
