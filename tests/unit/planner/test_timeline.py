"""A run over time, in bounded memory."""

from headrace.broker.planner.timeline import STRETCHES_MAX, Timeline


def test_waits_and_tokens_stand_where_the_call_left() -> None:
    timeline = Timeline(1_000)
    timeline.called("bulk", 500, 4_000, 4_200)
    timeline.called("bulk", 300, 2_000, 4_900)
    timeline.called("bulk", 100, None, 5_100)
    there, later = timeline.lanes["bulk"][4], timeline.lanes["bulk"][5]
    assert (there.called, there.waited_ms, there.waited_most_ms, there.charged) == (2, 6_000, 4_000, 800)
    assert (later.called, later.waited_ms, later.charged) == (0, 0, 100)
    assert set(timeline.lanes["bulk"]) == {4, 5}


def test_a_long_run_has_wider_stretches_and_loses_nothing() -> None:
    timeline = Timeline(1_000)
    for second in range(4 * STRETCHES_MAX):
        timeline.called("bulk", 10, second, second * 1_000)
    stretches = timeline.lanes["bulk"]
    assert timeline.width_ms == 4_000
    assert len(stretches) == STRETCHES_MAX
    assert sum(stretch.charged for stretch in stretches.values()) == 40 * STRETCHES_MAX
    assert sum(stretch.called for stretch in stretches.values()) == 4 * STRETCHES_MAX
    assert max(stretch.waited_most_ms for stretch in stretches.values()) == 4 * STRETCHES_MAX - 1


def test_the_busiest_span_is_that_of_all_lanes_together() -> None:
    timeline = Timeline(1_000)
    for lane, second, charge in (("a", 0, 5), ("b", 3, 7), ("a", 4, 2), ("b", 9, 8)):
        timeline.called(lane, charge, 0, second * 1_000)
    assert timeline.charged_most(1_000) == 8
    assert timeline.charged_most(2_000) == 9
    assert Timeline(1_000).charged_most(2_000) == 0


def test_another_timeline_is_taken_in_where_it_began() -> None:
    timeline, other = Timeline(1_000), Timeline(500)
    timeline.called("bulk", 500, 4_000, 4_200)
    other.called("bulk", 300, 9_000, 1_900)
    other.called("urgent", 7, None, 0)
    timeline.take_in(other, 3_000)
    there = timeline.lanes["bulk"][4]
    assert (there.called, there.waited_most_ms, there.charged) == (2, 9_000, 800)
    assert timeline.lanes["urgent"][3].charged == 7
