from dataclasses import replace

from headrace.broker.core.bounds import DURATIONS_RANKED_EVERY, DURATIONS_REMEMBERED, TIERS_TIMED_MAX
from headrace.broker.core.lanes.durations import Durations, DurationsByTier
from headrace.broker.core.ticket import Ticket
from tests.unit.core.specimens import candidate, ticket


def wanted(deadline_ms: int, taken_ms: int = 0) -> Ticket:
    made = ticket(candidate(deadline_ms=deadline_ms))
    made.taken_ms = taken_ms
    return made


def known(*durations_ms: int) -> Durations:
    made = Durations()
    for each in durations_ms:
        made.add(each)
    return made


def test_the_longest_of_a_few_and_all_but_one_in_sixty_four_of_many_is_long() -> None:
    assert known().long_ms == 0
    assert known(7).long_ms == 7
    assert known(7, 900, 8, 6).long_ms == 900
    usual = [500] * DURATIONS_REMEMBERED
    assert known(*usual, *[60_000] * 4, *[500] * 28).long_ms == 500, "four of 256 may hang"
    assert known(*usual, *[60_000] * 5, *[500] * 27).long_ms == 60_000
    assert known(*[60_000] * 5, *usual, *[500] * 27).long_ms == 500, "they are forgotten"


def test_the_first_few_are_ranked_one_by_one_and_later_ones_by_the_handful() -> None:
    made = known(*[100] * DURATIONS_RANKED_EVERY)
    seen = []
    for _ in range(DURATIONS_RANKED_EVERY):
        made.add(900)
        seen.append(made.long_ms)
    assert seen == [100] * (DURATIONS_RANKED_EVERY - 2) + [900] * 2


def test_who_has_no_time_for_a_long_call_is_late() -> None:
    assert known(400).late_at(wanted(10_000)) == 9_600
    assert known().late_at(wanted(10_000)) == 10_000, "while nothing is known nobody is"


def test_who_never_had_more_time_than_a_long_call_is_not_late_before_a_quarter_of_it() -> None:
    assert known(4_000).late_at(wanted(10_000, taken_ms=7_000)) == 7_750


def test_near_is_the_last_tenth_of_the_time_or_a_long_call_before_late() -> None:
    assert known(400).near_at(wanted(100_000)) == 90_000
    assert known(400).near_at(wanted(5_000)) == 4_200
    assert known(4_000).near_at(wanted(5_000, taken_ms=1_000)) == 1_000


def of_tier(tier: str, deadline_ms: int) -> Ticket:
    return ticket(replace(candidate(deadline_ms=deadline_ms), tier=tier))


def test_a_slow_tier_makes_no_request_of_another_late() -> None:
    durations = DurationsByTier()
    durations.add("flex", 600_000)
    durations.add("", 1_000)
    assert durations.late_at(of_tier("", 3_600_000)) == 3_599_000
    assert durations.late_at(of_tier("flex", 3_600_000)) == 3_000_000
    assert durations.near_at(of_tier("", 3_600_000)) == 3_600_000 - 360_000
    assert durations.near_at(of_tier("flex", 3_600_000)) == 3_600_000 - 1_200_000
    assert durations.of("scale").long_ms == 0, "no call of it was answered"


def test_tiers_beyond_a_few_share_their_durations_and_those_without_a_name_never_do() -> None:
    durations = DurationsByTier()
    for number in range(TIERS_TIMED_MAX):
        durations.late_at(of_tier(f"asked-{number}", 1_000))  # a request that waits takes no place
        for _ in range(2):
            durations.add(f"t{number}", 100)
    durations.add("one too many", 700)
    durations.add("", 50)
    assert [durations.of(tier).long_ms for tier in ("t0", "one too many", "another", "")] == [100, 700, 700, 50]


def test_names_that_a_producer_invents_take_no_place_from_a_tier_that_is_used() -> None:
    durations = DurationsByTier()
    for number in range(TIERS_TIMED_MAX):
        durations.add(f"invented-{number}", 100)
    durations.add("flex", 600_000)
    assert durations.of("flex").long_ms == 600_000
    assert durations.of("default").long_ms == 0
