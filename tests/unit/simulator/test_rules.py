from headrace.broker.simulator.admission import DAY_US, MINUTE_US, SECOND_US, Metric, RefusedCost
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.catalogue import behaviour
from headrace.broker.simulator.behaviours.enforcement import ChargedRefusals, Kind
from headrace.broker.simulator.rules import Limits, Rule, refused_cost_of, rules_of, shared_limit_of

LIMITS = Limits(60_000, 600)


def tokens_ruled(*behaviours: Behaviour, limits: Limits = LIMITS) -> list[Rule]:
    return [rule for rule in rules_of(limits, behaviours) if rule.metric is Metric.TOKENS]


def test_without_behaviours_there_is_a_minute_of_each() -> None:
    assert rules_of(LIMITS, ()) == [
        Rule(Metric.TOKENS, 60_000, MINUTE_US, MINUTE_US),
        Rule(Metric.REQUESTS, 600, MINUTE_US, MINUTE_US),
    ]


def test_of_two_that_contradict_each_other_the_last_wins() -> None:
    assert tokens_ruled(behaviour("fixed-window"), behaviour("bucket-6s"))[0].kind is Kind.BUCKET
    assert tokens_ruled(behaviour("bucket-6s"), behaviour("fixed-window"))[0].period_us == MINUTE_US
    bounds = (behaviour("request-bound"), behaviour("request-bound", requests_per_minute=5))
    assert rules_of(LIMITS, bounds)[1].limit == 5
    costs = (ChargedRefusals(RefusedCost.ALL), ChargedRefusals(RefusedCost.REQUEST))
    assert refused_cost_of(LIMITS, costs) is RefusedCost.REQUEST


def test_what_is_hidden_is_shorter_than_what_is_shown() -> None:
    hidden = tokens_ruled(behaviour("hidden-bucket-6s"), behaviour("quantised-1s"))[1:]
    assert [(rule.kind, rule.window_us, rule.limit) for rule in hidden] == [
        (Kind.BUCKET, 6 * SECOND_US, 60_000),
        (Kind.FIXED, SECOND_US, 60_000),
    ]
    assert len(tokens_ruled(behaviour("bucket-1s"), behaviour("hidden-bucket-6s"))) == 1


def test_a_limit_of_a_short_period_is_never_nothing() -> None:
    assert rules_of(Limits(60_000, 3), (behaviour("bucket-1s"),))[1].limit == 1


def test_a_days_limit_does_not_change_with_the_minutes() -> None:
    daily = tokens_ruled(behaviour("tokens-per-day"))[1]
    assert daily.scaled(0.5).limit == daily.limit
    assert tokens_ruled()[0].scaled(0.5).limit == 30_000


def test_both_spellings_of_a_daily_limit_and_of_a_hidden_bucket_hold() -> None:
    limits = Limits(60_000, 600, requests_per_day=100, burst_us=SECOND_US)
    rules = rules_of(limits, (behaviour("requests-per-day", requests=50),))
    assert [rule.limit for rule in rules if rule.metric is Metric.REQUESTS] == [600, 100, 50, 600]


def test_the_first_shared_limit_that_fits_is_drawn_from() -> None:
    shared = (
        behaviour("shared-limit", limit_name="mini", models=["*-mini"]),
        behaviour("shared-limit", limit_name="all", models=["gpt-*"]),
    )
    named = {model: shared_limit_of(model, shared) for model in ("gpt-4o-mini", "gpt-4o", "o3")}
    assert {model: limit and limit.limit_name for model, limit in named.items()} == {
        "gpt-4o-mini": "mini",
        "gpt-4o": "all",
        "o3": None,
    }


def test_a_daily_limit_is_enforced_beside_windows_and_the_usual_limits_are_not() -> None:
    """Before: `--requests-per-day` beside `random:SEED` was accepted and not enforced."""
    limits = Limits(60_000, 600, requests_per_day=40)
    rules = rules_of(limits, (behaviour("window", seconds=6), behaviour("tokens-per-day", tokens=9_000)))
    assert [(rule.metric, rule.limit, rule.period_us) for rule in rules] == [
        (Metric.TOKENS, 6_000, MINUTE_US // 10),
        (Metric.REQUESTS, 40, DAY_US),
        (Metric.TOKENS, 9_000, DAY_US),
    ]
