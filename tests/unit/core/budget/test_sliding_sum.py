from headrace.broker.core.budget.sliding_sum import SLOT_MS, SlidingSum

MINUTE = 60_000


def test_a_payment_counts_for_a_minute_and_at_most_one_slot_longer() -> None:
    window = SlidingSum()
    window.pay(300, 50)
    assert window.charged(50 + MINUTE) == 300
    assert window.charged(SLOT_MS + MINUTE) == 0


def test_payments_of_one_slot_share_an_entry_so_that_memory_is_bounded() -> None:
    window = SlidingSum()
    for now in range(0, 3 * MINUTE, 10):
        window.pay(1, now)
    assert len(window._slots) <= MINUTE // SLOT_MS + 1


def test_a_payment_before_the_last_one_joins_the_last_slot() -> None:
    window = SlidingSum()
    window.pay(1, 500)
    window.pay(2, 100)
    assert window.charged(100 + MINUTE + SLOT_MS) == 3


def test_what_fits_is_payable_now() -> None:
    window = SlidingSum()
    window.pay(700, 0)
    assert window.payable_at(300, 1_000, 10) == 10


def test_what_does_not_fit_waits_until_enough_has_expired() -> None:
    window = SlidingSum()
    window.pay(400, 0)
    window.pay(400, 10_000)
    assert window.payable_at(300, 1_000, 20_000) == SLOT_MS + MINUTE
    assert window.payable_at(800, 1_000, 20_000) == 10_000 + SLOT_MS + MINUTE


def test_what_is_larger_than_the_cap_waits_for_an_empty_window() -> None:
    window = SlidingSum()
    assert window.payable_at(5_000, 1_000, 7) == 7
    window.pay(1, 7)
    assert window.payable_at(5_000, 1_000, 8) == SLOT_MS + MINUTE


def test_a_payment_given_back_leaves_the_slot_it_was_made_in() -> None:
    window = SlidingSum()
    window.pay(400, 0)
    window.pay(100, 5_000)
    window.refund(400, 50)
    assert window.charged(5_000) == 100
    assert window.charged(SLOT_MS + MINUTE) == 100
    window.refund(999, 5_000)
    assert window.charged(5_000) == 0


def test_nothing_is_given_back_for_a_payment_that_has_expired() -> None:
    window = SlidingSum()
    window.pay(400, 0)
    assert window.charged(2 * MINUTE) == 0
    window.pay(300, 2 * MINUTE)
    window.refund(400, 0)
    assert window.charged(2 * MINUTE) == 300


def test_a_payment_counts_until_its_slot_has_expired() -> None:
    window = SlidingSum()
    window.pay(400, 50)
    for now_ms in (50, MINUTE + SLOT_MS - 1, MINUTE + SLOT_MS):
        assert window.share(300, 50, now_ms) == (300 if window.charged(now_ms) else 0)
