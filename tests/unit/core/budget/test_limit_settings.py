from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.budget.limit_settings import LimitBeliefs


def test_a_day_is_told_for_each_metric_and_a_minute_holds_unless_another_period_is_named() -> None:
    told = LimitBeliefs("gpt", 60_000, 500, tokens_per_day=1_000_000, requests_per_day=2_000)
    assert [told.per_day(metric) for metric in (LimitMetric.TOKENS, LimitMetric.REQUESTS)] == [1_000_000, 2_000]
    assert told.period_ms == MINUTE_MS
    assert LimitBeliefs("gpt", 60_000, 500).per_day(LimitMetric.TOKENS) is None
