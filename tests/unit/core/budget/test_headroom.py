from headrace.broker.core.budget.headroom import HeadroomCache
from headrace.broker.core.units import ROUNDING_TOKENS


def test_nothing_is_covered_before_it_is_reckoned() -> None:
    assert not HeadroomCache().covers(1, 0)


def test_calls_use_up_tokens_with_what_a_mirror_takes_for_rounding() -> None:
    leeway = HeadroomCache()
    leeway.store(0, 100 + 2 * ROUNDING_TOKENS, 10)
    leeway.pay(60)
    assert leeway.covers(40, 0)
    assert not leeway.covers(41, 0)


def test_calls_use_up_calls() -> None:
    leeway = HeadroomCache()
    leeway.store(0, 1_000, 2)
    leeway.pay(1)
    assert leeway.covers(1, 0)
    leeway.pay(1)
    assert not leeway.covers(1, 0)


def test_each_share_kept_has_its_own_and_every_call_uses_up_all() -> None:
    leeway = HeadroomCache()
    leeway.store(0, 1_000, 10)
    leeway.store(50_000, 500, 10)
    leeway.pay(500)
    assert (leeway.covers(400, 0), leeway.covers(1, 50_000), leeway.covers(1, 10)) == (True, False, False)


def test_what_was_paid_before_is_no_part_of_it() -> None:
    leeway = HeadroomCache()
    leeway.pay(1_000)
    leeway.store(0, 100 + ROUNDING_TOKENS, 1)
    assert leeway.covers(100, 0)


def test_whatever_is_found_out_makes_it_void() -> None:
    leeway = HeadroomCache()
    leeway.store(0, 1_000, 10)
    leeway.clear()
    assert not leeway.covers(1, 0)
    leeway.clear()
    assert not leeway.covers(1, 0)
