import random
import tracemalloc

import pytest

from headrace.broker.core.identity.outcome_index import (
    RENEWALS_MAX,
    RUN_MAX,
    STRIDES,
    Fate,
    Identity,
    KnownFate,
    OutcomeIndex,
)
from tests.unit.core.fating import WINDOW, fates, identity


def numbers(index: OutcomeIndex) -> list[int]:
    return [number for number in range(2_000) if number.to_bytes(16, "big") in index]


@pytest.mark.parametrize("fate", Fate)
def test_every_field_comes_back_at_its_largest_and_smallest(fate: Fate) -> None:
    index = fates()
    largest = Identity(b"\xff" * 16, RUN_MAX, b"\xff" * 8)
    smallest = Identity(b"\x00" * 16, 0, b"\x00" * 8)
    index.record(largest, 255, fate, 4_000_000_000_000)
    index.record(smallest, 0, fate, 0)
    assert index.find(largest.id_hash) == KnownFate(fate, RUN_MAX, 255, b"\xff" * 8, 4_000_000_000)
    assert index.find(smallest.id_hash) == KnownFate(fate, 0, 0, b"\x00" * 8, 0)
    assert index.find(b"x" * 16) is None


def test_an_attempt_above_what_the_ledger_can_write_is_kept_as_the_highest() -> None:
    index = fates()
    index.record(identity(1), 256, Fate.PARKED, 0)
    assert index.find(identity(1).id_hash) == KnownFate(Fate.PARKED, 0, 255, b"contents", 0)


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
        OutcomeIndex(window_ms=window_ms, ids_max=ids_max)


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


@pytest.mark.slow
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
