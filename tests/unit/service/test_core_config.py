from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, LimitMetric
from headrace.broker.service.core_config import budget_maker
from headrace.broker.settings.whole import Settings

GIVEN = {"tokens_per_minute": 1, "requests_per_minute": 2, "tokens_per_day": 3, "requests_per_day": 4}


def test_every_bucket_of_the_settings_is_in_the_budget() -> None:
    budget = budget_maker(Settings.model_validate({"limits": {"m": GIVEN}}))("m", 0, None)
    assert {(level.metric, level.period_ms): level.capacity for level in budget.levels(0)} == {
        (LimitMetric.TOKENS, MINUTE_MS): 1,
        (LimitMetric.REQUESTS, MINUTE_MS): 2,
        (LimitMetric.TOKENS, DAY_MS): 3,
        (LimitMetric.REQUESTS, DAY_MS): 4,
    }


def test_a_limit_that_nobody_configured_has_no_bucket_before_its_first_answer() -> None:
    assert budget_maker(Settings())("m", 0, None).levels(0) == ()


def test_a_limit_of_the_settings_is_named_and_an_invented_one_is_not() -> None:
    make = budget_maker(Settings.model_validate({"limits": {"m": {}}}))
    assert [make(name, 0, None).settings.named for name in ("m", "invented")] == [True, False]


def test_a_long_context_is_bounded_by_the_cap_of_the_limit_beside_it() -> None:
    bounds = {"cap_tokens_per_minute": 9_000, "inflight_max": 3, "tokens_per_minute": 60_000}
    budget = budget_maker(Settings.model_validate({"limits": {"m": bounds}}))("m:long-context", 0, None)
    assert (budget.settings.cap_tokens, budget.settings.inflight_max, budget.settings.tokens) == (9_000, 3, None)
    assert budget.cap is not None
