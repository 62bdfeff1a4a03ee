"""Thousands of retries due at random: each back within a second where its lane allows it, once, and in order."""

from tests.simulation.retries.play import play
from tests.simulation.retries.run import bytes_a_record
from tests.virtual_time import VIRTUAL_TIME

FAILURES = 2_000


@VIRTUAL_TIME
async def test_each_of_thousands_comes_back_within_a_second_of_its_time_once_and_in_order() -> None:
    played = await play(FAILURES, over_s=72, fresh_per_s=100)
    assert played.term == 1
    assert len(played.back) == FAILURES
    assert set(played.back.values()) == {1}
    assert played.backwards == 0
    late_ms = [each for of_lane in played.late_ms.values() for each in of_lane]
    assert 0 <= min(late_ms) <= max(late_ms) < 1_000


@VIRTUAL_TIME
async def test_where_more_are_due_than_their_lane_may_take_each_comes_back_later_once_and_in_order() -> None:
    played = await play(FAILURES, over_s=10, fresh_per_s=20)
    assert len(played.back) == FAILURES
    assert set(played.back.values()) == {1}
    assert played.backwards == 0
    floor_per_s, fresh_per_s = 10, 20 * 0.6
    expected_s = len(played.late_ms["bulk"]) / (floor_per_s + 0.2 * fresh_per_s) - 20
    assert expected_s * 0.9 < played.late_ms["bulk"][-1] / 1_000 < expected_s * 1.25
    assert max(played.late_ms["urgent"]) < 10_000, "it shares nothing with the others"


def test_what_waits_takes_less_than_twenty_bytes_each() -> None:
    assert bytes_a_record(60_000) < 20
