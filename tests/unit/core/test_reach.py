from broker.core.reach import out_of_reach
from tests.unit.core.specimens import candidate, ticket


def soonest(tokens: int) -> int:
    """Ten tokens a millisecond, and a hundred are there."""
    return max(0, tokens - 100) // 10


def test_who_comes_in_time_even_in_its_turn_is_not_told_off() -> None:
    line = [ticket(candidate(charge=charge, deadline_ms=at)) for charge, at in ((100, 1), (500, 51), (500, 1_000))]
    assert out_of_reach(line, soonest, lambda each: each.charge) == []


def test_whose_turn_cannot_come_before_its_deadline_is_told_off_and_those_after_it_are_judged_without_it() -> None:
    line = [
        ticket(candidate(charge=charge, deadline_ms=at)) for charge, at in ((600, 51), (600, 51), (10, 52), (9, 53))
    ]
    assert out_of_reach(line, soonest, lambda each: each.charge) == [line[1]]


def test_only_what_a_call_takes_at_least_is_certain() -> None:
    (only,) = line = [ticket(candidate(charge=600, deadline_ms=50))]
    assert out_of_reach(line, soonest, lambda each: each.charge) == [only]
    assert out_of_reach(line, soonest, lambda each: each.charge - 10) == []


def test_a_turn_that_comes_at_the_deadline_comes_too_late() -> None:
    (only,) = line = [ticket(candidate(charge=600, deadline_ms=50))]
    assert out_of_reach(line, lambda _: 50, lambda each: each.charge) == [only]
    assert out_of_reach(line, lambda _: 49, lambda each: each.charge) == []
