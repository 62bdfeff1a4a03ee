"""The laws a server-side bucket must obey whatever is asked of it and when."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.simulator.account import Account
from headrace.broker.simulator.admission import MINUTE_US, Admitted, Metric
from headrace.broker.simulator.rules import Limits

Steps = list[tuple[int, int]]  # microseconds since the step before, charge

limits = st.integers(1, 10**6)
steps = st.lists(st.tuples(st.integers(0, 2 * MINUTE_US), st.integers(1, 10**6)), max_size=30)


def exact_level(level: Fraction, limit: int, elapsed_us: int) -> Fraction:
    return min(Fraction(limit), level + Fraction(limit * elapsed_us, MINUTE_US))


@given(limits, limits, steps)
def test_it_admits_exactly_what_a_bucket_of_fractions_would(tokens: int, requests: int, asked: Steps) -> None:
    account = Account(Limits(tokens, requests), 0)
    token_level, request_level, now_us = Fraction(tokens), Fraction(requests), 0
    for elapsed_us, charge in asked:
        now_us += elapsed_us
        token_level = exact_level(token_level, tokens, elapsed_us)
        request_level = exact_level(request_level, requests, elapsed_us)
        verdict = account.admit(charge, now_us)
        assert isinstance(verdict, Admitted) == (charge <= token_level and request_level >= 1)
        if isinstance(verdict, Admitted):
            token_level -= charge
            request_level -= 1
        shown = verdict.levels[Metric.TOKENS]
        assert shown.remaining == token_level.__floor__()
        assert shown.reset_ms == ((tokens - token_level) * MINUTE_US / tokens / 1_000).__floor__()


@given(limits, steps)
def test_no_window_is_served_more_than_a_full_bucket_and_its_refill(tokens: int, asked: Steps) -> None:
    account = Account(Limits(tokens, 10**9), 0)
    now_us, served = 0, []
    for elapsed_us, charge in asked:
        now_us += elapsed_us
        if isinstance(account.admit(charge, now_us), Admitted):
            served.append((now_us, charge))
    for first in range(len(served)):
        for last in range(first, len(served)):
            spent = sum(charge for _, charge in served[first : last + 1])
            assert spent * MINUTE_US <= tokens * (MINUTE_US + served[last][0] - served[first][0])


@given(limits, st.integers(1, 600), steps)
def test_a_refused_call_gets_in_within_a_millisecond_of_the_stated_wait(
    tokens: int, burst_s: int, asked: Steps
) -> None:
    account = Account(Limits(tokens, 10**9, burst_us=burst_s * 100_000), 0)
    now_us = 0
    for elapsed_us, charge in asked:
        now_us += elapsed_us
        verdict = account.admit(charge, now_us)
        if isinstance(verdict, Admitted):
            continue
        if verdict.wait_ms is None:
            assert charge > tokens
            continue
        assert 0 <= verdict.used <= verdict.limit
        now_us += (verdict.wait_ms + 1) * 1_000
        assert isinstance(account.admit(charge, now_us), Admitted)
