"""Trials for more than the mirrors know of, where no answer shows what is left: the first refusal decides."""

from dataclasses import replace

import pytest

from headrace.broker.core.budget.achievement import COMPARED_MS
from headrace.broker.core.budget.last_trial import EARLY_MS
from headrace.broker.core.budget.mirror_trust import (
    LATELY_MS,
    MARKED_EVERY_MS,
    MORE_FIRST_MS,
    REMEMBERED_MS,
    TRIAL_MAX_MS,
)
from headrace.broker.core.budget.trial import MORE_PPM
from headrace.broker.core.units import PPM
from tests.unit.core.budget.test_mirror_trust import A_DAY, BOUND, RATE, Rig

LEFT = replace(BOUND, level=5_000)


class Search(Rig):
    """Mirrors that spend all they know of, 400 tokens each 400 ms, and are refused nothing."""

    def begins(self, *, told: bool = False) -> bool:
        return self.trust.begins_trial([LEFT], self.now_ms, foreign=0, told=told)

    def begin_search(self) -> None:
        self.spend(REMEMBERED_MS)
        self.hold(10)
        assert self.begins()

    def find(self, tokens: int, *, calls: int = 50) -> bool:
        """Spend so many tokens with each of the next calls, until one is refused; return whether the search goes on."""
        self.spend(400 * calls, tokens=tokens)
        self.call(refused=True)
        self.trust.end_trial(self.now_ms)
        return self.trust.tries


