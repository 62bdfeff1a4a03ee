"""A run in virtual time: every request ends once, a seed tells one story, and waits are what they must be."""

from itertools import chain
from typing import Any

import pytest

from headrace.broker.core.commands import Complete, Decision
from headrace.broker.planner.record import RunRecord
from headrace.broker.planner.stage import Times
from headrace.broker.simulator.admission import Metric
from headrace.broker.simulator.behaviours.catalogue import parsed
from tests.simulation.planner.scenes import CHARGE, MODEL, TOKENS, run_of, stream

PER_S = TOKENS // 60


def outcomes(record: RunRecord) -> dict[str, int]:
    found: dict[str, int] = {}
    for lane in record.lanes.values():
        for reason, count in lane.outcomes.items():
            found[reason] = found.get(reason, 0) + count
    return found


def told(record: RunRecord) -> list[tuple[object, ...]]:
    return [
        (
            name,
            lane.arrived,
            lane.calls,
            lane.throttled,
            lane.wait_ms.total,
            lane.outcome_ms.total,
            *lane.outcomes.items(),
        )
        for name, lane in record.lanes.items()
    ]


def test_every_request_gets_one_outcome() -> None:
    run = run_of(stream(300, every_ms=100))
    record = run.finish()
    assert outcomes(record) == {"completed": 300}
    assert record.arrived == record.settled == 300
    assert run.upstream.books().completed == 300
    assert run.is_over


def test_nothing_is_left_in_the_core_or_the_hands_of_the_run() -> None:
    run = run_of(stream(300))
    run.finish()
    run.advance(run.now_ms + 10)
    assert len(run.core.flights) == 0
    assert run.core.limits.waiting() == 0


@pytest.mark.parametrize(
    "trouble",
    [
        {"error_rate": 0.2},
        {"long_429_rate": 0.1, "long_429_s": 90.0},
        {"behaviours": (parsed("dropped:rate=0.2"),)},
        {"behaviours": (parsed("quantised-6s"),)},
        {"behaviours": (parsed("headers-none"),)},
    ],
    ids=str,
)
def test_trouble_repeats_calls_and_never_outcomes(trouble: dict[str, Any]) -> None:
    run = run_of(stream(200, every_ms=200), **trouble)
    record = run.finish()
    assert sum(outcomes(record).values()) == 200
    assert sum(lane.calls for lane in record.lanes.values()) == run.upstream.books().calls
    assert sum(lane.throttled for lane in record.lanes.values()) == run.upstream.books().throttled


def test_what_is_parked_comes_back_when_it_is_due() -> None:
    run = run_of(stream(100, every_ms=500), long_429_rate=0.2, long_429_s=90.0)
    record = run.finish()
    assert outcomes(record) == {"completed": 100}
    assert run.upstream.books().throttled_long > 5
    assert max(lane.outcome_ms.largest for lane in record.lanes.values()) > 90_000


def test_a_silent_server_is_given_up_after_the_time_out_and_asked_again() -> None:
    silence = (parsed("silence:rate=0.1,seconds=300"),)
    run = run_of(stream(60, every_ms=1_000), behaviours=silence, times=Times(timeout_s=20))
    record = run.finish()
    assert outcomes(record) == {"completed": 60}
    assert 20_000 < max(lane.outcome_ms.largest for lane in record.lanes.values()) < 300_000


