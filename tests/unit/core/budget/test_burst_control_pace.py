"""The pace of the burst control while the buckets hold far more than may be spent at once."""

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, MINUTE_MS
from headrace.broker.core.budget.burst_control import (
    HASTENED_AGAIN_MS,
    HASTENED_AGAIN_TIMES,
    HASTENED_EVERY_MS,
    HASTENED_MAX_PPM,
    RISE_AFTER_MS,
    BurstControl,
)
from headrace.broker.core.units import PPM
from tests.unit.core.spreads import refused_deep, spread

STEP = HASTENED_EVERY_MS
CALLS = 400


def pace_ppm(known: BurstControl, now_ms: int) -> int:
    """Return how fast it spends, as a part of the rate: 60,000 tokens a minute."""
    sent_ms = now_ms
    for _ in range(CALLS):
        sent_ms = known.payable_at(1_000, sent_ms)
        known.pay(1_000, sent_ms)
    return CALLS * 1_000 * PPM // (sent_ms - now_ms)


def hastened(steps: int) -> BurstControl:
    known = refused_deep()
    for step in range(1, steps + 1):
        known.hasten(step * STEP)
    return known


def test_the_pace_rises_by_an_eighth_at_each_step() -> None:
    for steps, pace in ((0, 1.0), (1, 1.125), (2, 1.266), (6, 2.027)):
        assert abs(pace_ppm(hastened(steps), 100_000) / PPM - pace) < 0.06


def test_it_rises_once_in_a_while_however_often_it_is_asked() -> None:
    known = refused_deep()
    for at_ms in range(STEP + 1):
        known.hasten(at_ms)
    assert abs(pace_ppm(known, 100_000) / PPM - 1.125) < 0.06


def test_it_has_a_bound() -> None:
    assert pace_ppm(hastened(1_000), 10_000_000) <= HASTENED_MAX_PPM * 11 // 10


def long_refused() -> BurstControl:
    """Return the control of a day's tokens, of which a deep burst was refused."""
    known = BurstControl(1_440_000, DAY_MS, 0)
    burst = known.pay(100_000, 0)
    known.record_refusal(burst, 1_000, 0, 10)
    assert known.ceiling is not None
    assert known.share_ppm == PPM
    return known


def test_the_pace_of_a_day_doubles_at_each_step_up_to_one_that_spends_it_in_seconds() -> None:
    """Before: sixteen times the rate of the day at most; 11 % of a hidden minute were used, now all (seed 92466)."""
    known = long_refused()
    for step in range(1, 30):
        known.hasten(10 + step * STEP)
        assert known._faster_ppm == min(PPM << step, HASTENED_MAX_PPM * DAY_MS // MINUTE_MS)


def test_once_a_call_is_refused_at_a_higher_pace_that_of_a_day_rises_by_an_eighth_too() -> None:
    known = long_refused()
    for step in range(1, 6):
        known.hasten(10 + step * STEP)
    now_ms = 6 * STEP
    known.record_refusal(known.pay(10, now_ms), 10, now_ms, now_ms + 10)
    slower = known._faster_ppm
    assert slower == 32 * PPM * 8 // 9
    known.hasten(now_ms + 10 + HASTENED_AGAIN_MS)
    assert known._faster_ppm == slower + slower // 8


def test_it_does_not_rise_where_no_burst_was_refused_or_the_rate_itself_is_too_high() -> None:
    unknown = spread()
    unknown.hasten(STEP)
    assert unknown._faster_ppm == PPM
    slow = refused_deep()
    slow.record_refusal(1_000, 1_000, 0, 0)
    assert slow.share_ppm < PPM
    slow.hasten(STEP)
    assert slow._faster_ppm == PPM


def test_a_refusal_returns_to_the_pace_before_for_a_minute_and_costs_nothing_else() -> None:
    known = hastened(6)
    ceiling, share_ppm, at_ms = known.ceiling, known.share_ppm, 7 * STEP
    for number in range(5):
        known.record_refusal(5_000, 1_000, at_ms - 50 + number, at_ms + number)  # one wave
    assert (known.ceiling, known.share_ppm) == (ceiling, share_ppm)
    for step in range(8, 7 + HASTENED_AGAIN_MS // STEP):
        known.hasten(step * STEP)
    assert abs(pace_ppm(known, 1_000_000) / PPM - 2.027 * 8 / 9) < 0.06


def test_refusals_that_go_on_return_it_to_the_rate_and_count_like_others_then() -> None:
    known = hastened(1)
    at_ms = 2 * STEP
    known.record_refusal(1_000, 1_000, at_ms, at_ms + 50)
    assert (known.share_ppm, known._faster_ppm) == (PPM, PPM)
    known.record_refusal(1_000, 1_000, at_ms + 60, at_ms + 99)
    assert known.share_ppm == 970_000


def test_after_a_long_time_it_may_rise_again() -> None:
    known = hastened(3)
    known.record_refusal(5_000, 1_000, 3 * STEP, 3 * STEP + 50)
    at_ms = 3 * STEP + 50 + RISE_AFTER_MS
    known.payable_at(1, at_ms)
    for step in range(1, 4):
        known.hasten(at_ms + step * STEP)
    assert known._faster_ppm > hastened(4)._faster_ppm * 9 // 10


def refused_again_ms(known: BurstControl, at_ms: int) -> int:
    """Hasten it until it is faster, refuse a call at once, and return how long that took."""
    begun_ms, before = at_ms, known._faster_ppm
    while known._faster_ppm == before:
        at_ms += STEP
        known.hasten(at_ms)
    known.record_refusal(5_000, 1_000, at_ms, at_ms)
    assert known._faster_ppm == before
    return at_ms - begun_ms


def test_the_pace_is_tried_again_ever_more_rarely() -> None:
    """Before: not for ten minutes, and a full bucket behind a front that drops bursts stayed full (seed 90277)."""
    known = hastened(1)
    known.record_refusal(5_000, 1_000, STEP, STEP)
    at_ms, waits = STEP, []
    for _ in range(4):
        waits.append(refused_again_ms(known, at_ms))
        at_ms += waits[-1]
    times = HASTENED_AGAIN_TIMES
    assert waits == [
        HASTENED_AGAIN_MS,
        HASTENED_AGAIN_MS * times,
        RISE_AFTER_MS,
        RISE_AFTER_MS,
    ]
