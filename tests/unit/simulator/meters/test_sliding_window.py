from headrace.broker.simulator.admission import MINUTE_US, SECOND_US, HeaderTriple
from headrace.broker.simulator.meters.sliding_window import SlidingWindow


def spent(*charges: tuple[int, int]) -> SlidingWindow:
    """A window of 1,000 a minute after `(second, charge)`s."""
    window = SlidingWindow(1_000, MINUTE_US, 0)
    for second, charge in charges:
        window.refill(second * SECOND_US)
        window.pay(charge)
    return window


def test_a_charge_counts_until_it_is_a_minute_old() -> None:
    window = spent((0, 600), (20, 400))
    assert window.short_by_us(500) == 40 * SECOND_US
    assert window.short_by_us(601) == 60 * SECOND_US
    window.refill(60 * SECOND_US - 1)
    assert window.room() == 0
    window.refill(60 * SECOND_US)
    assert (window.room(), window.short_by_us(600)) == (600, 0)


def test_headers_show_what_is_left_and_when_the_last_charge_is_forgotten() -> None:
    window = spent((0, 600), (20, 100))
    assert window.level() == HeaderTriple(1_000, 300, 60_000)
    window.refill(200 * SECOND_US)
    assert window.level() == HeaderTriple(1_000, 1_000, 0)


def test_it_offers_all_at_once_and_again_after_every_window() -> None:
    window = spent()
    offers = []
    for second in (0, 59, 60, 119, 240):
        window.refill(second * SECOND_US)
        offers.append(window.offered())
    assert offers == [1_000, 1_000, 2_000, 2_000, 5_000]


def test_what_is_too_old_takes_no_memory() -> None:
    window = SlidingWindow(10**9, MINUTE_US, 0)
    for number in range(20_000):
        window.refill(number * SECOND_US)
        window.pay(1)
    assert window.used() == 60
    assert len(window._sums) < 4_000


def test_a_lower_limit_waits_for_what_was_taken_under_the_higher() -> None:
    window = spent((0, 600), (20, 400))
    window.change(500)
    assert (window.used(), window.room()) == (500, 0)
    assert window.short_by_us(100) == 40 * SECOND_US


def test_what_is_charged_above_the_limit_is_lent_and_counts_until_it_is_old() -> None:
    window = spent((0, 900), (10, 300))
    assert (window.used(), window.room(), window.offered()) == (1_000, 0, 1_200)
    window.refill(60 * SECOND_US)
    assert (window.room(), window.offered()) == (700, 2_200)
