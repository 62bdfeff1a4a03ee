"""Prices that the levels of windows have shown to be too high: no refusal would ever tell."""

from collections import deque
from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, TOKENS, LimitMetric, Reading
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.budget.calibration import SHOWN_PPM
from headrace.broker.core.units import PPM
from tests.unit.core.budgets import UNKNOWN, answer

SIZE = 60_000
DAY_SIZE = 50_000_000
CHARGE = 500


def charge(number: int) -> int:
    """Return what a call is charged by its law: calls of one size would leave the same each time, like old levels."""
    return CHARGE - 100 + number * 37 % 201


class Sliding:
    """A budget before a server that counts a part of each charge, for so many seconds, and answers at once."""

    def __init__(
        self, counted_ppm: int, seconds: int = 60, *, shows_day: bool = False, times: int = 1, others: int = 0
    ) -> None:
        self.budget = Budget(UNKNOWN, 0, None)
        self.counted_ppm, self.seconds, self.stated = counted_ppm, seconds, False
        self.sent: list[int] = []
        self.day = DAY_SIZE if shows_day else None
        self.times, self.others = times, others  # headers state so many times the limit; spent by others before

    def call(self, now_ms: int) -> None:
        number = len(self.sent)
        at_ms = self.budget.payable_at(charge(number), now_ms, stated=self.stated)
        assert at_ms is not None
        self.sent.append(max(now_ms, at_ms))
        self.budget.reserve(number, charge(number), self.sent[-1], stated=self.stated)
        left = SIZE - self.counted(self.sent[-1])
        shown = answer(tokens=(self.times * SIZE, left, f"{self.seconds}s"))
        if self.day is not None:
            self.day -= charge(number) * self.counted_ppm // PPM
            shown = replace(shown, readings=(*shown.readings, Reading(TOKENS, DAY_SIZE, self.day, DAY_MS)))
        self.budget.record_answer(number, self.sent[-1], shown)

    def counted(self, now_ms: int) -> int:
        counts = [now_ms - 1_000 * self.seconds < at_ms <= now_ms for at_ms in self.sent]
        others = max(0, self.others - self.others * now_ms // (1_000 * self.seconds))
        return others + sum(charge(number) * self.counted_ppm // PPM for number, does in enumerate(counts) if does)

    def spend(self, calls: int, every_ms: int = 50) -> None:
        for _ in range(calls):
            self.call(self.sent[-1] + every_ms if self.sent else 0)

    @property
    def price(self) -> int:
        return self.budget._calibration.to_pay(CHARGE, stated=False)

    @property
    def refills(self) -> list[Refill]:
        return [mirror.refill for mirror in self.budget._buckets.of(LimitMetric.TOKENS)]


def test_calls_are_priced_no_higher_than_the_window_counts_them() -> None:
    """Seed 90170 charges 0.9 of what its law says and refuses nothing: 85 % of the ideal before, and 93 now."""
    server = Sliding(902_000)
    server.spend(400)
    assert server.refills == [Refill.SLIDING]
    assert 451 <= server.price <= 456
    assert 0.97 * SIZE < max(map(server.counted, server.sent)) <= SIZE


@pytest.mark.parametrize("counted_ppm", [PPM, 902_000])
def test_an_answer_that_shows_the_limit_of_a_day_too_is_one_call(counted_ppm: int) -> None:
    """Before, it was two calls to the minute's window: calls were priced at half, and four of a hundred refused."""
    server = Sliding(counted_ppm, shows_day=True)
    server.spend(400)
    assert Refill.SLIDING in server.refills
    assert server.price == pytest.approx(CHARGE * counted_ppm / PPM, rel=0.02)


def test_what_is_used_of_a_size_that_is_only_guessed_bounds_no_price() -> None:
    """Headers state sixty times the limit, of which others had spent most in the minute before.

    Before, what was used seemed to be what the highest level so far exceeded the last one by: prices fell to a tenth.
    """
    server = Sliding(PPM, times=60, others=SIZE * 9 // 10)
    prices, guessed = [], list[int]()
    for _ in range(30):
        server.spend(10, every_ms=600)
        prices.append(server.price)
        guessed += server.budget._buckets.guessed
    assert guessed
    assert min(prices) == CHARGE


def test_refused_calls_tell_nothing_of_the_share() -> None:
    """Before, three that were refused at once looked like old levels: the share was forgotten (seed 92199)."""
    server = Sliding(902_000)
    server.spend(400)
    before, now_ms = server.price, server.sent[-1] + 40_000
    verdict = answer(tokens=(SIZE, SIZE - server.counted(now_ms), "60s"))
    for number in range(1_000, 1_024):
        now_ms = max(now_ms, server.budget.payable_at(charge(number), now_ms) or now_ms)
        server.budget.reserve(number, charge(number), now_ms)
    for number in range(1_000, 1_024):
        server.budget.record_answer(number, now_ms + 50, replace(verdict, meaning=Meaning.RATE_LIMITED))
    assert server.price == before


@pytest.mark.parametrize("counted_ppm", [PPM, SHOWN_PPM + 10_000, 1_300_000])
def test_what_is_as_good_as_right_or_too_low_is_left_alone(counted_ppm: int) -> None:
    server = Sliding(counted_ppm)
    server.spend(300)
    assert server.price == CHARGE


def test_a_window_of_a_second_or_two_tells_nothing() -> None:
    server = Sliding(500_000, seconds=2)
    server.spend(300)
    assert server.refills == [Refill.SLIDING]
    assert server.price == CHARGE


def test_a_counter_of_a_second_whose_answers_take_two_tells_it_too() -> None:
    """Before: no answer came while its window lasted, so none corrected what was left (seed 91401: 74 %)."""
    budget, now_ms, sent = Budget(UNKNOWN, 0, None), 0, deque[tuple[int, int, int]]()
    used, window = 0, 0
    for number in range(600):
        at_ms = budget.payable_at(charge(number), now_ms)
        while sent and (at_ms is None or sent[0][1] <= max(now_ms, at_ms)):
            answered, now_ms, left = sent.popleft()
            reset_ms = 1_000 - (now_ms - 1_800) % 1_000
            budget.record_answer(answered, now_ms, answer(tokens=(SIZE // 10, left, f"{reset_ms}ms")))
            at_ms = budget.payable_at(charge(number), now_ms)
        assert at_ms is not None
        now_ms = max(now_ms, at_ms)
        if now_ms // 1_000 > window:
            used, window = 0, now_ms // 1_000
        used += charge(number) * 800_000 // PPM
        budget.reserve(number, charge(number), now_ms)
        sent.append((number, now_ms + 1_800, SIZE // 10 - used))
        now_ms += 30
    (mirror,) = budget._buckets.of(LimitMetric.TOKENS)
    assert (mirror.refill, mirror.period_ms) == (Refill.FIXED, 1_000)
    assert 400 <= budget._calibration.to_pay(CHARGE, stated=False) <= 410


def test_another_bucket_of_tokens_beside_it_is_charged_alike() -> None:
    server = Sliding(902_000)
    server.spend(60)
    server.budget._buckets.believe(LimitMetric.TOKENS, 10 * SIZE, 3_600_000, server.sent[-1])
    server.spend(400)
    assert 451 <= server.price <= 456


def test_calls_whose_charge_the_server_has_named_tell_nothing_of_our_prices() -> None:
    server = Sliding(902_000)
    server.stated = True
    server.spend(400)
    assert server.price == CHARGE


def test_levels_bound_what_refusals_have_named() -> None:
    """Before, a few named charges priced all others at 2.8 times their law (seed 99331: 53 % of the ideal)."""
    server = Sliding(1_300_000)
    server.budget._calibration._markup.record(CHARGE, 3 * CHARGE)
    assert server.price == 3 * CHARGE
    server.spend(400)
    assert 650 <= server.price <= 657


def test_levels_that_are_old_end_the_bound() -> None:
    """Three answers in a row that state the same have not counted their calls: the bound rested on nothing."""
    server = Sliding(902_000)
    server.spend(400)
    assert server.price < 460
    server.counted_ppm = 0
    server.spend(60)
    assert server.price == CHARGE
