"""A gauge for each bucket of a limit, which ends with it, and the name of the bucket that refused."""

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.service.metrics.limit_levels import LimitLevels, refusing_bucket
from tests.unit.core.budget.test_side_limits import names
from tests.unit.core.budgets import failure, full, refusal

INPUT = LevelBounds(LimitMetric.TOKENS, 0, 0, 6_000, 10_000, kind="input-tokens")


def shown(meter: Meter, name: str) -> dict[str, float]:
    """The figure of each bucket, by its label."""
    samples = next(family for family in meter._registry.collect() if family.name == f"headrace_{name}").samples
    return {sample.labels["limit"]: sample.value for sample in samples}


def capacities(meter: Meter) -> dict[str, float]:
    return shown(meter, "limit_capacity")


def test_buckets_of_every_kind_are_shown_and_withdrawn_with_what_they_show() -> None:
    meter, budget = Meter(), full()
    levels = LimitLevels(meter)
    levels.observe("m", budget, 0)
    assert capacities(meter) == {"tokens/60s": 60_000}
    budget.sides.inherit((INPUT,), 0)
    budget._buckets.drop_unshown(60_000, MINUTE_MS)
    levels.observe("m", budget, 0)
    assert capacities(meter) == {"input-tokens/10s": 6_000}
    levels.forget("m")
    levels.observe("m", full(), 0)
    assert capacities(meter)["tokens/60s"] == 60_000


def test_only_a_bucket_of_tokens_has_a_utilisation_which_is_told_in_tokens() -> None:
    meter, budget = Meter(), full()
    budget.sides.inherit((INPUT,), 0)
    budget.reserve(1, 6_000, 0)
    LimitLevels(meter).observe("m", budget, 0)
    assert shown(meter, "utilisation_ratio") == {"tokens/60s": 0.1}


def test_nothing_is_remembered_of_a_limit_that_is_forgotten() -> None:
    """Otherwise each model name that a producer invents would stay in memory."""
    levels = LimitLevels(Meter())
    levels.observe("m", full(), 0)
    levels.forget("m")
    assert not levels._shown
    levels.forget("never known")


def test_the_bucket_that_refused_is_named_as_it_is_shown() -> None:
    assert refusing_bucket(refusal(used=60_000, requested=5)) == "tokens/60s"
    assert refusing_bucket(names("input-tokens", used=6_000, requested=5, per="10 sec")) == "input-tokens/10s"
    assert refusing_bucket(failure(429)) == "unstated"
