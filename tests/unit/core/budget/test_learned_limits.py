from headrace.broker.core.budget.learned_limits import LearnedLimits


def test_what_has_been_found_out_is_one_value() -> None:
    assert LearnedLimits(40, 7, None, 1_000_000) == LearnedLimits(
        admission_delay_ms=40, tolerated_burst_tokens=7, burst_ceiling_tokens=None, share_ppm=1_000_000
    )
