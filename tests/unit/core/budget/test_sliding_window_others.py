"""What windows' mirrors tell of others' spending, beside calls of ours that were refused."""

import pytest

from headrace.broker.core.budget.admission_delay import DELAY_MAX_MS
from headrace.broker.core.budget.others_charges import OthersInterval
from headrace.broker.core.units import ROUNDING_TOKENS
from tests.unit.core.counters import CAPACITY, MINUTE, Counter, Slider
from tests.unit.core.profiled import function_calls


@pytest.mark.parametrize("kind", [Counter, Slider])
def test_others_have_spent_what_no_delay_explains(kind: type[Counter]) -> None:
    for taken, by_others in ((900, False), (1_100, True), (0, False)):
        limit = kind()
        mirror = limit.slider if isinstance(limit, Slider) else limit.mirror
        number = limit.send(1_000, 0)
        limit.send(1_000, DELAY_MAX_MS)  # which may have been counted before, if delays were as long as that
        limit.hear(CAPACITY - 1_000 - taken, number, DELAY_MAX_MS + 10)
        assert mirror.by_others is by_others


def test_a_call_that_was_refused_is_not_counted_at_those_sent_before_its_refusal_came() -> None:
    """Before: others seemed to have taken less by as much as it would have been charged."""
    slider = Slider()
    slider.hear(40_000, slider.send(10_000, 0), 10)  # others took 10,000
    refused, later = slider.send(500, 10_000), slider.send(1_000, 10_200)
    slider.slider.refund(500, refused, 10_250)
    slider.sends.strike(refused)
    assert slider.hear(39_000, later, 12_000) == 0
    assert slider.slider._others.most(12_000) >= 10_000
    assert slider.interval(12_000)[0] == pytest.approx(39_000, abs=3 * ROUNDING_TOKENS)
    slider.slider.refund(500, 99, 12_000)
    assert slider.interval(2 * MINUTE) == (CAPACITY, CAPACITY)


def test_a_call_that_waits_behind_many_charges_of_others_looks_at_few_of_their_ends() -> None:
    """Before: at all of them, at 10,000 calls a minute each time that it was asked when one may be sent."""
    slider = Slider(capacity=100_000)
    for number in range(200):
        slider.send(1, number * 50)
        slider.hear(100_000 - (number + 1) * 400, number, number * 50 + 10)
    slider.send(50_000, 10_100)
    at_ms, calls = function_calls(lambda: slider.slider.payable_at(40_000, 0, 20_000))
    assert MINUTE < at_ms < 2 * MINUTE
    assert calls < 60


def test_an_older_call_that_found_more_of_others_than_later_ones_contradicts_nothing() -> None:
    slider = Slider()
    slider.slider._others = OthersInterval()  # as in a limit of two counters
    older, newer = slider.send(1_000, 0), slider.send(1_000, 2_000)
    assert slider.hear(48_000, newer, 3_000) is not None
    assert slider.slider.by_others
    assert slider.hear(30_000, older, 3_100) is None
    assert not slider.slider.by_others
    assert slider.slider.corrections == 1
