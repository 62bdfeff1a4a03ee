"""Copies that are awaited: what of them a leader still knows when their deadline has passed."""

import random
import tracemalloc

import pytest

from headrace.broker.core.bounds import OVERDUE_AFTER_MS, OVERDUE_MAX
from headrace.broker.core.identity.outcome_index import (
    RENEWALS_MAX,
    REWRITES_MAX,
    Awaited,
    Fate,
    Identity,
    KnownFate,
    OutcomeIndex,
    Overdue,
)
from tests.unit.core.fating import WINDOW, fates, identity

DEADLINE_S = 200


def awaited(
    number: int,
    *,
    run: int = 0,
    deadline_s: int = DEADLINE_S,
    name: str = "x",
    overdue: bool = False,
    tenant_mark: bytes = b"",
) -> Awaited:
    return Awaited(identity(number, run), deadline_s, name, overdue, tenant_mark)


def overdue_at(deadline_s: int) -> int:
    return deadline_s * 1_000 + OVERDUE_AFTER_MS


def test_what_is_told_of_a_copy_is_known_until_its_request_is_answered() -> None:
    index = fates()
    index.record(identity(1), 3, Fate.PARKED, 0)
    index.record_awaited(awaited(1))
    assert index.awaited(identity(1).id_hash) == awaited(1)
    assert index.overdue(overdue_at(DEADLINE_S) - 1) == []
    assert index.overdue(overdue_at(DEADLINE_S)) == [Overdue(identity(1), 3, DEADLINE_S, "x")]
    index.record(identity(1), 4, Fate.COMPLETED, 0)
    index.record_awaited(awaited(1))
    assert index.awaited(identity(1).id_hash) is None
    assert index.overdue(overdue_at(DEADLINE_S)) == []


def test_what_is_told_of_another_run_is_old_news() -> None:
    index = fates()
    index.record(identity(1), 1, Fate.PARKED, 0)
    index.record_awaited(awaited(1))
    index.record(identity(1, run=1), 0, Fate.PARKED, 5_000)
    index.record_awaited(awaited(1))
    told = index.awaited(identity(1).id_hash)
    assert told is not None
    assert (told.identity, told.name) == (identity(1, run=1), "")
    assert index.overdue(overdue_at(DEADLINE_S)) == []


def test_a_line_that_tells_nothing_of_a_copy_takes_nothing_away() -> None:
    index = fates()
    index.record(identity(1), 1, Fate.PARKED, 0)
    index.record_awaited(awaited(1))
    index.record(identity(1), 1, Fate.PARKED, 40_000)  # the release before says it again
    index.record_awaited(awaited(1, name=""))
    assert index.awaited(identity(1).id_hash) == awaited(1)
    index.record(identity(1), 1, Fate.WITHDRAWN, 40_000)
    index.record_awaited(awaited(1, overdue=True))
    index.record_awaited(awaited(1))  # read once more, from further back
    assert index.awaited(identity(1).id_hash) == awaited(1, overdue=True)


def test_the_later_of_two_deadlines_that_were_told_counts() -> None:
    index = fates()
    index.record(identity(1), 1, Fate.PARKED, 0)
    for deadline_s in (DEADLINE_S, DEADLINE_S + 50, DEADLINE_S):
        index.record_awaited(awaited(1, deadline_s=deadline_s))
    assert index.overdue(overdue_at(DEADLINE_S + 50) - 1) == []
    assert index.overdue(overdue_at(DEADLINE_S + 50)) == [Overdue(identity(1), 1, DEADLINE_S + 50, "x")]
    assert len(index.overdue(overdue_at(DEADLINE_S + 50))) == 1


def test_without_a_word_the_longest_deadline_after_the_parking_counts_and_nothing_can_be_failed() -> None:
    index = OutcomeIndex(window_ms=WINDOW, ids_max=10, patience_ms=1_000_000, copy_within_ms=500_000)
    index.record(identity(1), 1, Fate.PARKED, 7_000_000)
    assert index.awaited(identity(1).id_hash) == Awaited(identity(1), 8_000, "", overdue=False)
    assert index.overdue(overdue_at(10_000)) == []


def test_the_earliest_deadline_comes_first_and_none_twice() -> None:
    index = fates()
    for number in (3, 1, 2):
        index.record(identity(number), 1, Fate.PARKED, 0)
        index.record_awaited(awaited(number, deadline_s=DEADLINE_S + number, name=str(number)))
        index.record_awaited(awaited(number, deadline_s=DEADLINE_S + number, name=str(number), overdue=True))
    for _ in range(2):
        found = index.overdue(overdue_at(DEADLINE_S + 10))
        assert [each.name for each in found] == ["1", "2", "3"]


