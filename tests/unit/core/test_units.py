from broker.core.units import places


def test_a_share_of_the_places_is_kept_and_one_may_always_be_taken() -> None:
    assert [places(count, 50_000) for count in (512, 20, 19, 1)] == [487, 19, 19, 1]
    assert [places(4, keep_ppm) for keep_ppm in (0, 500_000, 1_000_000)] == [4, 2, 1]
