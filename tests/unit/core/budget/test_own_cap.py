"""The operator's own cap: never more in any minute, spread over it, and an urgent request next in line."""

from collections import deque

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS
from headrace.broker.core.budget.own_cap import DEPTH_PARTS, SUM_RESERVED_PPM, OwnCap
from headrace.broker.core.budget.sliding_sum import SlidingSum
from headrace.broker.core.units import PPM

CAP = 60_000
RESERVED_PPM = 50_000


class Spender:
    """Pays what the cap allows, and remembers when."""

    def __init__(self, cap: int = CAP, burst_ms: int | None = None) -> None:
        self.charged = SlidingSum()
        self.cap = OwnCap(cap, burst_ms, self.charged, 0)
        self.paid: list[tuple[int, int]] = []

    def pay(self, amount: int, now_ms: int) -> None:
        self.charged.pay(amount, now_ms)
        self.cap.pay(amount, now_ms)
        self.paid.append((now_ms, amount))

    def spend(self, amount: int, now_ms: int, until_ms: int, reserved_ppm: int = 0) -> int:
        """Pay as soon as it is allowed, again and again; return the next instant that is too late."""
        while (at_ms := self.cap.payable_at(amount, reserved_ppm, now_ms)) < until_ms:
            now_ms = at_ms
            self.pay(amount, now_ms)
        return at_ms

    def most_in_a_minute(self) -> int:
        window: deque[tuple[int, int]] = deque()
        total = most = 0
        for at_ms, amount in self.paid:
            window.append((at_ms, amount))
            total += amount
            while window[0][0] <= at_ms - MINUTE_MS:
                total -= window.popleft()[1]
            most = max(most, total)
        return most

    def within(self, from_ms: int, until_ms: int) -> int:
        return sum(amount for at_ms, amount in self.paid if from_ms <= at_ms < until_ms)


def test_no_minute_exceeds_the_cap_and_nearly_all_of_it_is_used() -> None:
    spender = Spender()
    spender.spend(400, 0, 5 * MINUTE_MS)
    assert spender.most_in_a_minute() <= CAP
    assert spender.within(MINUTE_MS, 5 * MINUTE_MS) >= 0.98 * 4 * CAP


def test_what_is_spent_is_spread_over_the_minute() -> None:
    """The full bucket of the start returns at once a minute later; it is not spent at once again."""
    spender = Spender()
    spender.spend(400, 0, 3 * MINUTE_MS)
    six_s = CAP // 10
    assert spender.within(0, 1) <= CAP // DEPTH_PARTS
    for from_ms in range(6_000, 3 * MINUTE_MS - 6_000, 1_000):
        assert spender.within(from_ms, from_ms + 6_000) <= six_s + 2 * 400
    for from_ms in range(MINUTE_MS, 3 * MINUTE_MS - 6_000, 1_000):
        assert spender.within(from_ms, from_ms + 6_000) >= 0.9 * six_s


def test_an_urgent_request_finds_the_reserve_that_lower_lanes_left() -> None:
    spender = Spender()
    for now_ms in range(2_000, 2 * MINUTE_MS, 7_000):
        spender.spend(400, spender.paid[-1][0] if spender.paid else 0, now_ms, RESERVED_PPM)
        assert spender.cap.payable_at(300, 0, now_ms) == now_ms
        spender.pay(300, now_ms)
    assert spender.most_in_a_minute() <= CAP


def test_lower_lanes_leave_a_part_of_the_sum() -> None:
    spender = Spender()
    spender.charged.pay(CAP - CAP * SUM_RESERVED_PPM // PPM, 0)
    assert spender.cap.payable_at(1, RESERVED_PPM, 0) >= MINUTE_MS
    assert spender.cap.payable_at(CAP * SUM_RESERVED_PPM // PPM, 0, 0) == 0
    assert spender.cap.payable_at(CAP * SUM_RESERVED_PPM // PPM + 1, 0, 0) >= MINUTE_MS


def test_an_operators_burst_is_the_depth() -> None:
    spender = Spender(burst_ms=1_000)
    spender.spend(100, 0, 1)
    assert spender.within(0, 1) == 1_000
    assert spender.cap.payable_at(100, 0, 1) == 100


def test_the_reserve_is_at_most_half_of_what_the_bucket_holds() -> None:
    spender = Spender(burst_ms=1_000)
    assert spender.cap.payable_at(500, PPM // 2, 0) == 0
    assert spender.cap.payable_at(501, PPM // 2, 0) == 0  # above half it may use the reserve, once the bucket is full
    spender.pay(1, 0)
    assert spender.cap.payable_at(500, PPM // 2, 0) == 1


def test_a_call_larger_than_the_bucket_goes_when_it_is_full_and_its_debt_is_waited_for() -> None:
    spender = Spender()
    large = CAP // 2
    assert spender.cap.payable_at(large, 0, 0) == 0
    spender.pay(large, 0)
    depth = CAP // DEPTH_PARTS
    assert spender.cap.payable_at(depth, 0, 0) == 2 * 6_000  # a debt is at most one full bucket


def test_what_was_not_taken_is_given_back() -> None:
    spender = Spender()
    spender.spend(600, 0, 1)
    assert spender.cap.payable_at(600, 0, 1) == 600
    spender.cap.refund(600, 1)
    spender.charged.refund(600, 0)
    assert spender.cap.payable_at(600, 0, 1) == 1


def test_the_smallest_cap_pays_one_call_a_minute_and_does_not_stop() -> None:
    spender = Spender(cap=1, burst_ms=1)
    spender.spend(1, 0, 3 * MINUTE_MS)
    assert len(spender.paid) == 3
    assert spender.most_in_a_minute() == 1


def test_many_calls_flow_at_the_caps_rate_once_its_bucket_is_spent() -> None:
    spender = Spender()
    depth = CAP // DEPTH_PARTS
    assert spender.cap.flows_in_ms(depth, 0, 0) == 0
    assert spender.cap.flows_in_ms(depth + 1_000, 0, 0) == 1_000
    assert spender.cap.flows_in_ms(depth, RESERVED_PPM, 0) == CAP * RESERVED_PPM // PPM
    spender.charged.pay(CAP, 0)
    assert spender.cap.flows_in_ms(500, 0, 0) == 500
