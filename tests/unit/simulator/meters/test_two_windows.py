from headrace.broker.simulator.admission import MINUTE_US, SECOND_US, HeaderTriple
from headrace.broker.simulator.meters.two_windows import TwoWindows


def spent(*charges: tuple[int, int]) -> TwoWindows:
    """Windows of 1,000 a minute after `(second, charge)`s."""
    window = TwoWindows(1_000, MINUTE_US, 0)
    for second, charge in charges:
        window.refill(second * SECOND_US)
        window.pay(charge)
    return window


def test_the_last_window_counts_as_far_as_it_still_overlaps() -> None:
    window = spent((30, 600))
    window.refill(60 * SECOND_US)
    assert window.room() == 400
    window.refill(90 * SECOND_US)
    assert (window.room(), window.used()) == (700, 300)
    assert window.level() == HeaderTriple(1_000, 700, 30_000)
    window.refill(200 * SECOND_US)
    assert window.room() == 1_000


def test_the_wait_ends_when_the_last_window_weighs_little_enough() -> None:
    window = spent((30, 600), (60, 400))
    assert window.short_by_us(300) == 30 * SECOND_US
    window.refill(90 * SECOND_US)
    assert window.short_by_us(300) == 0


def test_a_wait_may_reach_into_the_next_window() -> None:
    window = spent((0, 1_000))
    assert window.short_by_us(500) == 90 * SECOND_US
    window.refill(90 * SECOND_US - 1)
    assert window.short_by_us(500) == 1
    window.refill(90 * SECOND_US)
    assert window.short_by_us(500) == 0


def test_it_offers_all_at_once_and_the_rate_from_the_first_mark_on() -> None:
    window = spent()
    offers = []
    for second in (0, 59, 60, 90, 180):
        window.refill(second * SECOND_US)
        offers.append(window.offered())
    assert offers == [1_000, 1_000, 1_000, 1_500, 3_000]


def test_a_higher_limit_adds_its_surplus_and_its_rate() -> None:
    window = spent((0, 1_000))
    window.refill(60 * SECOND_US)
    window.change(2_000)
    assert (window.room(), window.offered()) == (1_000, 2_000)
    window.refill(90 * SECOND_US)
    assert window.offered() == 3_000


def test_what_is_charged_above_the_limit_is_lent_and_weighs_on_the_next_window() -> None:
    window = spent((0, 900), (10, 300))
    assert (window.used(), window.room(), window.offered()) == (1_000, 0, 1_200)
    window.refill(90 * SECOND_US)
    assert (window.room(), window.offered()) == (400, 1_700)


def test_a_window_before_the_last_is_forgotten() -> None:
    window = spent((30, 600))
    window.refill(120 * SECOND_US)
    assert window.room() == 1_000
