from dataclasses import replace

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.budget.checkpoint import Checkpoint
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.units import PPM

KEY = LevelBounds(LimitMetric.TOKENS, 60_000, 60_000, 60_000, MINUTE_MS)


def test_a_checkpoint_ages_without_credit_for_one_period_which_another_term_may_have_spent() -> None:
    left = Checkpoint("m", 0, (replace(KEY, low=-1_000, high=10_000),), 600, 90_000, PPM)
    young, old, ancient = (left.aged(at) for at in (50_000, 70_000, 1_000_000))
    assert (young.levels[0].low, young.charged_last_minute, young.pause_ms, young.at_ms) == (
        -1_000,
        600,
        40_000,
        50_000,
    )
    assert (old.levels[0].low, old.levels[0].high) == (9_000, 20_000)
    assert (old.charged_last_minute, old.pause_ms) == (0, 20_000)
    assert (ancient.levels[0], ancient.pause_ms) == (KEY, 0)
    assert left.aged(-5) == replace(left, at_ms=-5)


def test_a_day_refills_while_nobody_leads_all_but_a_minute() -> None:
    left = Checkpoint("m", 0, (LevelBounds(LimitMetric.TOKENS, 0, 0, 86_400, DAY_MS),), 0, 0, PPM)
    assert [left.aged(at_ms).levels[0].low for at_ms in (MINUTE_MS, 2 * MINUTE_MS, DAY_MS)] == [0, 60, 86_340]
