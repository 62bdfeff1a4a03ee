"""What is left, rounded down to a step: it narrows an interval by no more than it says."""

import pytest

from tests.unit.core.counters import CAPACITY, Counter, Slider
from tests.unit.core.mirroring import MINUTE, Caller

STEP = 600


@pytest.mark.parametrize("step", [1, STEP])
def test_a_buckets_upper_end_leaves_room_for_what_was_rounded_down(step: int) -> None:
    caller = Caller()
    caller.mirror.step = step
    first, second = caller.send(400, 0), caller.send(250, 0)
    caller.observe(MINUTE - 400 - 400 % STEP, first, 0)
    caller.observe((MINUTE - 650) // STEP * STEP, second, 10)
    assert bool(caller.error) is (step == 1)
    assert (caller.interval(10)[1] >= MINUTE - 650) is (step == STEP)


@pytest.mark.parametrize("step", [1, STEP])
def test_a_counters_upper_end_leaves_room_for_what_was_rounded_down(step: int) -> None:
    counter = Counter()
    counter.mirror.step = step
    number = counter.send(250, 0)
    error = counter.hear((CAPACITY - 250) // STEP * STEP, number, 10)
    assert bool(error) is (step == 1)
    assert (counter.interval(10)[1] >= CAPACITY - 252) is (step == STEP)


@pytest.mark.parametrize("step", [1, STEP])
def test_others_have_taken_nothing_of_a_window_whose_rest_was_rounded_down(step: int) -> None:
    slider = Slider()
    slider.slider.step = step
    number = slider.send(250, 0)
    error = slider.hear((CAPACITY - 250) // STEP * STEP, number, 10)
    assert bool(error) is (step == 1)
