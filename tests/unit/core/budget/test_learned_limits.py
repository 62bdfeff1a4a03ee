from broker.core.budget.learned_limits import LearnedLimits


def test_what_has_been_found_out_is_one_value() -> None:
    assert LearnedLimits(40, 7, None, 1_000_000) == LearnedLimits(
        way_ms=40, borne_tokens=7, ceiling_tokens=None, share_ppm=1_000_000
    )
