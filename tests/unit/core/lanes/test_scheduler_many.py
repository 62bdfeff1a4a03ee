"""Thousands of limits, most of them invented by producers: which are forgotten, and what a request costs meanwhile."""

import gc
import sys
from collections.abc import Callable
from itertools import count

import pytest

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.bounds import LIMITS_LOOKED_AT, LIMITS_MAX, LIMITS_RESTING_MAX
from headrace.broker.core.budget.budget import Budget, LimitBeliefs
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.pricing.unshown_input import KnownReferences
from tests.unit.core.desks import all_called, enqueued, limits
from tests.unit.core.specimens import budget, verdict

OBJECTS_MAX = 119
"""Of one limit with a call in flight: a collection walks two thousand of them in about a tenth of a second."""


def _made(name: str, now_ms: int) -> Budget:
    return Budget(LimitBeliefs(name, 60_000, None, named=name == "named"), now_ms, None)


def _invent(made: Scheduler, number: int) -> None:
    for each in range(number):
        made.limit_queue(f"invented-{each}", 0)


def test_only_limits_that_no_settings_name_are_looked_at_to_be_forgotten() -> None:
    made = limits(_made)
    for name in ("invented", "named"):
        made.limit_queue(name, 0)
    assert list(made._unnamed) == ["invented"]


@pytest.mark.slow
def test_a_limit_of_the_settings_is_never_forgotten_for_invented_ones() -> None:
    made = limits(_made)
    paused = made.limit_queue("named", 0)
    paused.budget.pause_until(60_000)
    _invent(made, 3 * LIMITS_MAX)
    assert made.limit_queues()["named"] is paused
    assert len(made.limit_queues()) == LIMITS_MAX


def _tripped(budget: Budget) -> None:
    for _ in range(3):
        budget.breaker.observe(Meaning.UPSTREAM_ERROR, 0, None)


def _indebted(budget: Budget) -> None:
    budget.reserve(1, 60_000, 0)
    budget.record_answer(1, 0, verdict())


@pytest.mark.parametrize("troubled", [lambda budget: budget.pause_until(60_000), _tripped, _indebted])
def test_a_limit_at_which_a_call_must_wait_outlasts_those_at_which_none_must(
    troubled: Callable[[Budget], None],
) -> None:
    made = limits(_made)
    desk = made.limit_queue("troubled", 0)
    troubled(desk.budget)
    _invent(made, 2 * LIMITS_MAX)
    assert made.limit_queues()["troubled"] is desk


@pytest.mark.slow
def test_a_failure_or_two_keep_no_limit() -> None:
    made = limits(_made)
    for number in range(LIMITS_MAX):
        breaker = made.limit_queue(f"failed-{number}", 0).budget.breaker
        breaker.observe(Meaning.UPSTREAM_ERROR, 0, None)
        breaker.observe(Meaning.UPSTREAM_ERROR, 0, None)
    _invent(made, 2 * LIMITS_MAX)
    assert len(made.limit_queues()) == LIMITS_MAX
    assert not any(name.startswith("failed-") for name in made.limit_queues())


@pytest.mark.slow
def test_even_those_are_forgotten_above_a_bound() -> None:
    made = limits(_made)
    for number in range(LIMITS_RESTING_MAX + 100):
        made.limit_queue(f"paused-{number}", 0).budget.pause_until(60_000)
    assert len(made.limit_queues()) == LIMITS_RESTING_MAX


def test_those_in_need_are_passed_over_and_the_next_ones_are_forgotten_for_them() -> None:
    made = limits(_made)
    for number in range(3 * LIMITS_LOOKED_AT):
        enqueued(made, f"needed-{number}")
    _invent(made, 2 * LIMITS_MAX)
    assert len(made.limit_queues()) == LIMITS_MAX
    assert sum(name.startswith("needed-") for name in made.limit_queues()) == 3 * LIMITS_LOOKED_AT


def _steps(act: Callable[[], object]) -> int:
    """How many functions of ours are called meanwhile."""
    counted = count()
    sys.setprofile(lambda _frame, event, _arg: next(counted) if event == "call" else None)
    try:
        act()
    finally:
        sys.setprofile(None)
    return next(counted)


@pytest.mark.slow
@pytest.mark.interpreted
def test_a_request_costs_as_much_beside_a_thousand_idle_limits_as_alone() -> None:
    def served(idle: int) -> int:
        made = limits(budget)
        for number in range(idle):
            enqueued(made, f"idle-{number}")
            assert len(all_called(made)) == 1
        all_called(made)

        def once() -> None:
            enqueued(made, "used")
            all_called(made)
            made.unreachable(10_000)

        once()
        return _steps(once)

    assert served(LIMITS_MAX - 10) <= served(1) + 40


@pytest.mark.interpreted
def test_a_line_of_the_ledger_looks_at_the_levels_that_it_says_alone() -> None:
    made = limits(budget)
    for number in range(500):
        made.limit_queue(f"m-{number}", 0)
    few = _steps(lambda: [each.checkpoint(0) for each in made.believed(490, 20)])
    assert few < _steps(lambda: made.checkpoints(0)) // 10
    assert [each.settings.name for each in made.believed(490, 20)] == [f"m-{each % 500}" for each in range(490, 510)]


@pytest.mark.slow
@pytest.mark.interpreted
def test_a_limit_that_was_used_once_holds_few_objects_for_a_collection_of_garbage_to_walk() -> None:
    known = KnownReferences()  # of all limits
    made = limits(lambda limit, now_ms: budget(limit, now_ms, known=known))

    def used(number: int) -> None:
        enqueued(made, f"m-{number}")
        assert len(all_called(made)) == 1
        all_called(made)

    used(0)
    gc.collect()
    before = len(gc.get_objects())
    for number in range(1, 101):
        used(number)
    gc.collect()
    assert (len(gc.get_objects()) - before) // 100 <= OBJECTS_MAX


@pytest.mark.slow
def test_open_breakers_of_limits_that_make_room_are_among_those_forgotten() -> None:
    made = limits(_made)
    for number in range(LIMITS_RESTING_MAX + 5):
        _tripped(made.limit_queue(f"invented-{number}", 0).budget)
    forgotten = {each.limit for each in made.take_forgotten()}
    assert len(forgotten) == 5
    assert forgotten.isdisjoint(made.limit_queues())
