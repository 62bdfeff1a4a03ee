from random import Random

from broker.core.ahead import Ahead

SPAN = 1 << 25


def passed(ahead: Ahead[str], mean: int) -> list[str]:
    return [who for _, who in ahead.passed(mean)]


def test_who_is_no_further_than_the_mean_is_passed_in_order_and_once() -> None:
    ahead: Ahead[str] = Ahead()
    for stamp, (at, who) in enumerate([(30, "c"), (10, "a"), (20, "b"), (20, "b too")]):
        ahead.add(at, stamp, who)
    assert passed(ahead, 9) == []
    assert list(ahead.passed(20)) == [(1, "a"), (2, "b"), (3, "b too")]
    assert len(ahead) == 1
    assert passed(ahead, 30) == ["c"]
    assert passed(ahead, 1_000) == []


def test_who_is_added_behind_the_mean_is_passed_at_the_next_look() -> None:
    ahead: Ahead[str] = Ahead()
    assert passed(ahead, 10 * SPAN) == []
    ahead.add(3 * SPAN, 1, "behind")
    ahead.add(10 * SPAN + 1, 2, "before")
    assert passed(ahead, 10 * SPAN) == ["behind"]


def test_a_mean_that_has_fallen_passes_nobody_early() -> None:
    ahead: Ahead[str] = Ahead()
    assert passed(ahead, 10 * SPAN) == []
    ahead.add(5 * SPAN, 1, "between")
    assert passed(ahead, 4 * SPAN) == []
    assert passed(ahead, 5 * SPAN) == ["between"]


def test_what_is_swept_is_forgotten_wherever_it_lay_and_the_rest_kept() -> None:
    ahead: Ahead[str] = Ahead()
    assert passed(ahead, 2 * SPAN) == []
    for stamp in range(40):
        ahead.add(stamp * SPAN // 4, stamp, f"{stamp}")
    ahead.sweep(lambda stamp, who: stamp % 2 == 1 or who == "8")
    assert len(ahead) == 19
    assert passed(ahead, 100 * SPAN) == [f"{stamp}" for stamp in range(0, 40, 2) if stamp != 8]


def test_cleared_it_begins_anew() -> None:
    ahead: Ahead[str] = Ahead()
    ahead.add(1, 1, "near")
    ahead.add(9 * SPAN, 2, "far")
    assert passed(ahead, 0) == []
    ahead.clear()
    assert (len(ahead), passed(ahead, 20 * SPAN)) == (0, [])


def test_by_whatever_steps_the_mean_goes_everybody_is_passed_as_by_a_sorted_list() -> None:
    chance, ahead, there, mean = Random(3), Ahead[int](), list[tuple[int, int]](), 0
    for stamp in range(4_000):
        there.append((mean + chance.choice((1, 50, 4_000)) * chance.randrange(SPAN // 8), stamp))
        ahead.add(*there[-1], stamp)
        mean += chance.choice((0, 1, SPAN // 3, 3 * SPAN, 700 * SPAN)) if stamp % 3 == 0 else 0
        expected = sorted(entry for entry in there if entry[0] <= mean)
        assert list(ahead.passed(mean)) == [(each, each) for _, each in expected]
        there = [entry for entry in there if entry[0] > mean]
        assert len(ahead) == len(there)
