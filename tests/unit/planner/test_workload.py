"""Streams become arrivals: as many as they say, at the times they say, the same for the same seed."""

from collections import Counter
from itertools import islice, pairwise
from random import Random

import pytest

from headrace.broker.planner.arrivals import Arrival
from headrace.broker.planner.workload import DAY_MS, HOUR_MS, RequestBatch, Span, Stream, Workload

USUAL = {"urgent": 600_000, "bulk": 3_600_000}
LONGEST = {"urgent": 1_200_000, "bulk": 7_200_000}


def drawn(*streams: Stream, span_ms: int | None = DAY_MS, starts_ms: int = 0, seed: int = 7) -> list[Arrival]:
    return list(Workload(streams, span_ms, starts_ms, seed).arrivals(USUAL, LONGEST))


def test_a_rate_brings_about_as_many_as_it_says_in_order_and_within_its_span() -> None:
    found = drawn(Stream("a", "urgent", per_hour=300))
    assert len(found) == pytest.approx(7_200, rel=0.05)
    assert all(one.at_ms <= other.at_ms for one, other in pairwise(found))
    assert found[0].at_ms >= 0
    assert found[-1].at_ms < DAY_MS


def test_instants_are_as_random_as_those_of_strangers() -> None:
    gaps = [other.at_ms - one.at_ms for one, other in pairwise(drawn(Stream("a", "urgent", per_hour=900)))]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.05)


def test_a_rhythm_moves_requests_to_its_hours_and_keeps_their_number() -> None:
    rhythm = tuple(3.0 if 8 <= hour < 16 else 0.0 for hour in range(24))
    found = drawn(Stream("a", "urgent", per_hour=300, rhythm=rhythm))
    hours = Counter(arrival.at_ms // HOUR_MS for arrival in found)
    assert set(hours) == set(range(8, 16))
    assert len(found) == pytest.approx(7_200, rel=0.05)


def test_a_run_may_begin_in_the_middle_of_a_day() -> None:
    rhythm = tuple(1.0 if hour == 12 else 0.0 for hour in range(24))
    found = drawn(Stream("a", "urgent", per_hour=50, rhythm=rhythm), starts_ms=9 * HOUR_MS + HOUR_MS // 2)
    assert {arrival.at_ms // HOUR_MS for arrival in found} == {2, 3}
    assert min(arrival.at_ms for arrival in found) >= 2 * HOUR_MS + HOUR_MS // 2


def test_a_batch_comes_at_its_time_of_day_each_day() -> None:
    batch = RequestBatch(100, at_ms=20 * HOUR_MS, within_ms=HOUR_MS)
    found = drawn(Stream("a", "bulk", batch=batch), span_ms=3 * DAY_MS, starts_ms=6 * HOUR_MS)
    assert Counter(arrival.at_ms // DAY_MS for arrival in found) == {0: 100, 1: 100, 2: 100}
    first = [arrival.at_ms for arrival in found[:100]]
    assert first[0] == 14 * HOUR_MS
    assert first[-1] == 14 * HOUR_MS + 99 * HOUR_MS // 100


def test_a_batch_comes_once_where_its_time_lies_beyond_the_end() -> None:
    found = drawn(Stream("a", "bulk", batch=RequestBatch(10, at_ms=20 * HOUR_MS)), span_ms=HOUR_MS)
    assert [arrival.at_ms for arrival in found] == [20 * HOUR_MS] * 10


def test_streams_are_merged_by_time_and_keep_their_own_chance() -> None:
    one, other = Stream("a", "urgent", per_hour=60), Stream("b", "bulk", per_hour=60)
    both = drawn(one, other)
    assert all(left.at_ms <= right.at_ms for left, right in pairwise(both))
    assert [each for each in both if each.lane == "urgent"] == drawn(one)


def test_the_same_seed_draws_the_same_and_another_another() -> None:
    stream = Stream("a", "urgent", per_hour=60)
    assert drawn(stream) == drawn(stream)
    assert drawn(stream) != drawn(stream, seed=8)


def test_a_deadline_is_the_streams_or_the_lanes_and_never_longer_than_the_lane_grants() -> None:
    def wanted(deadline_ms: int | None) -> int:
        [arrival] = drawn(Stream("a", "urgent", batch=RequestBatch(1, at_ms=HOUR_MS), deadline_ms=deadline_ms))
        return arrival.deadline_ms - arrival.at_ms

    assert wanted(None) == USUAL["urgent"]
    assert wanted(1_000) == 1_000
    assert wanted(DAY_MS) == LONGEST["urgent"]


def test_sizes_lie_in_their_range_and_both_sides_see_the_same_ones() -> None:
    found = drawn(Stream("a", "urgent", per_hour=100, input_tokens=Span(100, 110), output_tokens=Span(5, 5)))
    assert {arrival.size.content_bytes // 4 for arrival in found} == set(range(100, 111))
    assert all(arrival.size.content_bytes == arrival.asked.text_bytes for arrival in found)
    assert {arrival.output_tokens for arrival in found} == {5}


@pytest.mark.parametrize("endpoint", ["chat.completions", "responses", "embeddings"])
def test_every_endpoint_has_sizes(endpoint: str) -> None:
    [arrival] = drawn(Stream("a", "urgent", batch=RequestBatch(1), endpoint=endpoint, input_tokens=Span(50, 50)))
    assert arrival.asked.input_tokens >= 50
    assert arrival.endpoint == endpoint


def test_requests_without_an_end_go_on() -> None:
    workload = Workload((Stream("a", "urgent", per_hour=60),), None)
    found = list(islice(workload.arrivals(USUAL, LONGEST), 5_000))
    assert found[-1].at_ms > 3 * DAY_MS
    assert workload.expected() is None


def test_what_is_expected_is_about_what_comes() -> None:
    streams = (Stream("a", "urgent", per_hour=100), Stream("b", "bulk", batch=RequestBatch(50)))
    assert Workload(streams, 2 * DAY_MS).expected() == pytest.approx(len(drawn(*streams, span_ms=2 * DAY_MS)), rel=0.05)


def test_a_span_draws_both_its_ends() -> None:
    chance = Random(1)
    assert {Span(3, 5).draw(chance) for _ in range(200)} == {3, 4, 5}
