import pytest

from headrace.broker.core.budget.room_for_others import (
    AGE_FIRST_MS,
    AGE_MAX_MS,
    BURSTS_MIN,
    CAPACITY_PARTS,
    MERGED_MS,
    SPAN_MS,
    RoomForOthers,
)

CAPACITY = 600_000


def seen(*bursts: tuple[int, int]) -> RoomForOthers:
    room = RoomForOthers()
    for at_ms, tokens in bursts:
        room.record_missing(tokens, at_ms)
    return room


def test_a_bucket_keeps_what_bursts_take_on_average_until_an_answer_shows_them() -> None:
    room = seen(*((10_000 * number, 3_000) for number in range(1, 7)))
    assert room.tokens(CAPACITY, SPAN_MS) == 6 * 3_000 * AGE_FIRST_MS // SPAN_MS


def test_the_older_the_newest_knowledge_the_more_is_kept() -> None:
    room = seen(*((10_000 * number, 3_000) for number in range(1, 7)))
    for number in range(100):
        room.record_answer(1_000 * number, 1_000 * number + 4_000)
    assert room.age_ms == pytest.approx(4_000, abs=10)
    assert room.tokens(CAPACITY, SPAN_MS) == pytest.approx(1_200, abs=10)
    for number in range(100, 200):
        room.record_answer(1_000 * number, 10**9)
    assert room.age_ms == pytest.approx(AGE_MAX_MS, abs=10)


def test_an_answer_to_a_call_sent_before_one_that_was_answered_tells_no_age() -> None:
    room = RoomForOthers()
    room.record_answer(5_000, 5_000 + AGE_FIRST_MS)
    room.record_answer(4_000, 9_000)
    assert room.age_ms == AGE_FIRST_MS


def test_a_few_bursts_are_chance_and_what_is_missing_at_one_time_is_one_burst() -> None:
    bursts = [(1_000 * number, 6_000) for number in range(BURSTS_MIN)]
    assert seen(*bursts[:-1]).tokens(CAPACITY, 10_000) == 0
    assert seen(*bursts).tokens(CAPACITY, 10_000) == 6_000 * BURSTS_MIN * AGE_FIRST_MS // SPAN_MS
    at_once = [(MERGED_MS - 1, 6_000)] * (BURSTS_MIN + 1)
    assert seen((0, 6_000), *at_once).tokens(CAPACITY, 10_000) == 0
    apart = [(MERGED_MS * number, 6_000) for number in range(BURSTS_MIN)]
    assert seen(*apart).tokens(CAPACITY, 10_000) > 0


def test_what_was_taken_a_minute_ago_is_forgotten() -> None:
    room = seen(*((1_000 * number, 6_000) for number in range(5)))
    assert room.tokens(CAPACITY, SPAN_MS - 1) == 5 * 6_000 * AGE_FIRST_MS // SPAN_MS
    assert room.tokens(CAPACITY, SPAN_MS) == 4 * 6_000 * AGE_FIRST_MS // SPAN_MS
    assert room.tokens(CAPACITY, SPAN_MS + 2_000) == 0


def test_no_more_than_a_part_of_the_bucket_is_kept() -> None:
    room = seen(*((1_000 * number, CAPACITY) for number in range(30)))
    assert room.tokens(CAPACITY, 30_000) == CAPACITY // CAPACITY_PARTS


def test_no_more_bursts_than_those_of_a_minute_are_held_though_none_asks_for_them() -> None:
    """Before: a limit whose only mirrors are windows remembered each burst for ever."""
    room = seen(*((MERGED_MS * number, 1) for number in range(10 * SPAN_MS // MERGED_MS)))
    assert len(room._bursts) <= SPAN_MS // MERGED_MS
