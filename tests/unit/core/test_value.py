import pytest

from headrace.broker.core.value import value


@value
class Place:
    """A value."""

    lane: str
    number: int = 0


def test_a_value_is_equal_to_its_like_and_hashed_with_it() -> None:
    assert Place("bulk") == Place("bulk", 0) != Place("bulk", 1)
    assert {Place("bulk"): 1}[Place("bulk", 0)] == 1


def test_a_value_has_its_fields_and_no_room_for_others() -> None:
    place = Place("bulk", 2)
    assert repr(place) == "Place(lane='bulk', number=2)"
    with pytest.raises(AttributeError):
        setattr(place, "room", 3)  # noqa: B010 — a plain assignment is what mypy refuses
