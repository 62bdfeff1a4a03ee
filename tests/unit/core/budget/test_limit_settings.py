from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.budget.limit_settings import LimitBeliefs


def test_a_day_is_told_for_each_metric_and_a_minute_holds_unless_another_period_is_named() -> None:
    told = LimitBeliefs("gpt", 60_000, 500, tokens_per_day=1_000_000, requests_per_day=2_000)
    assert [told.per_day(metric) for metric in (LimitMetric.TOKENS, LimitMetric.REQUESTS)] == [1_000_000, 2_000]
    assert told.period_ms == MINUTE_MS
    assert LimitBeliefs("gpt", 60_000, 500).per_day(LimitMetric.TOKENS) is None


def test_a_bucket_is_the_operators_if_it_has_the_size_of_one_of_the_same_metric() -> None:
    told = LimitBeliefs("gpt", 60_000, 500, tokens_per_day=1_000_000)
    assert told.states(LimitMetric.TOKENS, 60_000)
    assert told.states(LimitMetric.TOKENS, 1_000_000)
    assert told.states(LimitMetric.REQUESTS, 500)
    assert not told.states(LimitMetric.REQUESTS, 60_000)
    assert not told.states(LimitMetric.TOKENS, 500)
