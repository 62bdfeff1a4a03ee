"""How long a backlog takes, held against what a limit lets through."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.service.status.backlog import backlog_ms
from tests.unit.core.desks import enqueued, limits

TOKENS, REQUESTS = LimitMetric.TOKENS, LimitMetric.REQUESTS


def made(
    *levels: LevelBounds, pause_ms: int = 0, cap_tokens: int | None = None, measured: int | None = None
) -> Scheduler:
    """Limits whose buckets are as a predecessor left them."""

    def of(limit: str, now_ms: int) -> Budget:
        settings = LimitBeliefs(limit, None, None, cap_tokens=cap_tokens)
        left = Checkpoint(
            limit,
            0,
            levels,
            0,
            pause_ms,
            1_000_000,
            tolerated_burst_tokens=10**9,
            measured_tokens_per_minute=measured,
        )
        return Budget(settings, now_ms, left)

    return limits(of)


def level(metric: LimitMetric, capacity: int, left: int = 0, period_ms: int = MINUTE_MS) -> LevelBounds:
    return LevelBounds(metric, left, left, capacity, period_ms)


def test_a_lane_for_which_nothing_waits_has_no_backlog() -> None:
    limits_ = made(level(TOKENS, 60_000))
    enqueued(limits_, lane="urgent")
    assert backlog_ms(limits_, "bulk", 0) == 0


def test_the_backlog_takes_as_long_as_the_bucket_that_lets_it_through_last() -> None:
    """Incident: 20.7 s were told where the requests of a minute were used up, and 117 s were true."""
    limits_ = made(level(TOKENS, 60_000), level(REQUESTS, 60))
    for _ in range(117):
        enqueued(limits_, charge=177, lane="urgent")
    assert backlog_ms(limits_, "urgent", 0) == 117_000
    tokens_alone = made(level(TOKENS, 60_000), level(REQUESTS, 60_000))
    for _ in range(117):
        enqueued(tokens_alone, charge=177, lane="urgent")
    assert backlog_ms(tokens_alone, "urgent", 0) == 20_709


@pytest.mark.parametrize(
    ("levels", "expected_ms"),
    [
        ((level(TOKENS, 60_000, 10_000),), 20_000),
        ((level(TOKENS, 60_000, 60_000),), 0),
        ((level(TOKENS, 60_000, -10_000),), 40_000),
        ((level(TOKENS, 60_000, 60_000), level(TOKENS, 864_000, 0, DAY_MS)), 3_000_000),
        ((level(TOKENS, 60_000, 0), level(TOKENS, 864_000, 864_000, DAY_MS)), 30_000),
        ((level(TOKENS, 60_000, 60_000), level(REQUESTS, 100, 0, DAY_MS)), 864_000),
    ],
)
def test_what_is_there_is_counted_and_limits_per_day_as_well(levels: tuple[LevelBounds, ...], expected_ms: int) -> None:
    limits_ = made(*levels)
    enqueued(limits_, charge=30_000, lane="urgent")
    assert backlog_ms(limits_, "urgent", 0) == expected_ms


def test_the_reserve_of_idle_lanes_above_is_left_to_them() -> None:
    limits_ = made(level(TOKENS, 60_000, 20_000))
    enqueued(limits_, charge=30_000, lane="bulk")
    assert backlog_ms(limits_, "bulk", 0) == 22_000  # a fifth is kept for urgent
    enqueued(limits_, charge=1, lane="urgent")
    assert backlog_ms(limits_, "bulk", 0) == 10_000  # which has it in use now


def test_a_pause_of_the_server_and_a_cap_of_ones_own_are_limits_too() -> None:
    paused = made(level(TOKENS, 60_000, 60_000), pause_ms=3_600_000)
    enqueued(paused, charge=100, lane="urgent")
    assert backlog_ms(paused, "urgent", 0) == 3_600_000
    capped = made(level(TOKENS, 60_000, 60_000), cap_tokens=6_000)
    enqueued(capped, charge=30_000, lane="urgent")
    assert backlog_ms(capped, "urgent", 0) == 294_000  # its bucket holds 600 at the start


def test_a_backlog_at_a_measured_rate_is_not_told_by_a_pause_that_is_not_kept() -> None:
    limits_ = made(level(TOKENS, 60_000), pause_ms=3_600_000, measured=20_000)
    enqueued(limits_, charge=5_000, lane="bulk")
    assert backlog_ms(limits_, "bulk", 0) == 15_000


def test_of_several_limits_the_one_that_is_done_last_counts() -> None:
    limits_ = made(level(TOKENS, 60_000))
    enqueued(limits_, "a", 30_000, lane="urgent")
    enqueued(limits_, "b", 90_000, lane="urgent")
    assert backlog_ms(limits_, "urgent", 0) == 90_000


def test_before_the_first_answer_nothing_is_known() -> None:
    limits_ = limits(lambda limit, now_ms: Budget(LimitBeliefs(limit, None, None), now_ms, None))
    enqueued(limits_, charge=30_000, lane="urgent")
    assert backlog_ms(limits_, "urgent", 0) == 0
