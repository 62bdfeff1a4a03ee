import random
import tracemalloc

import pytest

from broker.core.bounds import OVERDUE_AFTER_MS, OVERDUE_MAX
from broker.core.fates import RENEWALS_MAX, RETOLD_MAX, RUN_MAX, STRIDES, Awaited, Fate, Fates, Identity, Known, Overdue

WINDOW = 64_000  # a stride is one second


def identity(number: int, run: int = 0) -> Identity:
    return Identity(number.to_bytes(16, "big"), run, b"contents")


def fates(ids_max: int = 1_000) -> Fates:
    return Fates(window_ms=WINDOW, ids_max=ids_max)


def numbers(index: Fates) -> list[int]:
    return [number for number in range(2_000) if number.to_bytes(16, "big") in index]


@pytest.mark.parametrize("fate", Fate)
def test_every_field_comes_back_at_its_largest_and_smallest(fate: Fate) -> None:
    index = fates()
    largest = Identity(b"\xff" * 16, RUN_MAX, b"\xff" * 8)
    smallest = Identity(b"\x00" * 16, 0, b"\x00" * 8)
    index.record(largest, 255, fate, 4_000_000_000_000)
    index.record(smallest, 0, fate, 0)
    assert index.find(largest.id_hash) == Known(fate, RUN_MAX, 255, b"\xff" * 8, 4_000_000_000)
    assert index.find(smallest.id_hash) == Known(fate, 0, 0, b"\x00" * 8, 0)
    assert index.find(b"x" * 16) is None


def test_an_attempt_above_what_the_ledger_can_write_is_kept_as_the_highest() -> None:
    index = fates()
    index.record(identity(1), 256, Fate.PARKED, 0)
    assert index.find(identity(1).id_hash) == Known(Fate.PARKED, 0, 255, b"contents", 0)


@pytest.mark.parametrize(
    ("id_hash", "run", "fingerprint"),
    [
        (b"short", 0, b"8 bytes."),
        (b"i" * 16, 0, b"short"),
        (b"i" * 16, -1, b"8 bytes."),
        (b"i" * 16, 65_536, b"8 bytes."),
    ],
)
def test_an_identity_that_the_ledger_cannot_write_is_a_mistake_of_ours(
    id_hash: bytes, run: int, fingerprint: bytes
) -> None:
    with pytest.raises(AssertionError):
        Identity(id_hash, run, fingerprint)


@pytest.mark.parametrize(("window_ms", "ids_max"), [(0, 1), (1, 0)])
def test_an_index_without_extent_is_a_mistake_of_ours(window_ms: int, ids_max: int) -> None:
    with pytest.raises(AssertionError):
        Fates(window_ms=window_ms, ids_max=ids_max)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        pytest.param((0, 1, Fate.PARKED), (0, 2, Fate.PARKED), id="parked again"),
        pytest.param((0, 1, Fate.PARKED), (0, 2, Fate.COMPLETED), id="answered after parking"),
        pytest.param((0, 2, Fate.PARKED), (0, 2, Fate.WITHDRAWN), id="cancelled while parked"),
        pytest.param((0, 2, Fate.FAILED), (0, 2, Fate.WITHDRAWN), id="its copy is still out"),
        pytest.param((0, 2, Fate.WITHDRAWN), (0, 3, Fate.FAILED), id="its copy came back"),
        pytest.param((0, 3, Fate.FAILED), (1, 0, Fate.PARKED), id="replayed and parked"),
        pytest.param((1, 1, Fate.PARKED), (1, 2, Fate.COMPLETED), id="replayed and answered"),
        pytest.param((0, 9, Fate.COMPLETED), (1, 0, Fate.FAILED), id="a later run stands"),
    ],
)
def test_a_fate_never_goes_back(earlier: tuple[int, int, Fate], later: tuple[int, int, Fate]) -> None:
    for news in ([earlier, later], [later, earlier], [earlier, later, earlier, later]):
        index = fates()
        for run, attempt, fate in news:
            index.record(identity(7, run), attempt, fate, 0)
        known = index.find(identity(7).id_hash)
        assert known is not None
        assert (known.run, known.attempt, known.fate) == later
        assert len(index) == 1
        assert index.kept == (later[2] in (Fate.PARKED, Fate.WITHDRAWN))


