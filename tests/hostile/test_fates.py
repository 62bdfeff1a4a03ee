"""What is said of a hostile record by the outcomes and dead letters that came of it."""

import json
from collections import Counter
from random import Random

import pytest

from headrace.broker.service.calls.answer_body import is_of_the_api
from tests.hostile.fates import BROKEN_BATCH, Fates, Sown, fates
from tests.hostile.records import ANSWERED, DEAD_LETTER, FAILED, KINDS, specimen
from tests.hostile.sowing import Mix, Sowing, answered_anyway, is_hostile

PLACE, NAME = "chaos.requests.bulk/2/7", "hostile-3"


def of(fate: str, completed: int, failed: int, letters: int) -> Fates:
    """One record of that fate, and so many outcomes and dead letters."""
    told = None if fate == DEAD_LETTER else NAME
    outcomes = Counter({(NAME, "completed"): completed, (NAME, "failed"): failed}) if told else Counter()
    return fates({PLACE: Sown("odd", fate, told)}, +outcomes, +Counter({PLACE: letters}))


@pytest.mark.parametrize(
    ("fate", "came_to"),
    [(ANSWERED, (1, 0, 0)), (FAILED, (0, 1, 1)), (DEAD_LETTER, (0, 0, 1)), (BROKEN_BATCH, (1, 0, 1))],
)
def test_a_record_that_ends_as_its_kind_says_is_counted_by_its_fate(fate: str, came_to: tuple[int, int, int]) -> None:
    found = of(fate, *came_to)
    assert (found.kept, found.broken) == ({fate: 1}, [])


@pytest.mark.parametrize(
    ("fate", "came_to"),
    [
        (ANSWERED, (0, 0, 0)),
        (FAILED, (0, 0, 1)),
        (FAILED, (0, 1, 0)),
        (DEAD_LETTER, (0, 0, 0)),
        (BROKEN_BATCH, (0, 0, 1)),
    ],
)
def test_without_its_outcome_or_its_dead_letter_it_is_lost(fate: str, came_to: tuple[int, int, int]) -> None:
    found = of(fate, *came_to)
    assert len(found.lost) == len(found.broken) == 1


@pytest.mark.parametrize(
    ("fate", "came_to"), [(ANSWERED, (2, 0, 0)), (ANSWERED, (1, 1, 0)), (FAILED, (0, 2, 1)), (DEAD_LETTER, (0, 0, 2))]
)
def test_with_two_outcomes_or_two_dead_letters_it_is_doubled(fate: str, came_to: tuple[int, int, int]) -> None:
    found = of(fate, *came_to)
    assert len(found.doubled) == len(found.broken) == 1


@pytest.mark.parametrize(("fate", "came_to"), [(ANSWERED, (0, 1, 1)), (ANSWERED, (1, 0, 1)), (FAILED, (1, 0, 0))])
def test_another_end_than_that_of_its_kind_is_wrong(fate: str, came_to: tuple[int, int, int]) -> None:
    found = of(fate, *came_to)
    assert len(found.wrong) == len(found.broken) == 1


def test_an_outcome_whose_record_kafka_never_took_is_unknown() -> None:
    found = fates({}, Counter({(NAME, "completed"): 1}), Counter())
    assert found.broken == [NAME]


def test_a_seed_draws_the_same_records_for_the_same_places_and_ids_that_are_told_from_good_ones() -> None:
    one, other = Sowing(3, "chaos"), Sowing(3, "chaos")
    drawn = [one.next() for _ in range(300)]
    assert drawn == [other.next() for _ in range(300)]
    assert drawn != [Sowing(4, "chaos").next() for _ in range(300)]
    assert all(is_hostile(odd.id) for odd, _ in drawn if odd.id is not None)
    assert not is_hostile("plain-1")


def test_a_raw_batch_is_due_once_each_so_many_records() -> None:
    sowing = Sowing(1, "chaos", Mix(bombs=0, raw_every=3))
    due = []
    for _ in range(3):
        sowing.next()
        due.append(sowing.is_raw_due)
    assert due == [False, False, True]


@pytest.mark.parametrize("kind", [kind for kind, (fate, _) in KINDS.items() if fate == ANSWERED])
def test_what_the_server_says_to_a_record_that_is_to_be_answered_is_an_answer(kind: str) -> None:
    for number in range(20):
        value = specimen(Random(number), number, prefix="x", kinds=[kind]).value
        assert value is not None
        fields = json.loads(value)
        request = fields.get("data", fields)
        said = answered_anyway(request.get("body", {}), 0.0).body
        assert not isinstance(said, str)
        assert is_of_the_api(request.get("endpoint", "chat.completions"), said)
