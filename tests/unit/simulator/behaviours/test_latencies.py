from statistics import median

import pytest

from headrace.broker.simulator.behaviours.latencies import (
    FixedLatency,
    Latency,
    LoadLatency,
    LogNormalLatency,
    UniformLatency,
    WideLatency,
)

DRAWS = [number / 1_000 for number in range(1_000)]


def drawn(latency: Latency, inflight: int = 0) -> list[float]:
    return [latency.delay_s(draw, inflight) for draw in DRAWS]


@pytest.mark.parametrize(
    ("latency", "shortest_s", "middle_s", "longest_s"),
    [
        (FixedLatency(2.0), 2.0, 2.0, 2.0),
        (UniformLatency(1.0, 4.0), 1.0, 2.5, 4.0),
        (LogNormalLatency(2.0, 0.8), 0.05, 2.0, 60.0),
        (WideLatency(0.05, 60.0), 0.05, (0.05 * 60) ** 0.5, 60.0),
        (LoadLatency(0.5, 2.0), 0.5, 1.25, 2.0),
    ],
)
def test_latencies_lie_where_they_are_said_to(
    latency: Latency, shortest_s: float, middle_s: float, longest_s: float
) -> None:
    delays = drawn(latency)
    assert shortest_s <= min(delays) <= max(delays) <= longest_s
    assert median(delays) == pytest.approx(middle_s, rel=0.02)
    assert delays == sorted(delays)


def test_a_few_answers_take_many_times_longer_than_most() -> None:
    delays = drawn(LogNormalLatency(2.0, 0.8))
    assert sum(delay > 8 for delay in delays) in range(20, 80)


def test_load_makes_every_answer_slower() -> None:
    assert drawn(LoadLatency(knee=100), inflight=100) == [2 * delay for delay in drawn(LoadLatency(knee=100))]
    assert LoadLatency(knee=1).delay_s(0.5, 10**9) == 3_600.0
