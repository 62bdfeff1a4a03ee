import random

import pytest

from headrace.broker.core.progress.open_offsets import OpenOffsets


def stretches(opened: OpenOffsets) -> list[tuple[int, int]]:
    return list(zip(opened.starts, opened.ends, strict=True))


def test_what_follows_without_a_gap_is_one_stretch() -> None:
    opened = OpenOffsets([3, 4, 5, 9])
    assert (stretches(opened), len(opened)) == ([(3, 6), (9, 10)], 4)


def test_an_offset_is_open_from_its_first_stretch_to_its_last_and_not_between() -> None:
    opened = OpenOffsets([3, 4, 7])
    assert [offset for offset in range(10) if offset in opened] == [3, 4, 7]


def test_a_copy_keeps_what_was_open_when_it_was_made() -> None:
    opened = OpenOffsets([3, 4, 7])
    copied = opened.copy()
    opened.remove(4)
    opened.append(8)
    assert (stretches(copied), len(copied)) == ([(3, 5), (7, 8)], 3)


@pytest.mark.parametrize(
    ("closed", "left"),
    [
        (3, [(4, 7)]),
        (6, [(3, 6)]),
        (4, [(3, 4), (5, 7)]),
    ],
)
def test_a_stretch_is_shortened_or_split_where_an_offset_closes(closed: int, left: list[tuple[int, int]]) -> None:
    opened = OpenOffsets(range(3, 7))
    opened.remove(closed)
    assert (stretches(opened), len(opened)) == (left, 3)


def test_a_stretch_of_one_is_gone_when_it_closes() -> None:
    opened = OpenOffsets([3, 5, 7])
    opened.remove(5)
    assert stretches(opened) == [(3, 4), (7, 8)]


@pytest.mark.parametrize("offset", [2, 5, 8])
def test_only_an_open_offset_is_closed(offset: int) -> None:
    with pytest.raises(AssertionError, match="only an open offset"):
        OpenOffsets([3, 4, 6, 7]).remove(offset)


def test_what_is_discarded_is_open_no_more_and_what_is_not_open_is_no_mistake() -> None:
    opened = OpenOffsets([3, 4, 6])
    assert [opened.discard(offset) for offset in (2, 3, 3, 5, 7)] == [False, True, False, False, False]
    assert (stretches(opened), len(opened)) == ([(4, 5), (6, 7)], 2)


@pytest.mark.parametrize("offset", [3, 4])
def test_offsets_open_in_ascending_order_and_once(offset: int) -> None:
    with pytest.raises(AssertionError, match="ascending"):
        OpenOffsets([3, 4]).append(offset)


def test_ten_thousand_offsets_closed_in_any_order_agree_with_a_plain_set() -> None:
    opened, plain = OpenOffsets(range(10_000)), set(range(10_000))
    order = random.Random(3).sample(range(10_000), 10_000)
    for done, offset in enumerate(order):
        opened.remove(offset)
        plain.remove(offset)
        if done % 500 == 0:
            assert {each for start, end in stretches(opened) for each in range(start, end)} == plain
            assert len(opened) == len(plain)
    assert not opened
