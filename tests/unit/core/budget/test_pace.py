"""The pace of a rate: when a call may be sent, what it pays, and what is left for a larger one."""

from headrace.broker.core.budget.pace import AHEAD_MS, DEBT_PPM, KEPT_MS, LEEWAY_US, Pace, takes_us
from headrace.broker.core.units import PPM

RATE = 60_000_000  # one token a millisecond
LEEWAY_MS = LEEWAY_US // 1_000


def begun(now_ms: int = 0) -> Pace:
    """A pace whose first call has just been sent: it is paid for, but for the leeway."""
    pace = Pace(now_ms)
    pace.pay(1_000, RATE, now_ms, largest=1_000)
    return pace


def due(pace: Pace, tokens: int = 1_000, *, first: bool = False) -> int:
    return pace.due_ms(tokens, RATE, first=first)


def test_a_rate_gives_a_token_in_a_time() -> None:
    assert takes_us(1, RATE) == 1_000
    assert takes_us(3, RATE // 2) == 6_000


def test_the_first_call_goes_at_once_whatever_it_costs() -> None:
    assert due(Pace(5_000), AHEAD_MS) <= 5_000
    assert due(Pace(5_000), 10**9) <= 5_000


def test_a_call_is_due_when_what_it_takes_has_passed() -> None:
    assert due(begun(), 1_000) == 1_000 - 2 * LEEWAY_MS
    assert due(begun(), 5_000) == 5_000 - 2 * LEEWAY_MS
    assert due(begun(), 5_000, first=True) == 5_000 - 3 * LEEWAY_MS


def test_an_instant_is_rounded_up() -> None:
    pace = Pace(0)
    pace.pay(1, 7_000_000, 0, largest=1)
    assert pace.due_ms(100, 7_000_000, first=False) * 1_000 >= takes_us(100, 7_000_000) - 2 * LEEWAY_US


def test_calls_that_are_sent_when_they_are_due_follow_the_rate() -> None:
    pace, now_ms = begun(), 0
    for tokens in (400, 1_700, 3, 900) * 25:
        now_ms = max(now_ms, due(pace, tokens))
        pace.pay(tokens, RATE, now_ms, largest=1_700)
    assert now_ms == 25 * (400 + 1_700 + 3 + 900) - 2 * LEEWAY_MS


def test_what_is_not_spent_in_idle_time_is_lost() -> None:
    pace = begun()
    pace.pay(1_000, RATE, 3_600_000, largest=1_000)
    assert due(pace) == 3_600_000 + 1_000 - 2 * LEEWAY_MS


def test_smaller_calls_leave_what_has_been_saved_for_a_large_one() -> None:
    pace = begun()
    pace.save_for(12_000, due(pace, 12_000), 0)
    for now_ms in range(1_000, 11_000, 1_000):
        assert due(pace, 100) <= now_ms
        pace.pay(100, RATE, now_ms, largest=1_000)
    assert due(pace, 12_000) == 12_000 + 10 * 100 - 2 * LEEWAY_MS


def test_once_the_large_call_is_sent_nothing_is_saved() -> None:
    pace = begun()
    pace.save_for(12_000, 12_000, 0)
    pace.pay(12_000, RATE, 12_000, largest=12_000)
    pace.pay(100, RATE, 20_000, largest=12_000)
    assert due(pace, 12_000) == 20_000 + 12_000 - 2 * LEEWAY_MS


def test_for_a_call_that_is_asked_about_no_more_nothing_is_saved() -> None:
    for late_ms, is_saved in ((KEPT_MS, True), (KEPT_MS + 1, False)):
        pace = begun()
        pace.save_for(12_000, 12_000, 0)
        pace.pay(100, RATE, 12_000 + late_ms, largest=1_000)
        assert (due(pace, 12_000) <= 12_000 + late_ms) is is_saved


def test_the_largest_call_that_waits_is_saved_for_until_it_waits_no_more() -> None:
    pace = begun()
    pace.save_for(12_000, 12_000, 0)
    pace.save_for(100, 12_100, 0)
    pace.pay(50, RATE, 12_500, largest=1_000)
    assert due(pace, 12_000) <= 12_500
    pace.save_for(100, 20_000, 12_000 + KEPT_MS + 1)
    pace.pay(50, RATE, 19_000, largest=1_000)
    assert due(pace, 12_000) > 19_000


def test_with_doubled_prices_as_much_is_saved() -> None:
    pace = begun()
    pace.save_for(12_000, 12_000, 0)
    pace.reprice(2 * PPM)
    pace.pay(100, 2 * RATE, 12_000, largest=1_000)
    assert pace.due_ms(24_000, 2 * RATE, first=False) <= 12_000 + 100


def test_a_huge_call_waits_for_a_minute_at_most_and_is_paid_for_afterwards() -> None:
    pace = begun()
    assert due(pace, 10**9) == AHEAD_MS - 2 * LEEWAY_MS
    pace.pay(10**9, RATE, AHEAD_MS, largest=10**9)
    assert due(pace) > 10**9 - AHEAD_MS


def test_a_debt_that_the_pace_did_not_allow_is_forgotten_beyond_two_and_a_half_large_calls() -> None:
    pace = begun()
    for _ in range(1_000):
        pace.pay(1_000, RATE, 0, largest=1_000)
    assert due(pace) == 1_000 * DEBT_PPM // PPM + 1_000 + 1_000 + LEEWAY_MS


def test_a_refused_call_gives_back_what_it_paid_and_no_more() -> None:
    pace = begun()
    pace.pay(1_000, RATE, 0, largest=1_000)
    before = due(pace)
    pace.pay(5_000, RATE, 0, largest=5_000)
    pace.give_back(5_000, RATE, 0)
    assert due(pace) == before
    pace.give_back(10**6, RATE, 500)
    assert due(pace) == 500 + 1_000 - LEEWAY_MS


def test_time_is_left_out_from_now_on() -> None:
    pace = begun()
    pace.leave_out(500, RATE, 10_000)
    assert due(pace) == 10_000 + 500 + 1_000 - LEEWAY_MS
    pace.leave_out(500, RATE, 10_000)
    assert due(pace) == 10_000 + 1_000 + 1_000 - LEEWAY_MS
