from headrace.broker.simulator.admission import MINUTE_US, HeaderTriple
from headrace.broker.simulator.meters.bucket import Bucket


def test_what_is_in_use_stays_in_use_when_the_limit_changes() -> None:
    bucket = Bucket(1_000, MINUTE_US, MINUTE_US, 0)
    bucket.pay(300)
    bucket.change(2_000)
    assert bucket.level() == HeaderTriple(2_000, 1_700, 9_000)
    bucket.change(500)
    assert bucket.level() == HeaderTriple(500, 200, 36_000)


def test_a_limit_that_falls_below_what_is_in_use_leaves_nothing_and_no_debt() -> None:
    bucket = Bucket(1_000, MINUTE_US, MINUTE_US, 0)
    bucket.pay(800)
    bucket.change(500)
    assert bucket.level() == HeaderTriple(500, 0, 60_000)
    assert bucket.short_by_us(1) == 120_000


def test_it_offers_what_it_held_and_what_came_and_what_a_higher_limit_added() -> None:
    bucket = Bucket(600, MINUTE_US, MINUTE_US, 0)
    bucket.refill(30_000_000)
    assert bucket.offered() == 900
    bucket.change(1_200)
    assert bucket.offered() == 1_500
    bucket.refill(60_000_000)
    assert bucket.offered() == 2_100
    bucket.change(300)
    bucket.refill(120_000_000)
    assert bucket.offered() == 2_400


def test_a_debt_is_shown_as_nothing_left_and_paid_off_before_anything_else() -> None:
    bucket = Bucket(600, MINUTE_US, MINUTE_US, 0)
    bucket.pay(900)
    assert (bucket.level(), bucket.used(), bucket.room()) == (HeaderTriple(600, 0, 60_000), 600, 0)
    assert bucket.short_by_us(1) == 30_100_000
    assert bucket.offered() == 900  # 300 are lent
    bucket.refill(10_000_000)
    assert bucket.offered() == 900
    bucket.refill(60_000_000)
    assert bucket.offered() == 1_200