def test_the_same_seed_tells_the_same_story_and_another_one_another() -> None:
    first, again, other = (
        told(run_of(stream(200, every_ms=50), times=Times(seed=seed), error_rate=0.1, seed=seed).finish())
        for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_a_full_backlog_takes_the_bucket_and_then_its_refill_and_not_one_429() -> None:
    count = 240
    run = run_of(stream(count, lanes=("standard",)))
    record = run.finish()
    lasts_ms = (count * CHARGE - TOKENS) * 1_000 // PER_S
    assert run.upstream.books().throttled == 0
    assert lasts_ms <= record.ended_ms <= lasts_ms + 10_000
    share = run.upstream.books().accounts[MODEL][Metric.TOKENS].share
    assert share is not None
    assert share > 0.95


def test_the_mean_wait_of_a_drained_backlog_is_that_of_its_arithmetic() -> None:
    count, spendable = 240, TOKENS * 95 // 100  # the rest is kept for urgent requests
    record = run_of(stream(count, lanes=("standard",))).finish()
    by_hand_ms = sum(max(0, (place * CHARGE - spendable) * 1_000 // PER_S) for place in range(1, count + 1)) / count
    mean_ms = record.lanes["standard"].wait_ms.mean
    assert mean_ms == pytest.approx(by_hand_ms, rel=0.02)


def test_urgent_requests_pass_a_backlog_of_bulk() -> None:
    urgent = (each._replace(at_ms=20_000 + each.at_ms) for each in stream(20, every_ms=2_000, lanes=("urgent",)))
    record = run_of(chain(stream(200, lanes=("bulk",)), urgent)).finish()
    bulk_ms = record.lanes["bulk"].wait_ms.mean
    assert record.lanes["urgent"].wait_ms.largest < 4_000
    assert bulk_ms is not None
    assert bulk_ms > 30_000


def test_what_nobody_wants_any_more_fails_and_is_counted_as_missed() -> None:
    record = run_of(stream(200, lanes=("bulk",), deadline_ms=60_000)).finish()
    bulk = record.lanes["bulk"]
    assert set(bulk.outcomes) == {"completed", "deadline_exceeded"}
    assert bulk.missed == bulk.outcomes["deadline_exceeded"] + bulk.late
    assert 100 <= bulk.outcomes["completed"] <= 125  # a bucket, and a minute of its refill


def test_a_run_stands_still_where_it_was_told_to_and_goes_on() -> None:
    halted, whole = run_of(stream(240)), run_of(stream(240))
    assert not halted.advance(30_000)
    assert halted.now_ms == 30_000
    assert 0 < halted.record.settled < 240
    halted.finish()
    whole.finish()
    assert told(halted.record) == told(whole.record)


def test_a_backlog_longer_than_a_lanes_buffer_is_taken_from_all_partitions_alike() -> None:
    lanes = {"standard": {"order": 2, "buffer_max": 10}}
    run = run_of(stream(180, lanes=("standard",)), groups={"lanes": lanes})
    run.advance(60_000)
    left = [len(run._backlog._records[place]) for place in run._backlog.places() if place.lane == "standard"]
    first, *others = left  # the first one could fill the buffer before the others were asked
    assert first < min(others)
    assert 5 < max(others) < 15
    assert max(others) - min(others) <= 2
    assert outcomes(run.finish()) == {"completed": 180}


def test_a_quiet_day_between_two_requests_costs_no_trust() -> None:
    run = run_of(stream(2, every_ms=86_400_000))
    record = run.finish()
    assert outcomes(record) == {"completed": 2}
    assert max(lane.wait_ms.largest for lane in record.lanes.values()) < 100


class Seen:
    """Writes down what it sees."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.numbers: list[int] = []
        self.charge = 0

    def arrived(self, lane: str, now_ms: int) -> None:
        self.words.append("arrived")

    def called(self, lane: str, charge: int, waited_ms: int | None, now_ms: int) -> None:
        self.words.append("called" if waited_ms is not None else "called again")
        self.charge += charge

    def settled(self, number: int, decision: Decision, now_ms: int) -> None:
        assert isinstance(decision, Complete)
        self.numbers.append(number)
        self.words.append("settled")


def test_a_watcher_sees_each_request_come_be_called_and_end() -> None:
    seen = Seen()
    run_of(stream(30, every_ms=10), watcher=seen).finish()
    assert [seen.words.count(word) for word in ("arrived", "called", "called again", "settled")] == [30, 30, 0, 30]
    assert sorted(seen.numbers) == list(range(1, 31))
    assert seen.charge == 30 * CHARGE + 3 * 15, "the calls before the first answer are priced the dearest"


def test_an_empty_stream_is_over_at_once() -> None:
    run = run_of(stream(0))
    assert run.is_over
    assert run.finish().settled == 0
