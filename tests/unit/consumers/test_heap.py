"""A heap in two arrays gives back what it was given, in order."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.consumers.retries.heap import KeyHeap


@pytest.mark.slow
@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 5), st.integers(0, 1 << 40)))))
def test_the_smallest_comes_first_whatever_comes_in_between(steps: list[tuple[int, int] | None]) -> None:
    heap = KeyHeap()
    expected: list[tuple[int, int]] = []
    for key in steps:
        if key is None:
            if expected:
                assert heap.pop() == expected.pop(0)
            continue
        heap.push(key)
        expected = sorted([*expected, key])
        assert (len(heap), heap.first) == (len(expected), expected[0])
    assert [heap.pop() for _ in expected] == expected


def test_thousands_come_out_in_order_and_those_that_are_due_are_counted() -> None:
    dice, heap = random.Random(7), KeyHeap()
    keys = [(dice.randrange(1_000), offset) for offset in range(5_000)]
    for key in keys:
        heap.push(key)
    assert heap.count_due(499) == sum(due_ms <= 499 for due_ms, _ in keys)
    assert [heap.pop() for _ in keys] == sorted(keys)
    with pytest.raises(IndexError):
        heap.pop()
