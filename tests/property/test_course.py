"""The law that holds is never convicted: whatever calls do, its prediction lies where the server's figure does.

The server is a bucket in exact integers. A call reaches it up to `DELAY_DIFFERENCE_MS` after it was sent, so calls
overtake each other; it is charged as the law says, give or take the rounding of one token. Others may spend as well:
then the law may seem to take less than the server did, and still never more.
"""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.core.pricing.debit_history import DELAY_DIFFERENCE_MS, DebitHistory

CAPACITY, PERIOD = 60_000, 60_000


@dataclass(frozen=True)
class Call:
    """One call: when it is sent after the one before, its way, its price, by what the server's charge differs."""

    gap_ms: int
    way_ms: int
    price: int
    rounding: int
    foreign: int
    is_answered: bool


calls = st.lists(
    st.builds(
        Call,
        gap_ms=st.one_of(st.integers(0, 3 * DELAY_DIFFERENCE_MS), st.integers(0, 20_000)),
        way_ms=st.integers(0, DELAY_DIFFERENCE_MS),
        price=st.integers(1, 5_000),
        rounding=st.integers(-1, 1),
        foreign=st.one_of(st.just(0), st.integers(0, 3_000)),
        is_answered=st.booleans(),
    ),
    max_size=40,
)


def excesses(played: list[Call], *, level: int, foreign: bool) -> list[int]:
    """Of every span of every answer, in the order of sending, the calls that the server refused being known."""
    sent_ms, comers = 0, []
    for number, call in enumerate(played):
        sent_ms += call.gap_ms
        comers.append((sent_ms + call.way_ms, number, sent_ms, call))
    units, at_ms, remaining = level * PERIOD, 0, {}
    for came_ms, number, _, call in sorted(comers):
        units, at_ms = min(units + CAPACITY * (came_ms - at_ms), CAPACITY * PERIOD), came_ms
        units -= min(units, call.foreign * PERIOD) if foreign else 0
        charge = max(1, call.price + call.rounding) * PERIOD
        if charge <= units:
            units -= charge
            remaining[number] = units // PERIOD
    course, found = DebitHistory(1), []
    for _, number, began_ms, call in comers:
        course.debit(began_ms, (call.price,))
        if number not in remaining:
            course.strike(number)
    for number, left in remaining.items():
        if played[number].is_answered:
            course.observe(number, left)
    for number in remaining:
        if played[number].is_answered:
            found += [span.excess(0) for span in course.spans(number, CAPACITY, PERIOD)]
    return found


@pytest.mark.slow
@given(calls, st.integers(0, CAPACITY))
def test_the_law_that_holds_fits_every_answer(played: list[Call], level: int) -> None:
    assert set(excesses(played, level=level, foreign=False)) <= {0}


@pytest.mark.slow
@given(calls, st.integers(0, CAPACITY))
def test_others_who_spend_make_a_law_seem_to_take_less_and_never_more(played: list[Call], level: int) -> None:
    assert max(excesses(played, level=level, foreign=True), default=0) <= 0
