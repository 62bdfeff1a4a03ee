from headrace.broker.core.units import unreserved_slots


def test_a_share_of_the_places_is_kept_and_one_may_always_be_taken() -> None:
    assert [unreserved_slots(count, 50_000) for count in (512, 20, 19, 1)] == [487, 19, 19, 1]
    assert [unreserved_slots(4, reserved_ppm) for reserved_ppm in (0, 500_000, 1_000_000)] == [4, 2, 1]
