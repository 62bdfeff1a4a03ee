from broker.core.opening import may_open, opens_at
from broker.core.spread import QUIET_MS


def test_a_quarter_of_what_the_operator_has_told_may_be_spent_and_not_a_token_more() -> None:
    assert may_open(60_000, 14_000, 1_000, 0)
    assert not may_open(60_000, 14_000, 1_001, 0)


def test_others_share_of_it_is_kept() -> None:
    assert may_open(60_000, 11_000, 1_000, 50_000)
    assert not may_open(60_000, 11_000, 1_001, 50_000)


def test_nothing_may_be_spent_of_a_limit_that_nobody_has_told() -> None:
    assert not may_open(None, 0, 1, 0)


def test_another_goes_once_the_server_had_time_to_refuse_the_oldest() -> None:
    assert opens_at(1_000) == 1_000 + QUIET_MS
