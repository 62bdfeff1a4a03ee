import pytest

from headrace.broker.simulator.admission import MINUTE_US, SECOND_US, HeaderTriple
from headrace.broker.simulator.meters.fixed_window import FixedWindow


def minute(now_us: int = 0) -> FixedWindow:
    return FixedWindow(1_000, MINUTE_US, MINUTE_US, now_us)


def test_at_the_mark_all_is_there_again_and_nothing_before() -> None:
    window = minute(10 * SECOND_US)
    window.pay(1_000)
    assert window.short_by_us(1) == 50 * SECOND_US
    window.refill(60 * SECOND_US - 1)
    assert (window.room(), window.short_by_us(1)) == (0, 1)
    window.refill(60 * SECOND_US)
    assert (window.room(), window.short_by_us(1_000)) == (1_000, 0)


def test_headers_show_what_is_left_and_when_the_next_window_begins() -> None:
    window = minute(10 * SECOND_US)
    window.pay(250)
    window.refill(15 * SECOND_US)
    assert window.level() == HeaderTriple(1_000, 750, 45_000)


def test_windows_lie_where_the_mark_says() -> None:
    window = FixedWindow(1_000, MINUTE_US, MINUTE_US, 0, mark_us=-20 * SECOND_US)
    window.pay(1_000)
    assert window.short_by_us(1) == 40 * SECOND_US


@pytest.mark.parametrize(("limit", "quota"), [(60_000, 1_000), (500, 8), (30, 1)])
def test_a_second_gets_its_share_of_a_minute_rounded_down_and_never_nothing(limit: int, quota: int) -> None:
    assert FixedWindow(limit, MINUTE_US, SECOND_US, 0).room() == quota


def test_a_call_above_a_hidden_window_passes_alone_and_the_next_windows_pay_the_rest() -> None:
    window = FixedWindow(60_000, MINUTE_US, SECOND_US, 0)
    window.pay(1)
    assert window.short_by_us(2_500) == SECOND_US
    window.refill(SECOND_US)
    assert window.short_by_us(2_500) == 0
    window.pay(2_500)
    assert window.short_by_us(500) == 2 * SECOND_US
    window.refill(3 * SECOND_US)
    assert window.room() == 500
    assert not window.visible


def test_it_offers_all_of_every_window_begun() -> None:
    window = minute(59 * SECOND_US)
    window.refill(60 * SECOND_US)
    assert window.offered() == 2_000
    window.refill(240 * SECOND_US - 1)
    assert window.offered() == 4_000


def test_what_a_visible_window_is_charged_above_its_limit_is_lent_and_forgotten_with_it() -> None:
    window = minute()
    window.pay(900)
    window.pay(300)
    assert (window.level().remaining, window.room(), window.offered()) == (0, 0, 1_200)
    assert window.short_by_us(1) == 60 * SECOND_US
    window.refill(60 * SECOND_US)
    assert (window.room(), window.offered()) == (1_000, 2_200)


def test_a_change_concerns_the_window_that_runs() -> None:
    window = minute()
    window.pay(800)
    window.change(500)
    assert (window.room(), window.used(), window.offered()) == (0, 500, 1_000)
    window.change(2_000)
    assert (window.room(), window.offered()) == (1_200, 2_500)


def test_a_clock_that_steps_back_begins_no_window() -> None:
    window = minute(90 * SECOND_US)
    window.pay(1_000)
    window.refill(0)
    assert window.short_by_us(1) == 30 * SECOND_US
