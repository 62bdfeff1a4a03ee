"""A trial of measurements, judged by what has been achieved; and what a search must find."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS
from headrace.broker.core.budget.achievement import NOTHING, Achieved
from headrace.broker.core.budget.trial import (
    IN_VAIN,
    IN_VAIN_LONG,
    MORE_PPM,
    SETTLES_MS,
    TRIAL_LASTS_MS,
    TRIED_MS,
    WORSE_PPM,
    Outcome,
    Search,
    Trial,
)
from headrace.broker.core.units import PPM
from tests.unit.core.budget.test_achievement import RATE, bound, held


class Run:
    """A trial that began with nothing, after a minute in which the mirrors spent all of their rate."""

    def __init__(self, *, long: bool = False, search: Search | None = None) -> None:
        self.trial = Trial(NOTHING, held(MINUTE_MS), 0, long=long, search=search)
        self.all, self.now_ms = Achieved(), 0

    def spend(self, for_ms: int, share_ppm: int = PPM, *, refused: int = 0, row: int = 0) -> Outcome:
        self.now_ms += for_ms
        spent = RATE * for_ms // MINUTE_MS * share_ppm // PPM
        self.all.waited_ms += for_ms
        self.all.tokens += spent
        self.all.calls += spent // 400
        self.all.refused += refused
        return self.trial.judge(self.all, row, self.now_ms)


@pytest.mark.parametrize(
    ("share_ppm", "outcome"), [(PPM - WORSE_PPM + 1_000, Outcome.WON), (PPM - WORSE_PPM - 1_000, Outcome.LOST)]
)
def test_the_minute_after_the_half_in_which_it_settles_decides(share_ppm: int, outcome: Outcome) -> None:
    run = Run()
    assert run.spend(SETTLES_MS - 1, 0) is run.spend(1, 0) is Outcome.GOES_ON
    assert run.spend(TRIED_MS - 1, share_ppm) is Outcome.GOES_ON
    assert run.trial.utility == 0
    assert run.spend(1, share_ppm) is outcome
    assert run.trial.utility == pytest.approx(RATE * share_ppm / PPM, abs=2_000)


def test_what_achieves_nothing_has_lost_whatever_the_mirrors_achieved() -> None:
    run = Run()
    run.trial.mirrored = NOTHING
    run.spend(SETTLES_MS)
    assert run.spend(TRIED_MS, 0) is Outcome.LOST


@pytest.mark.parametrize(("long", "row"), [(False, IN_VAIN), (True, IN_VAIN_LONG)])
def test_it_is_lost_if_all_is_refused_from_its_beginning(long: bool, row: int) -> None:  # noqa: FBT001
    assert Run(long=long).spend(1_000, 0, row=row - 1) is Outcome.GOES_ON
    assert Run(long=long).spend(1_000, 0, row=row) is Outcome.LOST
    assert Run(long=long).spend(1_000, row=row) is Outcome.GOES_ON, "a call has been admitted"


def test_in_light_traffic_it_is_lost_in_the_end() -> None:
    run = Run()
    run.now_ms = TRIAL_LASTS_MS - 2
    assert run.spend(1) is Outcome.GOES_ON
    assert run.spend(1) is Outcome.LOST


def search_of(run_left: int = 5_000) -> Search:
    return Search(NOTHING, RATE, run_left)


def test_the_first_refusal_decides_a_search_and_later_ones_do_not() -> None:
    assert Run(search=search_of()).spend(20_000, refused=1) is Outcome.NO_MORE
    found = Run(search=search_of())
    assert found.spend(20_000, 2 * PPM, refused=1) is Outcome.GOES_ON
    assert found.spend(5_000, 0, refused=5) is Outcome.GOES_ON


def test_a_search_must_find_more_though_none_was_refused() -> None:
    for share_ppm, outcome in ((PPM + MORE_PPM - 1_000, Outcome.NO_MORE), (PPM + MORE_PPM + 1_000, Outcome.WON)):
        run = Run(search=search_of())
        run.spend(SETTLES_MS)
        assert run.spend(TRIED_MS, share_ppm) is outcome


def test_at_other_prices_it_is_judged_by_as_many_calls() -> None:
    for search, share_ppm in ((None, PPM - WORSE_PPM + 1_000), (search_of(), PPM + MORE_PPM + 1_000)):
        run = Run(search=search)
        run.spend(SETTLES_MS)
        run.trial.reprice(PPM // 2)
        run.all = run.all.repriced(PPM // 2)
        assert run.spend(TRIED_MS, share_ppm // 2) is Outcome.WON


def test_a_search_must_find_more_than_was_achieved_and_than_its_limit_lets_through() -> None:
    begin = Achieved(tokens=7)
    for share_ppm, of in ((PPM // 2, RATE), (2 * PPM, 2 * RATE)):
        search = Search.of([bound(level=5_000)], begin, held(MINUTE_MS, share_ppm=share_ppm))
        assert search == Search(begin, of, 5_000)
        assert search.sought == of + of * MORE_PPM // PPM
    for bounds in ([], [bound(calls=True, level=9)]):
        assert Search.of(bounds, begin, held(MINUTE_MS)) == Search(begin, RATE, 0)


def test_a_search_has_found_more_once_that_is_beyond_what_was_left() -> None:
    search = Search(NOTHING, RATE, 5_000)
    known = RATE + RATE * MORE_PPM // PPM + 5_000
    assert not search.finds_more(Achieved(waited_ms=MINUTE_MS, tokens=known - 1))
    assert search.finds_more(Achieved(waited_ms=MINUTE_MS, tokens=known))


def test_a_search_at_other_prices_seeks_as_many_calls() -> None:
    assert Search(Achieved(tokens=100), RATE, 50).repriced(PPM // 2) == Search(Achieved(tokens=50), RATE // 2, 25)


def test_what_it_has_achieved_so_far_is_known_before_it_ends() -> None:
    run = Run()
    run.spend(SETTLES_MS, PPM // 2)
    run.spend(TRIED_MS // 2)
    assert run.trial.so_far(run.all) == RATE, "nothing counts of the time in which it settled"
