"""How far back one reading of the ledger must begin, and what is said where retention leaves less."""

from collections.abc import Sequence

import pytest
import structlog.testing

from headrace.broker.ports import LedgerStart
from headrace.broker.service.leadership.ledger_reach import LedgerReach

WINDOW_MS = 100_000
SILENCE_MS = 62_500
"""Half a window, and a quarter of that: a leader writes at least so often."""


def reading(reach: LedgerReach, from_ms: int, *lines_ms: int, is_first: bool = False, removed: bool = False) -> bool:
    """Whether it fell short, with lines at these times."""
    reach.begin(LedgerStart(from_ms, is_first, removed, len(lines_ms)))
    for at_ms in lines_ms:
        reach.record_line(at_ms)
    return reach.falls_short()


def test_a_pause_in_which_no_leader_can_have_led_is_no_part_of_the_window() -> None:
    reach = LedgerReach(WINDOW_MS)
    assert not reading(reach, 0, SILENCE_MS)
    assert reach.back_ms == WINDOW_MS
    assert reading(reach, 0, SILENCE_MS + 1)
    assert reach.back_ms == WINDOW_MS + SILENCE_MS + 1


def test_pauses_are_counted_anew_in_each_reading_and_the_next_one_begins_a_window_back() -> None:
    reach = LedgerReach(WINDOW_MS)
    pause_ms = SILENCE_MS + 1
    assert reading(reach, 0, pause_ms)
    assert not reading(reach, -pause_ms, -pause_ms // 2, 0, pause_ms)
    assert reach.back_ms == WINDOW_MS
    assert not reach.falls_short(), "what is read on has no beginning"


def test_a_reading_from_the_first_line_reaches_no_further() -> None:
    assert not reading(LedgerReach(WINDOW_MS), 0, SILENCE_MS + 1, is_first=True)


@pytest.mark.parametrize(
    ("lines_ms", "seconds"),
    [
        ((10_000, 60_000, 109_999), [99]),
        ((10_000, 60_000, 110_000), []),
        ((10_000, 80_000, 85_000), [5]),
        ((70_000, 80_000), [10]),
        ((), [0]),
    ],
    ids=["a millisecond less", "all of it", "a pause in between", "a pause before the first line", "no line"],
)
def test_a_window_that_retention_has_cut_short_is_said(lines_ms: Sequence[int], seconds: list[int]) -> None:
    for removed in (True, False):
        with structlog.testing.capture_logs() as logs:
            reading(LedgerReach(WINDOW_MS), 0, *lines_ms, is_first=True, removed=removed)
        assert [each["seconds"] for each in logs] == (seconds if removed else [])