def test_the_first_refusal_ends_a_search_that_found_no_more_than_was_left() -> None:
    search = Search()
    search.begin_search()
    known = 400 * 50
    more = (known * MORE_PPM // PPM + LEFT.level) // 50
    assert not search.find(400 + more - 3)
    assert search.trust.measures_since_ms is None


def test_a_search_that_found_more_goes_on_after_a_refusal() -> None:
    search = Search()
    search.begin_search()
    known = 400 * 50
    more = (known * MORE_PPM // PPM + LEFT.level) // 50
    assert search.find(400 + more + 3)


def test_a_search_without_a_refusal_goes_on() -> None:
    search = Search()
    search.begin_search()
    search.spend(20_000)
    search.trust.end_trial(search.now_ms)
    assert search.trust.tries


def test_a_limit_of_calls_leaves_no_tokens_that_a_search_could_spend_first() -> None:
    search = Search()
    search.spend(REMEMBERED_MS)
    search.hold(10)
    calls = replace(LEFT, of_calls=True, per_minute=150)
    assert search.trust.begins_trial([calls], search.now_ms, foreign=0, told=False)
    assert search.find(420)


def test_the_next_search_comes_after_five_minutes_then_ten_and_at_most_half_an_hour() -> None:
    search, every_ms = Search(), MORE_FIRST_MS
    search.begin_search()
    for _ in range(5):
        assert not search.find(400, calls=1)
        ended_ms = search.now_ms
        while not search.begins():
            search.spend(1_000)
            search.hold(10)
        assert every_ms <= search.now_ms - ended_ms < every_ms + 2_000
        every_ms = min(TRIAL_MAX_MS, 2 * every_ms)


def test_a_search_must_find_more_than_the_mirrors_would_let_through_even_if_less_was_asked_for() -> None:
    search = Search()
    search.spend(REMEMBERED_MS, tokens=380)
    search.hold(10)
    assert search.begins()
    assert search.trust.sought == LEFT.per_minute + LEFT.per_minute * MORE_PPM // PPM


def test_what_was_spent_beyond_the_mirrors_is_paid_before_they_are_judged() -> None:
    """Before: the debt of a search was a lag of the mirrors, and so the next doubt."""
    search = Search()
    search.begin_search()
    assert not search.find(420, calls=20)
    search.hold(50_000)
    search.spend(REMEMBERED_MS, tokens=392)
    assert not search.begins(told=True)


def test_a_large_call_has_the_time_that_it_needs_before_the_mirrors_are_regretted() -> None:
    for needs_ms, regretted in ((400, True), (60_000, False)):
        search = Search()
        search.begin(rate=RATE // 2)
        assert search.end(tokens=192), "less than the mirrors had achieved"
        search.call()
        search.hold(EARLY_MS)
        bounds = [replace(BOUND, needs_ms=needs_ms)]
        assert search.trust.begins_trial(bounds, search.now_ms, foreign=0, told=True) is regretted


def test_a_search_at_other_prices_must_find_as_much() -> None:
    search = Search()
    search.begin_search()
    search.trust.reprice(PPM // 2)
    more = (400 * 50 * MORE_PPM // PPM + LEFT.level) // 50 // 2
    assert search.find(200 + more + 3)
    again = Search()
    again.begin_search()
    again.trust.reprice(PPM // 2)
    assert not again.find(200 + more - 3)


def test_a_doubt_begins_a_trial_although_a_search_found_nothing_lately() -> None:
    search = Search()
    search.begin_search()
    assert not search.find(400, calls=1)
    search.spend(REMEMBERED_MS, tokens=100)
    search.hold(10)
    assert search.begins()
    search.call(refused=True)
    search.trust.end_trial(search.now_ms)
    assert search.trust.tries


def test_a_search_that_was_refused_nothing_and_found_no_more_ends_when_its_time_is_over() -> None:
    search = Search()
    search.begin_search()
    assert search.end(tokens=400)
    search.spend(REMEMBERED_MS)
    search.hold(10)
    assert not search.begins(), "the next one comes later"


def test_before_anything_was_compared_other_prices_change_nothing() -> None:
    search = Search()
    search.trust.reprice(PPM // 2)
    search.spend(REMEMBERED_MS)
    search.hold(10)
    assert search.begins()


def test_what_the_measurements_achieved_is_regretted_at_other_prices_too() -> None:
    """At dearer ones they may achieve no more: the server may charge more from now on."""
    for ppm, tokens, regretted in ((PPM // 3, 100, False), (PPM, 100, True), (2 * PPM, 190, False)):
        search = Search()
        search.begin(rate=RATE // 2)
        assert search.end(tokens=192)
        search.trust.reprice(ppm)
        search.call(tokens=tokens)
        search.spend(EARLY_MS, tokens=tokens)
        assert search.trust.begins_trial([BOUND], search.now_ms, foreign=0, told=True) is regretted


def test_what_was_refused_before_prices_changed_is_no_doubt_of_the_mirrors_at_the_new_ones() -> None:
    """Before: a law that had changed cost a trial, though the refusals that showed it had mended the prices."""
    for changes, doubted in ((0, True), (1, False), (2, True)):
        rig = Search()
        rig.spend(LATELY_MS, tokens=400)
        if changes == 2:
            rig.trust.reprice(2 * PPM)
            rig.spend(10_000, tokens=400)
        for _ in range(8):
            rig.call(tokens=400, refused=True)
            rig.spend(400, tokens=400)
        if changes:
            rig.trust.reprice(PPM + PPM // 100)
        rig.spend(400, tokens=400)
        assert rig.trust.lately(rig.now_ms).is_refused_much is doubted


def test_calls_that_wait_for_nothing_count_as_such_once_requests_have_waited_and_unless_they_are_refused() -> None:
    rig = Rig()
    rig.now_ms = 1_000
    rig.call()
    rig.hold(1_000)
    rig.call()
    assert rig.trust.lately(rig.now_ms).started_at_once == 0, "nothing had been saved before"
    for refused in (False, True):
        rig.now_ms += 1_000
        rig.call(refused=refused)
    rig.now_ms += 1_000
    unsent = rig.send()
    rig.trust.record_unsent(unsent)
    rig.now_ms += 1_000
    refused_later = rig.send()
    lately = rig.trust.lately(rig.now_ms)
    assert (lately.tokens_at_once, lately.started_at_once) == (800, 2)
    rig.trust.reprice(PPM // 2)
    rig.refuse(refused_later, rig.now_ms)
    lately = rig.trust.lately(rig.now_ms)
    assert (lately.tokens_at_once, lately.started_at_once, lately.tokens) == (200, 1, 200)
    assert not rig.trust._at_once


def test_the_reserve_that_windows_keep_again_is_not_regretted() -> None:
    """Measurements leave none: what it costs is no fault of the mirrors that keep it."""
    for reserved, regretted in ((0, True), (RATE // 3, False)):
        search = Search()
        search.begin(rate=RATE // 2)
        assert search.end(tokens=192)
        search.call(tokens=140)
        search.spend(EARLY_MS, tokens=140)
        bounds = [replace(BOUND, counts_windows=True, needs_ms=1_000, reserved=reserved // 60)]
        assert search.trust.begins_trial(bounds, search.now_ms, foreign=0, told=True) is regretted


@pytest.mark.parametrize("tokens", [185, 175])
def test_measurements_that_achieve_far_less_than_the_mirrors_did_give_way(tokens: int) -> None:
    """Before: a server that refused one of fifty calls by chance halved a measured rate again and again, for hours."""
    search = Search()
    search.begin(rate=RATE // 2)
    assert not search.end(tokens=400)
    search.spend(60_000, tokens=400)
    search.trust.end_trial(search.now_ms)
    assert search.trust.measures_since_ms is not None
    search.spend(70_000, tokens=tokens)
    search.trust.end_trial(search.now_ms)
    assert (search.trust.measures_since_ms is None) is (tokens == 175)


def test_after_a_limit_has_changed_its_size_what_was_achieved_before_is_no_doubt() -> None:
    search = Search()
    search.spend(REMEMBERED_MS, tokens=100)
    search.hold(10)
    search.trust.judge_anew()
    assert not search.begins(told=True)
    search.spend(REMEMBERED_MS, tokens=100)
    search.hold(10)
    assert search.begins(told=True)


def test_a_wait_counts_once_though_calls_are_rare() -> None:
    """Before: a wait that was under way at a mark counted before it and after it: 179 s of the last 140."""
    rig = Rig()
    rig.spend(10_000)
    for _ in range(4):
        rig.hold(45_000)
        rig.call()
        rig.hold(100)
        rig.trust.may_begin(rig.now_ms)
    lately = rig.trust.lately(rig.now_ms, REMEMBERED_MS)
    assert lately.waited_ms <= REMEMBERED_MS + 45_000 + MARKED_EVERY_MS
    assert lately.held_ms <= lately.waited_ms
    rig.trust.begins_trial([BOUND], rig.now_ms, foreign=0, told=True)


def test_a_mark_in_the_middle_of_a_wait_divides_it() -> None:
    rig = Rig()
    rig.spend(5_000)
    rig.trust.record_wait(rig.now_ms + 100_000, rig.now_ms)
    before = rig.trust.lately(rig.now_ms, REMEMBERED_MS).waited_ms
    rig.now_ms += 30_000
    rig.trust._mark(rig.now_ms)
    rig.now_ms += 20_000
    assert rig.trust.lately(rig.now_ms, REMEMBERED_MS).waited_ms == before + 50_000
    assert rig.trust.lately(rig.now_ms, 20_000).waited_ms == 20_000
    rig.call()
    assert rig.trust.lately(rig.now_ms, REMEMBERED_MS).waited_ms <= before + 50_100
    since = rig.trust.lately(rig.now_ms, 20_010)
    assert (since.waited_ms, since.held_ms) == (20_000, 20_000), "of which what had passed by then is no part"


def test_a_wait_that_was_asked_about_all_the_time_does_not_count_if_it_is_withdrawn() -> None:
    """Before: a request of 20,000 tokens now and then, withdrawn after 18 s, was a doubt of a limit that stood full."""
    rig = Rig()
    for _ in range(6):
        rig.call(tokens=20_000)
        for _ in range(36):
            rig.trust.record_wait(rig.now_ms + 20_000, rig.now_ms)
            rig.now_ms += 500
            assert not rig.doubts()
        rig.now_ms += 25_000
        assert rig.trust.lately(rig.now_ms, REMEMBERED_MS).waited_ms == 0
    rig.hold(400)
    rig.call()
    assert rig.trust.lately(rig.now_ms, REMEMBERED_MS).waited_ms == 400


def test_a_wait_that_begins_a_trial_is_of_the_time_before_it() -> None:
    rig = Rig()
    rig.spend(5_000)
    rig.hold(COMPARED_MS + 45_000)
    assert rig.doubts()
    assert rig.trust._trial is not None
    begin = replace(rig.trust._trial._begin)
    rig.now_ms += 100
    rig.call()
    assert rig.trust._all.since(begin).waited_ms == 100


@pytest.mark.parametrize("long", [False, True])
def test_a_wait_that_begins_a_trial_is_remembered_unless_a_limit_of_a_day_explains_it(*, long: bool) -> None:
    rig = Rig()
    rig.now_ms += 1_000
    rig.hold(LATELY_MS, long=long)
    assert rig.doubts(A_DAY if long else BOUND)
    lately = rig.trust.lately(rig.now_ms, REMEMBERED_MS)
    assert (lately.waited_ms, lately.held_ms) == ((0, 0) if long else (LATELY_MS, LATELY_MS))