def test_more_than_two_batches_are_never_looked_at_in_one_go() -> None:
    index = fates()
    for number in range(2 * OVERDUE_MAX + 5):
        index.record(identity(number), 1, Fate.PARKED, 0)
        index.record_awaited(awaited(number))
    assert len(index.overdue(overdue_at(DEADLINE_S))) == 2 * OVERDUE_MAX


def test_deadlines_of_what_is_answered_are_swept() -> None:
    index = fates(ids_max=10_000)
    for number in range(3_000):
        index.record(identity(number), 1, Fate.PARKED, 0)
        index.record_awaited(awaited(number))
        if number:
            index.record(identity(number), 2, Fate.COMPLETED, 0)
    assert len(index._due) <= 1_002
    assert index.overdue(overdue_at(DEADLINE_S)) == [Overdue(identity(0), 1, DEADLINE_S, "x")]


def test_what_is_swept_leaves_the_earliest_deadline_first_and_names_nothing_without_an_id() -> None:
    index = fates(ids_max=10_000)
    for number, name in ((1, "late"), (2, "early"), (3, "")):
        index.record(identity(number), 1, Fate.PARKED, 0)
        index.record_awaited(awaited(number, deadline_s=DEADLINE_S + 2_000 * (number == 1), name=name))
    more = before = 0
    while before < len(index._due):  # until it is swept
        more, before = more + 1, len(index._due)
        index.record_awaited(awaited(2, deadline_s=DEADLINE_S + more, name="early"))
    assert [each.name for each in index.overdue(overdue_at(DEADLINE_S + more))] == ["early"]
    assert {each.name for each in index.overdue(overdue_at(10_000_000))} == {"early", "late"}


def test_what_was_withdrawn_is_failed_no_more() -> None:
    index = fates()
    index.record(identity(1), 1, Fate.PARKED, 0)
    index.record_awaited(awaited(1))
    index.record(identity(1), 1, Fate.WITHDRAWN, 0)
    assert index.awaited(identity(1).id_hash) == awaited(1), "its copy is on its way still"
    assert index.overdue(overdue_at(DEADLINE_S)) == []


