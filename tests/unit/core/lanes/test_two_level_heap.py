from random import Random

import pytest

from headrace.broker.core.lanes.two_level_heap import TwoLevelHeap

SPAN = 1 << 25


def taken(spans: TwoLevelHeap[str]) -> list[str]:
    """All, as they leave."""
    found = []
    while (first := spans.first()) is not None:
        found.append(first[2])
        spans.pop()
    return found


def test_nobody_is_first_among_nobody() -> None:
    spans: TwoLevelHeap[str] = TwoLevelHeap()
    assert (spans.first(), len(spans)) == (None, 0)


def test_who_is_least_far_on_leaves_first_and_of_like_ones_the_lower_stamp() -> None:
    spans: TwoLevelHeap[str] = TwoLevelHeap()
    for stamp, (at, who) in enumerate([(3 * SPAN, "d"), (20, "b"), (20, "b too"), (10, "a"), (SPAN, "c")]):
        spans.add(at, stamp, who)
    assert (spans.first(), len(spans)) == ((10, 3, "a"), 5)
    assert taken(spans) == ["a", "b", "b too", "c", "d"]
    assert len(spans) == 0


def test_who_comes_before_all_others_is_first() -> None:
    spans: TwoLevelHeap[str] = TwoLevelHeap()
    spans.add(9 * SPAN, 1, "late")
    spans.pop()
    spans.add(5 * SPAN, 2, "later")
    spans.add(4 * SPAN, 3, "earlier")
    assert taken(spans) == ["earlier", "later"]


def test_what_is_swept_is_forgotten_and_the_rest_kept() -> None:
    spans: TwoLevelHeap[str] = TwoLevelHeap()
    for stamp in range(40):
        spans.add(stamp * SPAN // 4, stamp, f"{stamp}")
    spans.sweep(lambda stamp, who: stamp % 2 == 1 or who == "8")
    assert len(spans) == 19
    assert taken(spans) == [f"{stamp}" for stamp in range(0, 40, 2) if stamp != 8]


def test_cleared_it_begins_anew() -> None:
    spans: TwoLevelHeap[str] = TwoLevelHeap()
    spans.add(9 * SPAN, 2, "far")
    spans.clear()
    spans.clear()
    spans.add(7 * SPAN, 3, "near")
    assert (len(spans), taken(spans)) == (1, ["near"])


@pytest.mark.slow
def test_whoever_comes_and_leaves_whenever_all_leave_as_from_a_sorted_list() -> None:
    chance, spans, there = Random(3), TwoLevelHeap[int](), list[tuple[int, int, int]]()
    for stamp in range(5_000):
        entry = (chance.choice((1, 50, 4_000)) * chance.randrange(SPAN // 8), stamp, stamp)
        there.append(entry)
        spans.add(*entry)
        while there and chance.random() < (0.3 if stamp < 4_000 else 0.7):
            there.sort()
            assert spans.first() == there.pop(0)
            spans.pop()
        assert len(spans) == len(there)
    assert there
