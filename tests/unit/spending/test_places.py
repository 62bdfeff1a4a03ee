import random

from headrace.broker.spending.places import LargestNames, Places
from headrace.schemas.spending import OTHERS


def test_names_beyond_the_places_are_counted_together_and_stay_so() -> None:
    places = Places(4)
    assert [places.place(name) for name in "abcde"] == ["a", "b", "c", "d", OTHERS]
    assert [places.place(name) for name in "ea"] == [OTHERS, "a"]


def test_half_of_the_places_are_kept_for_the_largest_before_however_many_come_first() -> None:
    places = Places(4, kept=["x", "y", "z"])
    assert [places.place(name) for name in "abcxyz"] == ["a", "b", OTHERS, "x", "y", OTHERS]
    assert [places.is_kept(name) for name in ("x", "", "a", "z")] == [True, True, False, False]


def test_no_name_needs_no_place() -> None:
    assert Places(0).place("") == ""


def test_the_largest_are_found_among_many_that_come_once() -> None:
    """The bound: at most 20 of 30,000 names are held, and the three that have a tenth each are among the first."""
    rng, largest = random.Random(3), LargestNames(10)
    for number in range(30_000):
        largest.add(rng.choice(["x", "y", "z"]) if rng.random() < 0.3 else f"once-{number}", 1)
        assert len(largest._weights) <= 20
    assert set(largest.top(3)) == {"x", "y", "z"}


def test_what_was_large_long_ago_gives_way() -> None:
    largest = LargestNames(10)
    largest.add("old", 1_000)
    for _ in range(5):
        largest.halve()
    largest.add("new", 100)
    assert largest.top(2) == ["new", "old"]
    for _ in range(10):
        largest.halve()
    assert largest.top(2) == []