def test_an_answer_is_known_for_a_whole_window_and_a_stride_at_most_beyond() -> None:
    index = fates()
    index.record(identity(1), 0, Fate.COMPLETED, 1)
    index.expire(WINDOW)
    assert numbers(index) == [1]
    index.expire(WINDOW + 1)  # too soon after the last look
    index.expire(WINDOW + WINDOW // STRIDES)
    assert numbers(index) == []


def test_ages_are_looked_at_once_in_a_stride() -> None:
    index = fates()
    index.expire(100_000)
    index.record(identity(1), 0, Fate.COMPLETED, 0)
    index.expire(100_000 + WINDOW // STRIDES - 1)
    assert numbers(index) == [1]
    index.expire(100_000 + WINDOW // STRIDES)
    assert numbers(index) == []


def test_what_is_parked_or_withdrawn_outlives_every_window() -> None:
    index = fates()
    index.record(identity(1), 0, Fate.PARKED, 0)
    index.record(identity(2), 0, Fate.WITHDRAWN, 0)
    index.record(identity(3), 0, Fate.FAILED, 0)
    index.expire(100 * WINDOW)
    assert numbers(index) == [1, 2]


def test_an_answer_told_again_counts_from_the_later_telling() -> None:
    index = fates()
    index.record(identity(1), 0, Fate.COMPLETED, 10_000)
    index.record(identity(1), 0, Fate.COMPLETED, 40_000)
    index.record(identity(1), 0, Fate.COMPLETED, 5_000)  # the ledger, read again from further back
    index.expire(10_000 + WINDOW)
    assert numbers(index) == [1]
    index.expire(40_000 + WINDOW)
    assert numbers(index) == []


def test_todays_clock_ages_like_a_clock_from_zero() -> None:
    today = 1_760_000_000_000
    index = fates()
    index.record(identity(1), 0, Fate.COMPLETED, today)
    index.record(identity(2), 0, Fate.PARKED, today)
    assert index.renewals(today + WINDOW // 2 - 1_000) == []
    assert len(index.renewals(today + WINDOW // 2)) == 1
    index.expire(today + WINDOW - 1_000)
    assert numbers(index) == [1, 2]
    index.expire(today + WINDOW)
    assert numbers(index) == [2]


def test_above_its_maximum_the_oldest_answers_go_and_nothing_that_is_parked() -> None:
    index = fates(ids_max=4)
    index.record(identity(0), 0, Fate.PARKED, 0)
    for number in range(1, 6):
        index.record(identity(number), 0, Fate.COMPLETED, 1_000 * number)
    assert numbers(index) == [0, 3, 4, 5]
    assert index.evicted == 2
    index.record(identity(5), 0, Fate.COMPLETED, 6_000)  # known: takes no place
    assert index.evicted == 2


def test_a_full_index_makes_room_by_the_stride() -> None:
    index = fates(ids_max=640)
    for number in range(641):
        index.record(identity(number), 0, Fate.COMPLETED, number)
    assert len(index) == 631
    assert numbers(index) == list(range(10, 641))
    assert index.evicted == 10


def test_an_index_full_of_parked_ids_still_records() -> None:
    index = fates(ids_max=1)
    index.record(identity(0), 0, Fate.PARKED, 0)
    index.record(identity(1), 0, Fate.PARKED, 0)
    assert numbers(index) == [0, 1]
    assert index.evicted == 0


def test_the_window_reached_shrinks_when_answers_are_pushed_out() -> None:
    index = fates(ids_max=2)
    assert index.window_reached_ms(100_000) == WINDOW
    for number in range(3):
        index.record(identity(number), 0, Fate.COMPLETED, 90_000 + 1_000 * number)
    assert index.window_reached_ms(100_000) == 10_000
    assert index.window_reached_ms(80_000) == 0
    assert index.window_reached_ms(10_000_000) == WINDOW


def test_parked_ids_are_due_for_renewal_twice_a_window() -> None:
    index = fates()
    index.record(identity(1), 3, Fate.PARKED, 1_000)
    index.record(identity(2, run=1), 0, Fate.WITHDRAWN, 2_000)
    index.record(identity(3), 0, Fate.COMPLETED, 0)
    half = WINDOW // 2
    assert index.renewals(half) == []
    assert index.renewals(half + 1_000) == [(identity(1), 3, Fate.PARKED)]
    both = [(identity(1), 3, Fate.PARKED), (identity(2, run=1), 0, Fate.WITHDRAWN)]
    assert index.renewals(half + 2_000) == both
    for each, attempt, fate in both:
        index.record(each, attempt, fate, half + 2_000)
    assert index.renewals(half + 2_000) == []
    assert index.renewals(WINDOW + 2_000) == both


def test_with_nothing_due_renewals_are_looked_for_once_in_a_stride() -> None:
    index = fates()
    assert index.renewals(WINDOW) == []
    index.record(identity(1), 0, Fate.PARKED, 0)
    assert index.renewals(WINDOW + WINDOW // STRIDES - 1) == []
    assert len(index.renewals(WINDOW + WINDOW // STRIDES)) == 1


def test_renewals_come_in_bounded_batches() -> None:
    index = fates(ids_max=10_000)
    for number in range(RENEWALS_MAX + 1):
        index.record(identity(number), 0, Fate.PARKED, 0)
    first = index.renewals(WINDOW)
    assert len(first) == RENEWALS_MAX
    for each, attempt, fate in first:
        index.record(each, attempt, fate, WINDOW)
    assert [each for each, _, _ in index.renewals(WINDOW)] == [identity(RENEWALS_MAX)]


def test_an_id_takes_two_hundred_bytes_at_most() -> None:
    # 10,923 is where a dict grows: the most room a growing dict wastes. Measured: 145 at 100,000.
    chance, index, count = random.Random(1), fates(ids_max=200_000), 10_923
    tracemalloc.start(1)
    for number in range(count):
        fresh = Identity(chance.randbytes(16), 0, b"contents")
        index.record(fresh, 1, Fate.COMPLETED, 1_760_000_000_000 + number)
    bytes_each = tracemalloc.get_traced_memory()[0] / count
    tracemalloc.stop()
    assert bytes_each <= 200


# ---------------------------------------------------------------------------------------------------- copies awaited

DEADLINE_S = 200


def awaited(
    number: int, *, run: int = 0, deadline_s: int = DEADLINE_S, name: str = "x", overdue: bool = False
) -> Awaited:
    return Awaited(identity(number, run), deadline_s, name, overdue)


def overdue_at(deadline_s: int) -> int:
    return deadline_s * 1_000 + OVERDUE_AFTER_MS


def test_what_is_told_of_a_copy_is_known_until_its_request_is_answered() -> None:
    index = fates()
    index.record(identity(1), 3, Fate.PARKED, 0)
    index.awaits(awaited(1))
    assert index.awaited(identity(1).id_hash) == awaited(1)
    assert index.overdue(overdue_at(DEADLINE_S) - 1) == []
    assert index.overdue(overdue_at(DEADLINE_S)) == [Overdue(identity(1), 3, DEADLINE_S, "x")]
    index.record(identity(1), 4, Fate.COMPLETED, 0)
    index.awaits(awaited(1))
    assert index.awaited(identity(1).id_hash) is None
    assert index.overdue(overdue_at(DEADLINE_S)) == []


def test_what_is_told_of_another_run_is_old_news() -> None:
    index = fates()
    index.record(identity(1), 1, Fate.PARKED, 0)
    index.awaits(awaited(1))
    index.record(identity(1, run=1), 0, Fate.PARKED, 5_000)
    index.awaits(awaited(1))
    told = index.awaited(identity(1).id_hash)
    assert told is not None
    assert (told.identity, told.name) == (identity(1, run=1), "")
    assert index.overdue(overdue_at(DEADLINE_S)) == []


def test_a_line_that_tells_nothing_of_a_copy_takes_nothing_away() -> None:
    index = fates()
    index.record(identity(1), 1, Fate.PARKED, 0)
    index.awaits(awaited(1))
    index.record(identity(1), 1, Fate.PARKED, 40_000)  # the release before says it again
    index.awaits(awaited(1, name=""))
    assert index.awaited(identity(1).id_hash) == awaited(1)
    index.record(identity(1), 1, Fate.WITHDRAWN, 40_000)
    index.awaits(awaited(1, overdue=True))
    index.awaits(awaited(1))  # read once more, from further back
    assert index.awaited(identity(1).id_hash) == awaited(1, overdue=True)


def test_the_later_of_two_deadlines_that_were_told_counts() -> None:
    index = fates()
    index.record(identity(1), 1, Fate.PARKED, 0)
    for deadline_s in (DEADLINE_S, DEADLINE_S + 50, DEADLINE_S):
        index.awaits(awaited(1, deadline_s=deadline_s))
    assert index.overdue(overdue_at(DEADLINE_S + 50) - 1) == []
    assert index.overdue(overdue_at(DEADLINE_S + 50)) == [Overdue(identity(1), 1, DEADLINE_S + 50, "x")]
    assert len(index.overdue(overdue_at(DEADLINE_S + 50))) == 1


def test_without_a_word_the_longest_deadline_after_the_parking_counts_and_nothing_can_be_failed() -> None:
    index = Fates(window_ms=WINDOW, ids_max=10, patience_ms=1_000_000, copy_within_ms=500_000)
    index.record(identity(1), 1, Fate.PARKED, 7_000_000)
    assert index.awaited(identity(1).id_hash) == Awaited(identity(1), 8_000, "", overdue=False)
    assert index.overdue(overdue_at(10_000)) == []


def test_the_earliest_deadline_comes_first_and_none_twice() -> None:
    index = fates()
    for number in (3, 1, 2):
        index.record(identity(number), 1, Fate.PARKED, 0)
        index.awaits(awaited(number, deadline_s=DEADLINE_S + number, name=str(number)))
        index.awaits(awaited(number, deadline_s=DEADLINE_S + number, name=str(number), overdue=True))
    for _ in range(2):
        found = index.overdue(overdue_at(DEADLINE_S + 10))
        assert [each.name for each in found] == ["1", "2", "3"]


def test_more_than_two_batches_are_never_looked_at_in_one_go() -> None:
    index = fates()
    for number in range(2 * OVERDUE_MAX + 5):
        index.record(identity(number), 1, Fate.PARKED, 0)
        index.awaits(awaited(number))
    assert len(index.overdue(overdue_at(DEADLINE_S))) == 2 * OVERDUE_MAX


def test_deadlines_of_what_is_answered_are_swept() -> None:
    index = fates(ids_max=10_000)
    for number in range(3_000):
        index.record(identity(number), 1, Fate.PARKED, 0)
        index.awaits(awaited(number))
        if number:
            index.record(identity(number), 2, Fate.COMPLETED, 0)
    assert len(index._due) <= 1_002
    assert index.overdue(overdue_at(DEADLINE_S)) == [Overdue(identity(0), 1, DEADLINE_S, "x")]


def test_what_is_swept_leaves_the_earliest_deadline_first_and_names_nothing_without_an_id() -> None:
    index = fates(ids_max=10_000)
    for number, name in ((1, "late"), (2, "early"), (3, "")):
        index.record(identity(number), 1, Fate.PARKED, 0)
        index.awaits(awaited(number, deadline_s=DEADLINE_S + 2_000 * (number == 1), name=name))
    more = before = 0
    while before < len(index._due):  # until it is swept
        more, before = more + 1, len(index._due)
        index.awaits(awaited(2, deadline_s=DEADLINE_S + more, name="early"))
    assert [each.name for each in index.overdue(overdue_at(DEADLINE_S + more))] == ["early"]
    assert {each.name for each in index.overdue(overdue_at(10_000_000))} == {"early", "late"}


def test_what_was_withdrawn_is_failed_no_more() -> None:
    index = fates()
    index.record(identity(1), 1, Fate.PARKED, 0)
    index.awaits(awaited(1))
    index.record(identity(1), 1, Fate.WITHDRAWN, 0)
    assert index.awaited(identity(1).id_hash) == awaited(1), "its copy is on its way still"
    assert index.overdue(overdue_at(DEADLINE_S)) == []


@pytest.mark.parametrize(
    ("fate", "name", "is_kept"),
    [(Fate.PARKED, "x", True), (Fate.PARKED, "", False), (Fate.WITHDRAWN, "x", False), (Fate.WITHDRAWN, "", False)],
)
def test_what_can_have_no_copy_any_more_is_forgotten_instead_of_renewed(fate: Fate, name: str, is_kept: bool) -> None:  # noqa: FBT001 (a drawn value)
    index = Fates(window_ms=WINDOW, ids_max=10, copy_within_ms=500_000)
    index.record(identity(1), 1, fate, 0)
    index.awaits(awaited(1, name=name))
    just_before_ms = (DEADLINE_S + 500) * 1_000 - 1_000
    assert len(index.renewals(just_before_ms)) == 1
    index.record(identity(1), 1, fate, just_before_ms - WINDOW // 2)
    assert len(index.renewals(just_before_ms + 1_000)) == is_kept
    assert (identity(1).id_hash in index, index.kept) == (is_kept, is_kept)


def test_deadlines_beyond_what_can_be_written_are_kept_as_the_furthest() -> None:
    index = fates()
    index.record(identity(1), 1, Fate.PARKED, 0)
    index.awaits(awaited(1, deadline_s=1 << 60))
    told = index.awaited(identity(1).id_hash)
    assert told is not None
    assert told.deadline_s == (1 << 40) - 1


def test_a_parked_id_takes_a_few_hundred_bytes_with_its_deadline_and_name() -> None:
    # With ids of 36 characters, where both dicts have just grown and waste the most room. Measured: 333.
    chance, index, count = random.Random(1), fates(ids_max=200_000), 10_923
    tracemalloc.start(1)
    for number in range(count):
        fresh = Identity(chance.randbytes(16), 0, b"contents")
        index.record(fresh, 1, Fate.PARKED, 1_760_000_000_000 + number)
        index.awaits(Awaited(fresh, 1_760_000_600 + number, f"{number:036}"))
    bytes_each = tracemalloc.get_traced_memory()[0] / count
    tracemalloc.stop()
    assert bytes_each <= 400


def told(index: Fates, now_ms: int) -> list[int]:
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
    index.retell(5_500)
    assert index.untold
    assert index.renewals(5_600) == index.renewals(5_700), "until they are recorded"
    assert told(index, 5_800) == [4, 0, 1, 2, 3, 5]
    assert told(index, 5_900) == []
    assert not index.untold
    assert index.find(identity(0).id_hash) == Known(Fate.COMPLETED, 0, 2, b"contents", 6)


def test_what_was_recorded_since_or_is_forgotten_is_not_told_again() -> None:
    index = fates()
    for number in range(4):
        index.record(identity(number), 0, Fate.COMPLETED, 5_000)
    index.retell(9_001)
    index.record(identity(0), 0, Fate.COMPLETED, 10_000)
    index.record(identity(2), 0, Fate.COMPLETED, 10_000)
    assert told(index, 10_000) == [1, 3]
    index.retell(11_000)
    index.expire(5_000 + 2 * WINDOW)
    assert told(index, 5_000 + 2 * WINDOW) == []


def test_an_answer_of_the_very_second_is_told_again_too() -> None:
    index = fates()
    index.record(identity(1), 0, Fate.COMPLETED, 3_000)
    index.record(identity(2), 0, Fate.COMPLETED, 8_999)
    index.record(identity(3), 0, Fate.COMPLETED, 9_700)  # by Kafka's clock, which is ahead
    index.retell(8_999)
    assert told(index, 9_000) == [1, 2, 3]


def test_what_is_recorded_again_comes_in_bounded_batches() -> None:
    index = fates(ids_max=3 * RETOLD_MAX)
    for number in range(RETOLD_MAX + 3):
        index.record(identity(number), 0, Fate.COMPLETED, 1_000)
    index.retell(5_000)
    assert [len(told(index, now_ms)) for now_ms in (5_100, 5_200, 5_300)] == [RETOLD_MAX, 3, 0]


def test_of_copies_on_their_way_no_more_are_told_again_at_once_than_are_renewed() -> None:
    """A line says deadline and name of each: 4,000 of them would not fit the topic, and be refused each time."""
    index = fates(ids_max=3 * RETOLD_MAX)
    for number in range(RENEWALS_MAX + 3):
        index.record(identity(number), 1, Fate.PARKED, 1_000)
    for number in range(RETOLD_MAX):
        index.record(identity(RENEWALS_MAX + 3 + number), 0, Fate.COMPLETED, 1_000)
    index.retell(5_000)
    batches = [told(index, now_ms) for now_ms in (5_100, 5_200, 5_300)]
    weight = RETOLD_MAX // RENEWALS_MAX
    assert [len(batch) for batch in batches] == [RENEWALS_MAX, 3 + RETOLD_MAX - 3 * weight, 3 * weight]
