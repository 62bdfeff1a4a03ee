from headrace.broker.core.budget.hold import CONFIRMED_PPM, FIRST_MS, LONGEST_MS, STATED_PPM, Hold
from headrace.broker.core.units import PPM


def held_for(hold: Hold, figure: int, now_ms: int, *, isolated: bool = True) -> int:
    hold.begin(figure, now_ms, isolated=isolated)
    return hold.until_ms - now_ms


def test_the_first_figure_is_not_held() -> None:
    assert held_for(Hold(), 1_000, 5) == 0


def test_each_refusal_at_the_same_figure_doubles_the_time_up_to_a_bound() -> None:
    hold, now_ms, times = Hold(), 0, []
    for _ in range(8):
        times.append(held_for(hold, 1_000, now_ms))
        now_ms = hold.until_ms + 1_000
    assert times == [0, FIRST_MS, 2 * FIRST_MS, 4 * FIRST_MS, *[LONGEST_MS] * 4]
    assert LONGEST_MS == 4 * FIRST_MS


def test_a_figure_a_little_beside_the_last_one_confirms_it_and_another_does_not() -> None:
    little = 1_000 * CONFIRMED_PPM // PPM
    for figure, is_held in ((1_000 - little, True), (1_000 + little, True), (1_001 + little, False), (500, False)):
        hold = Hold()
        hold.begin(1_000, 0, isolated=True)
        assert (held_for(hold, figure, 10) > 0) is is_held


def test_each_figure_is_compared_with_the_last_one_and_not_with_the_first() -> None:
    hold = Hold()
    for figure in (1_000, 1_030, 1_060):
        hold.begin(figure, hold.until_ms, isolated=True)
    assert held_for(hold, 1_000, hold.until_ms) == 0


def test_a_refusal_while_the_figure_is_held_ends_the_hold() -> None:
    hold = Hold()
    hold.begin(1_000, 0, isolated=True)
    hold.begin(1_000, 10, isolated=True)
    assert held_for(hold, 1_000, 10 + FIRST_MS - 1) == 0
    assert held_for(hold, 1_000, 10 + FIRST_MS) == FIRST_MS


def test_a_refusal_soon_after_another_one_confirms_nothing() -> None:
    hold = Hold()
    hold.begin(1_000, 0, isolated=True)
    assert held_for(hold, 1_000, 10, isolated=False) == 0
    assert held_for(hold, 1_000, 20) == FIRST_MS


def test_a_figure_near_the_stated_one_is_held_longest_at_once_unless_it_came_soon_after_another() -> None:
    little = 1_000 * STATED_PPM // PPM
    figures = ((1_000 - little, True), (1_000 + little, True), (999 - little, False), (1_001 + little, False))
    for figure, is_held in figures:
        hold = Hold()
        hold.begin(figure, 10, isolated=True, stated=1_000)
        assert hold.until_ms == 10 + (LONGEST_MS if is_held else 0)
    hold = Hold()
    hold.begin(1_000, 10, isolated=False, stated=1_000)
    assert hold.until_ms == 10


def test_a_hold_ends_once_something_else_explains_the_refusals() -> None:
    hold = Hold()
    hold.begin(1_000, 0, isolated=True, stated=1_000)
    hold.end(1_000)
    assert hold.until_ms == 1_000
    hold.end(2_000)
    assert hold.until_ms == 1_000


def test_with_other_prices_the_same_limit_confirms_the_figure() -> None:
    hold = Hold()
    hold.begin(1_000, 0, isolated=True)
    hold.reprice(2 * PPM)
    assert hold.figure == 2_000
    assert held_for(hold, 2_000, 10) == FIRST_MS
