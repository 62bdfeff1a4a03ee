"""Limits of which headers show another one's levels, and limits that are merely used up."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import HOUR_MS, MINUTE_MS, LimitMetric, Reading, SideReading
from headrace.broker.core.answers.refill_detection import SHORT_MS
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.level_reach import (
    ANSWERS_MIN,
    COARSE_MAX,
    REACH_PARTS,
    SIZES_MAX,
    LevelReach,
    LevelReaches,
)
from headrace.broker.core.budget.sent_calls import SENDS_MAX, SentCalls
from tests.unit.core.specimens import verdict

STATED, HELD, PERIOD_MS = 1_000_000, 60_000, MINUTE_MS
CALL, EVERY_MS = 400, 300


def tokens(remaining: int, full_in_ms: int | None, capacity: int = STATED) -> Reading:
    return Reading(LimitMetric.TOKENS, capacity, remaining, None, full_in_ms)


class Seen:
    """A reach, and the answers that it has been told of: each to a call sent some time after the last one."""

    def __init__(self) -> None:
        self.reach = LevelReach()
        self.now_ms = self.ours = 0

    def answer(self, remaining: int, full_in_ms: int | None, *, taken: int = CALL, ours: int | None = None) -> int:
        self.ours = self.ours + CALL if ours is None else ours
        self.now_ms += EVERY_MS
        return self.reach.observe(tokens(remaining, full_in_ms), taken, self.ours, self.now_ms)

    def sliding(self, calls: int, *, reset_ms: int = PERIOD_MS) -> int:
        """Calls that a sliding window of a minute counts."""
        return [self.answer(HELD - CALL - self.ours, reset_ms) for _ in range(calls)][-1]


def test_a_limit_holds_no_more_than_its_levels_reach_where_nothing_returns_but_what_is_ours() -> None:
    """Before: a day's limit beside the level of a minute held a reserve of 5 % of the day back from bulk calls."""
    seen = Seen()
    needed = max(ANSWERS_MIN, SHORT_MS // EVERY_MS + 2)
    assert seen.sliding(needed - 1) == STATED
    assert seen.sliding(1) == HELD


def test_it_takes_some_answers_however_slowly_they_come() -> None:
    seen = Seen()
    for number in range(1, ANSWERS_MIN + 1):
        seen.now_ms += SHORT_MS
        assert seen.sliding(1) == (HELD if number == ANSWERS_MIN else STATED)


def test_what_others_have_spent_returns_and_delays_that_until_the_longest_reset_is_over() -> None:
    seen = Seen()
    for number in range(PERIOD_MS // EVERY_MS):
        level = HELD + number * 900
        assert seen.answer(level, PERIOD_MS, ours=0) == STATED
    assert seen.answer(HELD, PERIOD_MS, ours=0) == HELD + (PERIOD_MS // EVERY_MS - 1) * 900 + CALL


def test_a_higher_level_disproves_it_and_the_limit_is_what_is_stated() -> None:
    seen = Seen()
    assert seen.sliding(20) == HELD
    assert seen.answer(HELD + 5_000, PERIOD_MS) == HELD + 5_000, "it holds that at least"
    assert seen.answer(STATED // REACH_PARTS + 1, PERIOD_MS) == STATED
    assert seen.sliding(20) == STATED
    assert seen.reach.is_own
    assert not seen.reach.watches


def test_another_limit_is_judged_anew() -> None:
    seen = Seen()
    assert seen.answer(STATED, PERIOD_MS) == STATED
    assert seen.reach.observe(tokens(HELD, 1_000, 2 * STATED), CALL, 0, 0) == 2 * STATED
    assert seen.reach.watches


def test_a_reset_of_hours_is_that_of_the_limit_stated() -> None:
    seen = Seen()
    seen.answer(HELD, MINUTE_MS + 1)
    assert seen.sliding(20) == STATED


def test_what_we_have_spent_ourselves_explains_a_low_level() -> None:
    seen = Seen()
    for _ in range(20):
        assert seen.answer(HELD, PERIOD_MS, ours=STATED // REACH_PARTS) == STATED


@pytest.mark.parametrize(("remaining", "full_in_ms"), [(0, PERIOD_MS), (HELD, None)])
def test_an_empty_limit_and_one_without_a_reset_show_nothing(remaining: int, full_in_ms: int | None) -> None:
    seen = Seen()
    for _ in range(20):
        assert seen.answer(remaining, full_in_ms) == STATED
    assert seen.sliding(20) == HELD - 20 * CALL
    assert seen.answer(remaining, full_in_ms) == HELD - 20 * CALL


def bucket(used: int, held: int = HELD, period_ms: int = PERIOD_MS) -> tuple[int, int]:
    """What a bucket states of which so much is used."""
    return held - used, used * period_ms // held


def test_levels_and_resets_show_the_size_of_a_smaller_bucket_whatever_flows_in() -> None:
    seen = Seen()
    for number in range(1, ANSWERS_MIN):
        assert seen.answer(*bucket(20_007 - 2_000 * number), ours=0, taken=300) == STATED
    assert abs(seen.answer(*bucket(4_007), ours=0, taken=300) - HELD) <= 1


def test_that_size_becomes_as_exact_as_the_resets_are() -> None:
    """A size that is wrong by three tokens makes other periods of each reset."""
    reach, held = LevelReach(), 600_000
    used = [7_009 + 110 * number for number in range(20)]  # which takes 0.9 ms more than the reset says
    sizes = [reach.observe(tokens(*bucket(each, held), 40 * held), 0, 0, 0) for each in used]
    assert sizes[ANSWERS_MIN - 2] == 40 * held
    assert sizes[-1] == held - 4
    assert reach.observe(tokens(*bucket(7_000, held), 40 * held), 0, 0, 0) == held + 1


def test_a_bucket_of_the_limit_stated_is_not_smaller() -> None:
    seen = Seen()
    for number in range(1, 20):
        remaining, full_in_ms = bucket(800_000 + 1_000 * number, STATED)
        assert seen.answer(remaining, full_in_ms, ours=number * 1_000) == STATED
    assert not seen.reach.watches


def test_a_bucket_of_more_than_a_quarter_of_the_limit_stated_is_no_other_limits() -> None:
    seen = Seen()
    for number in range(1, 20):
        assert seen.answer(*bucket(200_007 + 1_000 * number, 400_000), ours=0) == STATED
    assert seen.reach.is_own


def test_of_few_resets_many_buckets_have_made_as_much() -> None:
    seen = Seen()
    for _ in range(ANSWERS_MIN):
        assert seen.reach.observe(tokens(*bucket(600)), 0, 0, 0) == STATED


# Of the answers of a limit


def sliding(reaches: LevelReaches, shown: Reading | SideReading, *, refused: bool = False) -> Reading | SideReading:
    """Return what remains of a header after some answers that show it, to calls that are not ours."""
    answer = verdict(Meaning.RATE_LIMITED) if refused else verdict()
    other = Reading(LimitMetric.REQUESTS, 10, 1, None, 1_000)
    for number in range(ANSWERS_MIN):
        if isinstance(shown, Reading):
            told = replace(answer, readings=(other, shown))
        else:
            told = replace(answer, readings=(other,), side_readings=(shown,))
        told = reaches.corrected(told, lambda: CALL, number * EVERY_MS, SentCalls())
        assert told.readings[0] is other
    return (told.side_readings or told.readings[1:])[0]


def test_an_answers_limit_of_tokens_is_corrected_and_so_is_its_period() -> None:
    shown = tokens(HELD - CALL, 400)
    assert sliding(LevelReaches(), shown) == replace(shown, capacity=HELD, period_ms=MINUTE_MS)


def test_a_refused_call_was_not_charged() -> None:
    assert sliding(LevelReaches(), tokens(HELD, PERIOD_MS), refused=True).capacity == HELD


def test_limits_beside_tokens_are_corrected_likewise() -> None:
    shown = SideReading("input-tokens", STATED, HELD, None, PERIOD_MS)
    assert sliding(LevelReaches(), shown).capacity == HELD


def test_a_limit_whose_levels_are_its_own_is_left_as_it_is() -> None:
    shown = tokens(STATED - CALL, HOUR_MS)
    assert sliding(LevelReaches(), shown) is shown


def test_no_more_is_remembered_of_such_a_limit_until_it_has_another_size() -> None:
    reaches = LevelReaches()
    sliding(reaches, tokens(STATED - CALL, HOUR_MS))
    assert reaches._own == {"tokens": STATED}
    assert sliding(reaches, tokens(HELD - CALL, PERIOD_MS, 2 * STATED)).capacity == HELD


def test_a_limit_that_comes_back_after_another_one_is_judged_anew() -> None:
    reaches = LevelReaches()
    sliding(reaches, tokens(STATED - CALL, HOUR_MS))
    sliding(reaches, tokens(HELD - CALL, PERIOD_MS, 2 * STATED))
    assert sliding(reaches, tokens(HELD - CALL, PERIOD_MS)).capacity == HELD


def test_a_header_that_names_its_period_shows_the_level_of_that() -> None:
    shown = replace(tokens(HELD, PERIOD_MS), named=True)
    assert sliding(LevelReaches(), shown) is shown


def test_a_believed_size_outlasts_an_answer_without_a_reset() -> None:
    reaches = LevelReaches()
    sliding(reaches, tokens(HELD, PERIOD_MS))
    told = replace(verdict(), readings=(tokens(HELD, None),))
    told = reaches.corrected(told, lambda: CALL, 0, SentCalls())
    assert told.readings == (Reading(LimitMetric.TOKENS, HELD + CALL, HELD, None, None),)


def test_calls_that_were_sent_in_the_minute_before_are_ours() -> None:
    sends = SentCalls()
    sends.append(0, STATED // REACH_PARTS)
    for at_ms, size in ((MINUTE_MS, STATED), (2 * MINUTE_MS, HELD + CALL)):
        reaches = LevelReaches()
        for number in range(ANSWERS_MIN):
            told = replace(verdict(), readings=(tokens(HELD, PERIOD_MS),))
            told = reaches.corrected(told, lambda: CALL, at_ms - ANSWERS_MIN * EVERY_MS + number * EVERY_MS, sends)
        assert told.readings[0].capacity == size


def test_the_last_sizes_are_remembered_that_no_header_states() -> None:
    reaches = LevelReaches()
    assert sliding(reaches, tokens(STATED - CALL, HOUR_MS)).capacity == STATED
    assert reaches.sizes == ()
    for level in range(HELD, HELD + SIZES_MAX + 2):
        sliding(reaches, tokens(level, PERIOD_MS, 2 * STATED))
    largest = HELD + SIZES_MAX + 1
    assert reaches.sizes == (HELD + CALL, *range(HELD + CALL + 1, largest + 1))[-SIZES_MAX:]


def test_a_minute_of_more_calls_than_are_remembered_explains_any_level() -> None:
    """A busy sliding window stood still under a successor: of its calls, the last eight seconds counted."""
    sends, reaches = SentCalls(), LevelReaches()
    for number in range(2 * SENDS_MAX + 1):
        sends.append(number, 1)
    assert sends.forgotten
    told = replace(verdict(), readings=(tokens(HELD, PERIOD_MS),))
    for number in range(ANSWERS_MIN):
        at_ms = 2 * SENDS_MAX + number * EVERY_MS
        assert reaches.corrected(told, lambda: CALL, at_ms, sends).readings[0].capacity == STATED
    for number in range(ANSWERS_MIN):
        at_ms = 2 * SENDS_MAX + MINUTE_MS + number * EVERY_MS
        corrected = reaches.corrected(told, lambda: CALL, at_ms, sends)
    assert corrected.readings[0].capacity == HELD + CALL


@pytest.mark.parametrize("figures", [1, COARSE_MAX, COARSE_MAX + 1])
def test_a_size_that_few_figures_have_shown_is_coarse(figures: int) -> None:
    """Before: the highest of two rounded levels was taken for the limit, which holds twice as much."""
    reaches, step = LevelReaches(), HELD // 10
    for number in range(ANSWERS_MIN):
        told = replace(verdict(), readings=(tokens(HELD - min(number, figures - 1) * step, PERIOD_MS),))
        told = reaches.corrected(told, lambda: CALL, number * EVERY_MS, SentCalls())
    assert told.readings[0].capacity == HELD + CALL
    assert reaches.coarse == ({HELD + CALL} if figures <= COARSE_MAX else set())


def test_the_size_of_a_bucket_that_resets_have_shown_is_not_coarse() -> None:
    reaches = LevelReaches()
    for number in range(ANSWERS_MIN):
        full_in_ms = 30_000 + 7_500 * (number % 4)
        level = HELD - HELD * full_in_ms // MINUTE_MS
        told = replace(verdict(), readings=(tokens(level, full_in_ms),))
        told = reaches.corrected(told, lambda: CALL, number * EVERY_MS, SentCalls())
    assert told.readings[0].capacity == pytest.approx(HELD, rel=0.01)
    assert not reaches.coarse


def test_a_size_is_coarse_until_a_third_level_comes_and_no_longer() -> None:
    """Before, what eight equal levels had shown was coarse for good, though fine ones came later."""
    reaches = LevelReaches()
    sliding(reaches, tokens(HELD, PERIOD_MS))
    assert reaches.coarse == {HELD + CALL}
    sliding(reaches, tokens(HELD + 2 * CALL, PERIOD_MS))
    assert reaches.coarse == {HELD + 2 * CALL}, "the highest of two"
    sliding(reaches, tokens(HELD // 2, PERIOD_MS))
    assert reaches.coarse == set()
    assert reaches.guessed == {HELD + 2 * CALL}


def test_the_sizes_of_all_limits_are_coarse_until_their_levels_prove_their_own() -> None:
    reaches = LevelReaches()
    sliding(reaches, tokens(HELD, PERIOD_MS))
    assert reaches.coarse == {HELD + CALL}
    sliding(reaches, tokens(STATED - CALL, HOUR_MS))
    assert reaches.coarse == reaches.guessed == set()
