"""Figures of a bucket that a server rounds, when its size changes."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, SECOND_MS
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.answers.rounding import COARSEST_PARTS
from headrace.broker.core.budget.stated_age import StatedAge
from tests.unit.core.shown import Limit

SMALL, LARGE = 60_000, 90_000


class Rounded:
    """A server that rounds what is left down to a step, and its calls of a little more than 200 tokens."""

    def __init__(self) -> None:
        self.limit, self.calls = Limit(), 0

    def errors(self, capacity: int, step: int, calls: int) -> list[int | None]:
        """How far each answer's figure is off, of so many calls to a limit of a size that is full at first."""
        level, errors = capacity, []
        for _ in range(calls):
            amount = 237 + self.calls % 7
            level = min(capacity, level + 100 * capacity // MINUTE_MS) - amount
            hearing = self.limit.send(amount, 100 * self.calls)
            used = capacity - level // step * step
            errors.append(self.limit.show(hearing, used, None, capacity, MINUTE_MS))
            self.calls += 1
        return errors


@pytest.mark.parametrize("before", [600, 1], ids=["hundredths", "exact"])
def test_a_limit_of_another_size_is_rounded_by_another_step(before: int) -> None:
    """Otherwise the two steps' common divisor is taken for the step, or none, and each answer shows some missing."""
    server = Rounded()
    server.errors(SMALL, before, 60)
    errors = server.errors(LARGE, 900, 60)
    assert any(errors[:30]), "until the step is known"
    assert not any(errors[30:])


def test_a_limit_of_another_size_that_is_stated_exactly_has_no_step() -> None:
    server = Rounded()
    server.errors(SMALL, 600, 60)
    server.errors(LARGE, 1, 60)
    assert [mirror.step for mirror in server.limit.buckets] == [1]


def test_calls_of_a_round_number_of_tokens_are_no_rounding() -> None:
    """Every figure is a multiple of what each call pays."""
    limit = Limit()
    for call in range(10):
        limit.show(limit.send(200, 100 * call), 200 * (call + 1), None, SMALL, MINUTE_MS)
    assert [mirror.step for mirror in limit.buckets] == [1]


def test_a_level_that_stays_while_calls_are_charged_is_rounded() -> None:
    limit = Limit()
    for call in range(4):
        limit.show(limit.send(237 + call, 100 * call), SMALL // 20, None, SMALL, MINUTE_MS)
    assert [mirror.step for mirror in limit.buckets] == [SMALL // COARSEST_PARTS]


def second(calls: int, *, renews: bool = False, forgets_after: int | None = None, age_ms: int = 0) -> list[Refill]:
    """How a limit of a second seems to refill after calls that use most of it, in tenths and whole seconds.

    `renews`: it is a counter that begins anew each second. `age_ms`: levels have proved to be so old.
    """
    limit, level, capacity, now_ms, refills = Limit(), 10_000, 10_000, 0, list[Refill]()
    for number in range(calls):
        passed_ms, amount = (60, 40, 300, 60, 40, 60, 240)[number % 7], 740 + 131 * (number % 7)
        begins = (now_ms + passed_ms) // SECOND_MS > now_ms // SECOND_MS
        level = (capacity if begins else level) if renews else min(capacity, level + passed_ms * capacity // SECOND_MS)
        level, now_ms = level - amount, now_ms + passed_ms
        if age_ms:
            limit.buckets._shown._age = age = StatedAge(limit.sends)
            age.ms = age_ms
        limit.show(limit.send(amount, now_ms), capacity - level // 1_000 * 1_000, SECOND_MS, capacity)
        if number == forgets_after:
            limit.buckets.judge_anew(now_ms)
        refills += [mirror.refill for mirror in limit.buckets]
    return refills


def test_a_bucket_of_a_second_is_one_though_nothing_but_its_levels_tells_it() -> None:
    """Before: it stayed a sliding window, which lets a bucket's refill lie (seed 96292: 81 % of the ideal)."""
    refills = second(120)
    assert Refill.SLIDING in refills
    assert refills[-40:] == [Refill.BUCKET] * 40
    assert second(400, renews=True)[-1] is Refill.SLIDING


def test_once_calls_are_charged_by_another_law_it_is_known_by_new_levels_alone() -> None:
    refills = second(300, forgets_after=200)
    assert refills[200] is Refill.BUCKET
    assert Refill.SLIDING in refills[201:]
    assert refills[-1] is Refill.BUCKET


def test_levels_that_may_be_old_tell_nothing_of_a_second() -> None:
    assert second(200, age_ms=500)[-1] is Refill.SLIDING
