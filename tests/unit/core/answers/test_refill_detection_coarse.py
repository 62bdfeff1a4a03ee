"""Levels stated in tenths to hundredths of the limit, rounded down, and `reset` in whole seconds, rounded up."""

from random import Random

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from headrace.broker.core.answers.refill_detection import Refill
from tests.unit.core.answers.listening import CAPACITY, Listener

PARTS = (10, 20, 100)


def coarse(used: float, reset_ms: float, parts: int) -> tuple[int, int]:
    """Return what is stated of so much used, and of so long a time."""
    step = CAPACITY // parts
    return CAPACITY - int((CAPACITY - used) // step) * step, -int(-reset_ms // SECOND_MS) * SECOND_MS


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("period_ms", [10_000, 30_000, MINUTE_MS, HOUR_MS, DAY_MS])
@pytest.mark.parametrize("seed", range(8))
def test_a_bucket_stays_one_though_exact_figures_would_contradict_each_other(
    parts: int, period_ms: int, seed: int
) -> None:
    """Before: a bucket of a minute became a counter at some answer, and half of its quota was left unused."""
    chance, listener = Random(seed), Listener()
    beliefs = []
    for now_ms in range(0, 200_000, 400):
        used = chance.uniform(1, CAPACITY - CAPACITY / parts)
        beliefs.append(listener.hear(*coarse(used, used * period_ms / CAPACITY, parts), now_ms))
    known = {(pattern.refill, round(pattern.period_ms, -2)) for pattern in beliefs[40:] if pattern is not None}
    assert known == {(Refill.BUCKET, period_ms)}
    assert None not in beliefs[40:]


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("period_ms", [10_000, MINUTE_MS])
@pytest.mark.parametrize("seed", range(8))
def test_a_window_is_none_all_the_same(parts: int, period_ms: int, seed: int) -> None:
    """Calls come more or less evenly: what is used grows while a counter's `reset` falls."""
    chance, fixed, sliding = Random(seed), Listener(took_ms=2_000), Listener()
    kinds, used = set(), 0.0
    for now_ms in range(0, 240_000, 400):
        passed_ms = now_ms % period_ms
        used = used + CAPACITY * chance.uniform(0.4, 3) * 400 / period_ms if passed_ms >= 400 else 1.0
        used = min(0.89 * CAPACITY, used)
        for found in (
            fixed.hear(*coarse(used, period_ms - passed_ms, parts), now_ms),
            sliding.hear(*coarse(used, period_ms, parts), now_ms),
        ):
            kinds.add(found and found.refill)
    assert kinds == {None, Refill.FIXED, Refill.SLIDING}
