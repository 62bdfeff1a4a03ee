"""The omniscient scheduler of deadlines, on cases that can be judged by hand or by trying every set."""

import ast
from itertools import combinations, permutations
from pathlib import Path
from random import Random

from benchmarks.lanes import omniscient as module
from benchmarks.lanes.omniscient import CELL_MS, Wanted, met

PER_MINUTE = 60_000  # one a millisecond
PER_CELL = CELL_MS


def wanted(number: int, tokens: int, deadline_ms: int, *, at_ms: int = 0, call_ms: float = 0.0) -> Wanted:
    return Wanted(number, at_ms, tokens, call_ms, deadline_ms)


def test_all_that_a_full_bucket_holds_start_at_once_and_the_rest_as_it_refills() -> None:
    lane = [wanted(number, 100, 10_000) for number in range(3)]
    assert met([lane], 200, PER_MINUTE) == {0: 0, 1: 0, 2: 100}


def test_who_cannot_end_in_time_is_not_started() -> None:
    assert met([[wanted(0, 10, 1_000, call_ms=1_000.5)]], 100, PER_MINUTE) == {}
    assert met([[wanted(0, 10, 1_000, call_ms=1_000)]], 100, PER_MINUTE) == {0: 0}


def test_nobody_starts_before_it_comes() -> None:
    assert met([[wanted(0, 10, 1_000, at_ms=305)]], 100, PER_MINUTE) == {0: 300}


def test_who_must_start_earliest_goes_first() -> None:
    lane = [wanted(0, 100, 5_000), wanted(1, 100, 4_500), wanted(2, 100, 4_800, call_ms=1_000)]
    assert sorted(met([lane], 100, PER_MINUTE).items(), key=lambda each: each[1]) == [(2, 0), (1, 100), (0, 200)]


def test_a_lane_spends_only_what_leaves_those_above_in_time_also_those_that_are_yet_to_come() -> None:
    above = [wanted(0, 100, 500, at_ms=500)]
    assert met([above, [wanted(1, 100, 500)]], 100, PER_MINUTE) == {0: 500, 1: 0}, "it is full again by then"
    assert met([above, [wanted(1, 100, 499, at_ms=410)]], 100, PER_MINUTE) == {0: 500}
    assert met([above, [wanted(1, 100, 499, at_ms=390)]], 100, PER_MINUTE) == {0: 500, 1: 390}


def test_who_chooses_gives_up_the_largest_that_is_in_the_way() -> None:
    lane = [wanted(0, 1_000, 10), wanted(1, 500, 400), wanted(2, 500, 410)]
    assert met([lane], 1_000, PER_MINUTE) == {0: 0}
    assert met([lane], 1_000, PER_MINUTE, choosing=True) == {1: 0, 2: 0}


def feasible(chosen: tuple[Wanted, ...], capacity: int) -> bool:
    """Whether some order of starts, each as early as can be, is in time for all."""
    for order in permutations(chosen):
        cell, level = 0, float(capacity)
        for each in order:
            while cell < each.comes or level < each.tokens:
                cell, level = cell + 1, min(capacity, level + PER_CELL)
            if cell > each.latest:
                break
            level -= each.tokens
        else:
            return True
    return False


def test_of_those_that_all_wait_from_the_start_who_chooses_meets_as_many_as_can_be() -> None:
    chance = Random(5)
    for _ in range(60):
        lane = [wanted(number, chance.randint(20, 150), chance.randint(5, 50) * CELL_MS) for number in range(5)]
        most = max(size for size in range(6) if any(feasible(chosen, 150) for chosen in combinations(lane, size)))
        found = met([lane], 150, PER_MINUTE, choosing=True)
        assert feasible(tuple(each for each in lane if each.number in found), 150)
        assert len(found) == most, lane


def test_it_imports_nothing_of_what_it_judges() -> None:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imported = {each.module for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)}
    assert imported == {"collections.abc", "heapq", "itertools", "typing"}
