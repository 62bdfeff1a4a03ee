"""A job is what was asked for, and a pass of it keeps what its spans meant."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.broker.errors import ProgressUnreadable
from headrace.broker.ports import StoredOffset
from headrace.consumers.replays.filters import LetterFilters
from headrace.consumers.replays.job import RESUMED_WITHIN, Pass, ReplayRequest, group_of
from headrace.consumers.replays.job_offsets import Mark, marks_in, pass_of

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
TWO_HOURS = ReplayRequest(since=2 * HOUR)


def test_the_name_of_a_job_is_fixed_for_ever() -> None:
    """Another name would begin every interrupted replay anew after an upgrade."""
    asked = ReplayRequest(("rejected",), ("gpt-4o*",), "acme", 2 * HOUR, NOW, "bulk", new_id=True)
    assert group_of("generation", asked.job("generation")) == "generation.replay.c63534c805ba010d"


def test_the_same_question_in_another_order_is_the_same_job() -> None:
    assert ReplayRequest(reasons=("a", "b"), models=("m", "n")).job("p") == ReplayRequest(
        reasons=("b", "a", "b"), models=("n", "m")
    ).job("p")


@pytest.mark.parametrize(
    "other",
    [
        {"reasons": ("rejected",)},
        {"models": ("rejected",)},
        {"tenant": "acme"},
        {"since": NOW},
        {"until": NOW},
        {"since": 2 * HOUR},
        {"lane": "bulk"},
        {"new_id": True},
    ],
)
def test_another_question_is_another_job(other: dict[str, Any]) -> None:
    assert ReplayRequest(**other).job("p") != ReplayRequest().job("p")


def test_another_prefix_is_another_job() -> None:
    assert ReplayRequest().job("p") != ReplayRequest().job("q")


def test_a_span_is_the_same_job_however_late_it_is() -> None:
    assert ReplayRequest(since=timedelta(minutes=120)).job("p") == ReplayRequest(since=timedelta(hours=2)).job("p")


def test_a_pass_keeps_what_its_spans_meant_when_it_began() -> None:
    begun = TWO_HOURS.begins(NOW)
    assert TWO_HOURS.filters(begun) == LetterFilters(since=NOW - 2 * HOUR)
    marks = marks_in({0: Mark(7, begun).stored()}, "g")
    assert pass_of(TWO_HOURS, marks, NOW + HOUR) == begun


def test_a_pass_that_is_done_makes_room_for_a_new_one() -> None:
    done = {0: Mark(7, TWO_HOURS.begins(NOW), is_done=True)}
    assert pass_of(TWO_HOURS, done, NOW + HOUR) == Pass(NOW + HOUR, NOW - HOUR)
    assert pass_of(TWO_HOURS, {}, NOW) == Pass(NOW, NOW - 2 * HOUR)


def test_a_pass_that_nobody_took_up_for_a_day_is_over() -> None:
    left = {0: Mark(7, TWO_HOURS.begins(NOW))}
    late = NOW + RESUMED_WITHIN
    assert pass_of(TWO_HOURS, left, late - timedelta(seconds=1)).begun == NOW
    assert pass_of(TWO_HOURS, left, late) == Pass(late, late - 2 * HOUR)


def test_only_a_span_before_now_grows_out_of_what_is_too_young() -> None:
    assert ReplayRequest(until=HOUR).waits_for_age
    assert not ReplayRequest(until=NOW).waits_for_age
    assert not ReplayRequest(since=HOUR).waits_for_age


@pytest.mark.parametrize(
    "mark",
    [
        Mark(0, Pass(NOW)),
        Mark(12, Pass(NOW, NOW - HOUR, NOW), last=(11, 1_700_000_000_000), is_done=True),
    ],
)
def test_a_mark_is_read_as_it_was_stored(mark: Mark) -> None:
    assert marks_in({3: mark.stored(), 4: StoredOffset(-1, "")}, "g") == {3: mark}


_INFINITE = '{"v":1,"begun":"2026-12-01T09:00:00Z","since":null,"until":null,"last":[1e999,1],"done":false}'


@pytest.mark.parametrize(
    "note",
    ["", "{}", "[]", '{"v": 2}', '{"v": 1, "last": [1], "begun": "x"}', "hr1:AAAA", _INFINITE, "[" * 4_000],
)
def test_a_note_that_is_none_is_refused_with_a_sentence(note: str) -> None:
    with pytest.raises(ProgressUnreadable, match="The group g holds no progress that this release can read"):
        marks_in({0: StoredOffset(5, note)}, "g")