@pytest.mark.parametrize(
    ("fate", "name", "is_kept"),
    [(Fate.PARKED, "x", True), (Fate.PARKED, "", False), (Fate.WITHDRAWN, "x", False), (Fate.WITHDRAWN, "", False)],
)
def test_what_can_have_no_copy_any_more_is_forgotten_instead_of_renewed(fate: Fate, name: str, is_kept: bool) -> None:  # noqa: FBT001 (a drawn value)
    index = OutcomeIndex(window_ms=WINDOW, ids_max=10, copy_within_ms=500_000)
    index.record(identity(1), 1, fate, 0)
    index.record_awaited(awaited(1, name=name))
    just_before_ms = (DEADLINE_S + 500) * 1_000 - 1_000
    assert len(index.renewals(just_before_ms)) == 1
    index.record(identity(1), 1, fate, just_before_ms - WINDOW // 2)
    assert len(index.renewals(just_before_ms + 1_000)) == is_kept
    assert (identity(1).id_hash in index, index.kept) == (is_kept, is_kept)


def test_deadlines_beyond_what_can_be_written_are_kept_as_the_furthest() -> None:
    index = fates()
    index.record(identity(1), 1, Fate.PARKED, 0)
    index.record_awaited(awaited(1, deadline_s=1 << 60))
    told = index.awaited(identity(1).id_hash)
    assert told is not None
    assert told.deadline_s == (1 << 40) - 1


def test_a_tenant_that_was_told_once_is_known_whatever_later_lines_leave_out() -> None:
    index = fates()
    index.record(identity(1), 3, Fate.PARKED, 0)
    index.record_awaited(awaited(1, tenant_mark=b"acme...."))
    index.record_awaited(awaited(1, deadline_s=DEADLINE_S + 1, overdue=True))
    told = index.awaited(identity(1).id_hash)
    assert told == awaited(1, deadline_s=DEADLINE_S + 1, overdue=True, tenant_mark=b"acme....")


@pytest.mark.slow
def test_a_parked_id_takes_a_few_hundred_bytes_with_its_deadline_and_name() -> None:
    # With ids of 36 characters, where both dicts have just grown and waste the most room. Measured: 341.
    chance, index, count = random.Random(1), fates(ids_max=200_000), 10_923
    tracemalloc.start(1)
    for number in range(count):
        fresh = Identity(chance.randbytes(16), 0, b"contents")
        index.record(fresh, 1, Fate.PARKED, 1_760_000_000_000 + number)
        index.record_awaited(Awaited(fresh, 1_760_000_600 + number, f"{number:036}", tenant_mark=b"m" * 8))
    bytes_each = tracemalloc.get_traced_memory()[0] / count
    tracemalloc.stop()
    assert bytes_each <= 400


def told(index: OutcomeIndex, now_ms: int) -> list[int]:
    """What is to be recorded again now, by number; it is, at that moment."""
    found = index.renewals(now_ms)
    for each, attempt, fate in found:
        index.record(each, attempt, fate, now_ms)
    return [int.from_bytes(each.id_hash, "big") for each, _, _ in found]


def test_where_the_ledger_is_gone_everything_is_recorded_again_what_is_parked_first() -> None:
    index = fates()
    for number in range(6):
        index.record(identity(number), 2, Fate.PARKED if number == 4 else Fate.COMPLETED, number * 1_000)
    assert told(index, 5_500) == []
    index.rewrite_all(5_500)
    assert index.unwritten
    assert index.renewals(5_600) == index.renewals(5_700), "until they are recorded"
    assert told(index, 5_800) == [4, 0, 1, 2, 3, 5]
    assert told(index, 5_900) == []
    assert not index.unwritten
    assert index.find(identity(0).id_hash) == KnownFate(Fate.COMPLETED, 0, 2, b"contents", 6)


def test_what_was_recorded_since_or_is_forgotten_is_not_told_again() -> None:
    index = fates()
    for number in range(4):
        index.record(identity(number), 0, Fate.COMPLETED, 5_000)
    index.rewrite_all(9_001)
    index.record(identity(0), 0, Fate.COMPLETED, 10_000)
    index.record(identity(2), 0, Fate.COMPLETED, 10_000)
    assert told(index, 10_000) == [1, 3]
    index.rewrite_all(11_000)
    index.expire(5_000 + 2 * WINDOW)
    assert told(index, 5_000 + 2 * WINDOW) == []


def test_an_answer_of_the_very_second_is_told_again_too() -> None:
    index = fates()
    index.record(identity(1), 0, Fate.COMPLETED, 3_000)
    index.record(identity(2), 0, Fate.COMPLETED, 8_999)
    index.record(identity(3), 0, Fate.COMPLETED, 9_700)  # by Kafka's clock, which is ahead
    index.rewrite_all(8_999)
    assert told(index, 9_000) == [1, 2, 3]


@pytest.mark.parametrize(("now_ms", "young_s"), [(8_999, 8), (9_000, 8), (9_001, 9)])
def test_to_be_told_again_makes_older_only_what_is_as_young_as_that_instant(now_ms: int, young_s: int) -> None:
    index = fates()
    times_ms = [(1, 3_000), (2, 3_000), (3, 9_700), (4, 9_700)]
    for number, at_ms in times_ms:
        index.record(identity(number), 1, Fate.PARKED if number % 2 else Fate.COMPLETED, at_ms)
    index.rewrite_all(now_ms)
    known = [index.find(identity(number).id_hash) for number, _ in times_ms]
    assert [each and each.at_s for each in known] == [3, 3, young_s, young_s]
    assert told(index, now_ms) == [1, 3, 2, 4]


def test_what_is_recorded_again_comes_in_bounded_batches() -> None:
    index = fates(ids_max=3 * REWRITES_MAX)
    for number in range(REWRITES_MAX + 3):
        index.record(identity(number), 0, Fate.COMPLETED, 1_000)
    index.rewrite_all(5_000)
    assert [len(told(index, now_ms)) for now_ms in (5_100, 5_200, 5_300)] == [REWRITES_MAX, 3, 0]


def test_of_copies_on_their_way_no_more_are_told_again_at_once_than_are_renewed() -> None:
    """A line says deadline and name of each: 4,000 of them would not fit the topic, and be refused each time."""
    index = fates(ids_max=3 * REWRITES_MAX)
    for number in range(RENEWALS_MAX + 3):
        index.record(identity(number), 1, Fate.PARKED, 1_000)
    for number in range(REWRITES_MAX):
        index.record(identity(RENEWALS_MAX + 3 + number), 0, Fate.COMPLETED, 1_000)
    index.rewrite_all(5_000)
    batches = [told(index, now_ms) for now_ms in (5_100, 5_200, 5_300)]
    weight = REWRITES_MAX // RENEWALS_MAX
    assert [len(batch) for batch in batches] == [RENEWALS_MAX, 3 + REWRITES_MAX - 3 * weight, 3 * weight]
