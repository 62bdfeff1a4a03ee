"""Trials for more than the mirrors know of, where no answer shows what is left: the first refusal decides."""

from dataclasses import replace

from headrace.broker.core.budget.mirror_trust import MORE_FIRST_MS, MORE_PPM, REMEMBERED_MS, TRIAL_MAX_MS
from headrace.broker.core.units import PPM
from tests.unit.core.budget.test_mirror_trust import BOUND, Rig

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
