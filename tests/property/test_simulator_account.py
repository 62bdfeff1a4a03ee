"""An account that plays several behaviours at once, against books kept by hand."""

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.broker.simulator.account import Account, Scene
from headrace.broker.simulator.admission import MINUTE_US, Admitted, Metric
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.catalogue import NAMED
from headrace.broker.simulator.behaviours.enforcement import Foreign, LimitChange
from headrace.broker.simulator.rules import Limits

Steps = list[tuple[int, int]]  # microseconds since the step before, charge

ENFORCED = [
    NAMED[name]
    for name in (
        "bucket-6s",
        "bucket-1s",
        "requests-per-day",
        "tokens-per-day",
        "project-limits",
        "hidden-bucket-1s",
        "hidden-bucket-6s",
        "quantised-1s",
        "quantised-6s",
        "fixed-window",
        "sliding-window",
        "sliding-approximate",
        "refusals-cost-request",
        "refusals-cost-all",
    )
]
plays = st.lists(
    st.one_of(
        st.sampled_from(ENFORCED),
        st.builds(LimitChange, st.floats(0, 300), st.floats(0.1, 10)),
        st.builds(Foreign, st.floats(0, 1), st.floats(0.01, 0.5), insists=st.booleans(), regular=st.booleans()),
    ),
    max_size=4,
)
steps = st.lists(st.tuples(st.integers(0, MINUTE_US), st.integers(1, 20_000)), max_size=30)


@settings(max_examples=150)
@given(plays, steps, st.integers(0, 2**32))
def test_whatever_is_played_nobody_gets_more_than_was_offered_and_a_refusal_is_not_charged(
    played: list[Behaviour], asked: Steps, seed: int
) -> None:
    account = Account(Limits(60_000, 600), 0, Scene(tuple(played), seed))
    now_us, charged, admitted, refused = 0, 0, 0, 0
    for elapsed_us, charge in asked:
        now_us += elapsed_us
        verdict = account.admit(charge, now_us)
        if isinstance(verdict, Admitted):
            charged, admitted = charged + charge, admitted + 1
        else:
            refused += 1
            assert 0 <= verdict.used <= verdict.limit
            assert verdict.wait_ms is None or verdict.wait_ms >= 0
        for level in (*verdict.levels.values(), *verdict.project_levels.values()):
            assert 0 <= level.remaining <= level.limit
            assert level.reset_ms >= 0
        tallies = account.tallies()
        tokens, requests = tallies[Metric.TOKENS], tallies[Metric.REQUESTS]
        assert (tokens.charged, requests.charged) == (charged, admitted)
        assert tokens.refused + requests.refused == refused
        assert tokens.offered is not None
        assert tokens.charged <= tokens.offered
        assert requests.offered is not None
        assert requests.charged <= requests.offered


@settings(max_examples=60)
@given(plays, steps, st.integers(0, 2**32))
def test_the_same_seed_plays_the_same(played: list[Behaviour], asked: Steps, seed: int) -> None:
    one, two = (Account(Limits(60_000, 600), 0, Scene(tuple(played), seed)) for _ in range(2))
    now_us = 0
    for elapsed_us, charge in asked:
        now_us += elapsed_us
        assert one.admit(charge, now_us) == two.admit(charge, now_us)
    assert one.tallies() == two.tallies()
