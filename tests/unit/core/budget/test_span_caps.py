from itertools import pairwise
from random import Random

import pytest

from headrace.broker.core.budget.hold import FIRST_MS
from headrace.broker.core.budget.recent_spending import SPANS_MS, RecentSpending, Sums
from headrace.broker.core.budget.span_caps import ADMISSIONS_MIN, ADMISSIONS_REMEMBERED, RAISED_EVERY, SpanCaps
from headrace.broker.core.units import PPM
from tests.unit.core.pacing import Admits, sliding

LONG_MS = 10**9
SECOND, SIX = SPANS_MS.index(1_000), SPANS_MS.index(6_000)


def found(span: int, tokens: int, calls: int = 1) -> Sums:
    """The sums of a call that found nothing but these, in one span."""
    return Sums(
        tuple(tokens if index == span else 0 for index in range(len(SPANS_MS))),
        tuple(calls if index == span else 0 for index in range(len(SPANS_MS))),
    )


def admitted(caps: SpanCaps, span: int, tokens: int = 100, calls: int = 1, times: int = 100) -> SpanCaps:
    for _ in range(times):
        caps.record_admission(found(span, tokens, calls))
    return caps


def capped(span: int = SECOND, refused: int = 1_000, now_ms: int = 0) -> SpanCaps:
    """Caps that have learned one of tokens: calls that found 100 were admitted, three that found more were not."""
    caps = admitted(SpanCaps(), span)
    learned = [bool(caps.learn(found(span, refused + extra), now_ms, LONG_MS)) for extra in (20, 10, 0)]
    assert learned[-1]
    return caps


def cap_of(caps: SpanCaps, span: int, *, of_calls: bool = False) -> int | None:
    """Return the tokens or calls to which a span is capped."""
    cap_ppm = caps._caps_ppm[of_calls][span]
    return None if cap_ppm is None else cap_ppm // PPM


def play(
    admits: Admits, seed: int, seconds: int, *, mean_gap_ms: float = 100, tokens: tuple[int, ...] = (300, 700, 1_000)
) -> tuple[SpanCaps, list[bool]]:
    """Send calls at random instants, within the caps, and let them learn of each refusal; return what was admitted."""
    chance, caps, spending, now_ms, outcomes = Random(seed), SpanCaps(), RecentSpending(), 0, []
    while now_ms < seconds * 1_000:
        now_ms += round(chance.expovariate(1 / mean_gap_ms))
        amount = chance.choice(tokens)
        spending.settle(now_ms)
        while (at_ms := caps.payable_at(amount, spending, now_ms)) > now_ms:
            now_ms = at_ms
            spending.settle(now_ms)
        number = spending.add(amount, now_ms)
        sums = spending.sums()
        outcomes.append(admits(amount, now_ms + 10))
        if outcomes[-1]:
            caps.record_admission(sums)
        else:
            spending.strike(number)
            caps.learn(sums, now_ms, now_ms)
    return caps, outcomes


@pytest.mark.parametrize(("span_ms", "calls"), [(1_000, 8), (6_000, 50), (250, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_a_cap_of_calls_is_learned_from_refusals_and_after_that_few_come(span_ms: int, calls: int, seed: int) -> None:
    gap_ms = span_ms / calls
    caps, outcomes = play(sliding(calls, span_ms, of_calls=True), seed, 60, mean_gap_ms=gap_ms)
    assert cap_of(caps, SPANS_MS.index(span_ms), of_calls=True) == calls
    assert all(outcomes[len(outcomes) // 2 :])
    assert not all(outcomes)


def test_a_cap_of_tokens_is_learned_just_below_what_was_refused() -> None:
    caps, outcomes = play(sliding(6_000, 1_000), 0, 60, mean_gap_ms=100)
    cap = cap_of(caps, SECOND)
    assert cap is not None
    assert 5_000 < cap <= 6_300
    late = outcomes[len(outcomes) // 2 :]
    assert late.count(False) * 50 < len(late)


@pytest.mark.parametrize("seed", range(5))
def test_refusals_by_chance_are_explained_by_no_cap(seed: int) -> None:
    chance, caps = Random(seed), SpanCaps()

    def drawn() -> tuple[int, ...]:
        return tuple(chance.randrange(1_000_000) for _ in SPANS_MS)

    for _ in range(300):
        sums = Sums(drawn(), drawn())
        if chance.random() < 0.9:
            caps.record_admission(sums)
        else:
            assert not caps.learn(sums, 0, LONG_MS)


@pytest.mark.parametrize("seed", range(5))
def test_nor_are_those_of_calls_in_a_row_which_found_similar_sums(seed: int) -> None:
    chance = Random(1_000 + seed)
    caps, outcomes = play(lambda _tokens, _now_ms: chance.random() > 0.02, seed, 60, mean_gap_ms=50)
    assert not all(outcomes)
    assert {cap for metric in caps._caps_ppm for cap in metric} == {None}


def test_before_a_refusal_nothing_is_capped() -> None:
    assert cap_of(admitted(SpanCaps(), SECOND), SECOND) is None


def test_three_refusals_that_found_more_than_any_admitted_call_are_a_cap_and_two_are_none() -> None:
    caps = admitted(SpanCaps(), SECOND)
    assert [bool(caps.learn(found(SECOND, 1_000), 0, LONG_MS)) for _ in range(3)] == [False, False, True]
    assert cap_of(caps, SECOND) == 980


def test_a_cap_is_found_by_one_refusal_and_is_known_at_the_next_ones() -> None:
    caps = admitted(SpanCaps(), SECOND)
    assert [(caps.learn(found(SECOND, 1_000), 0, LONG_MS), caps.takes_new()) for _ in range(4)] == [
        (0, False),
        (0, False),
        (3, True),
        (4, False),
    ]
    again = capped()
    again.learn(found(SECOND, 50), 0, LONG_MS)
    assert [again.takes_new(), again.takes_new()] == [True, False], "it is told once, however late"


@pytest.mark.parametrize(("once", "is_cap"), [(3_000, True), (3_001, False)])
def test_no_cap_is_less_than_a_third_of_what_was_admitted_lately(once: int, *, is_cap: bool) -> None:
    """Before: refusals by others' bursts had lowered a rate, and the next ones capped ten seconds (seed 93191)."""
    caps = admitted(SpanCaps(), SECOND, times=ADMISSIONS_REMEMBERED)
    caps.record_answer(found(SECOND, once))
    assert [bool(caps.learn(found(SECOND, 1_000), 0, LONG_MS)) for _ in range(3)][-1] is is_cap


def test_an_admission_that_was_none_lets_a_span_be_capped() -> None:
    caps = admitted(SpanCaps(), SECOND)
    caps.record_admission(found(SECOND, 9_000))
    caps.withdraw_admission(found(SECOND, 9_000))
    assert [bool(caps.learn(found(SECOND, 1_000), 0, LONG_MS)) for _ in range(3)][-1]


def test_nor_is_a_known_one_set_again_that_has_been_exceeded_so_far() -> None:
    for once, again in ((3_000, 1), (3_001, 0)):
        caps = capped()
        caps.record_answer(found(SECOND, once))
        caps._refused.clear()
        assert caps.learn(found(SECOND, 1_000), 0, LONG_MS) == again


def test_the_cap_is_just_below_the_least_that_was_refused() -> None:
    assert cap_of(capped(refused=1_000), SECOND) == 980


def test_few_admissions_are_no_evidence() -> None:
    for times, is_enough in ((ADMISSIONS_MIN - 1, False), (ADMISSIONS_MIN, True)):
        caps = admitted(SpanCaps(), SECOND, times=times)
        learned = [bool(caps.learn(found(SECOND, 1_000), 0, LONG_MS)) for _ in range(4)]
        assert learned[-1] is is_enough


def test_sums_that_many_admitted_calls_found_too_explain_nothing() -> None:
    for high, explains in ((18, True), (22, False)):
        caps = admitted(SpanCaps(), SECOND, times=100 - high)
        admitted(caps, SECOND, tokens=2_000, times=high)
        assert [bool(caps.learn(found(SECOND, 1_000), 0, LONG_MS)) for _ in range(10)][-1] is explains


def test_a_span_explains_most_of_the_refusals_or_is_not_capped() -> None:
    for explained, is_cap in ((7, True), (6, False)):
        caps = admitted(SpanCaps(), SECOND)
        for _ in range(10 - explained):
            assert not caps.learn(found(SECOND, 50), 0, LONG_MS)
        learned = [bool(caps.learn(found(SECOND, 1_000), 0, LONG_MS)) for _ in range(explained)]
        assert learned[-1] is is_cap


def test_a_refusal_far_below_the_others_is_not_explained_by_their_cap() -> None:
    caps = capped()
    assert not caps.learn(found(SECOND, 90), 0, LONG_MS)
    assert cap_of(caps, SECOND) == 980


def test_a_span_that_has_not_passed_twice_is_not_capped() -> None:
    for observed_ms, is_cap in ((1_999, False), (2_000, True)):
        caps = admitted(SpanCaps(), SECOND)
        assert [bool(caps.learn(found(SECOND, 1_000), 0, observed_ms)) for _ in range(3)][-1] is is_cap


def test_the_span_that_explains_best_is_capped() -> None:
    caps = SpanCaps()
    for number in range(100):  # over six seconds, every eighth admitted call found as much as the refused ones
        six = 5_000 if number % 8 == 0 else 1_000
        caps.record_admission(Sums((0, 100, 0, six, 0, 0), (0, 0, 0, 0, 0, 0)))
    for _ in range(5):
        caps.learn(Sums((0, 1_000, 0, 5_000, 0, 0), (0, 0, 0, 0, 0, 0)), 0, LONG_MS)
    assert cap_of(caps, SECOND) == 980
    assert cap_of(caps, SIX) is None


def test_admissions_of_long_ago_are_forgotten() -> None:
    caps = admitted(SpanCaps(), SECOND, tokens=2_000, times=ADMISSIONS_REMEMBERED)
    admitted(caps, SECOND, times=ADMISSIONS_REMEMBERED)
    assert [bool(caps.learn(found(SECOND, 1_000), 0, LONG_MS)) for _ in range(3)][-1]


def test_an_admission_that_was_none_is_no_evidence() -> None:
    caps = admitted(SpanCaps(), SECOND)
    admitted(caps, SECOND, tokens=1_000, times=25)
    for _ in range(26):  # one of them has been forgotten already
        caps.withdraw_admission(found(SECOND, 1_000))
    assert [bool(caps.learn(found(SECOND, 1_000), 0, LONG_MS)) for _ in range(3)][-1]


def test_a_call_waits_until_enough_has_left_the_span() -> None:
    caps, spending = capped(), RecentSpending()
    spending.add(400, 0)
    spending.add(400, 300)
    spending.settle(500)
    assert caps.payable_at(180, spending, 500) == 500
    at_ms = caps.payable_at(181, spending, 500)
    spending.settle(at_ms - 1)
    assert caps.payable_at(181, spending, at_ms - 1) == at_ms
    spending.settle(at_ms)
    assert caps.payable_at(181, spending, at_ms) == at_ms
    assert 1_000 <= at_ms <= 1_050


def test_a_call_larger_than_the_cap_goes_alone() -> None:
    caps, spending = capped(), RecentSpending()
    assert caps.payable_at(5_000, spending, 0) == 0
    spending.add(1, 0)
    spending.add(1, 700)
    spending.settle(800)
    assert caps.payable_at(5_000, spending, 800) >= 1_700


def test_a_call_waits_for_the_longest_of_several_caps() -> None:
    caps, spending = capped(), RecentSpending()
    admitted(caps, SIX)
    assert [caps.learn(found(SIX, 2_000), 0, LONG_MS) for _ in range(8)][-1]
    spending.add(900, 0)
    spending.settle(1_200)
    assert caps.payable_at(900, spending, 1_200) == 1_200
    spending.add(900, 1_200)
    spending.settle(1_300)
    assert 2_200 <= caps.payable_at(100, spending, 1_300) < 2_300
    assert 6_000 <= caps.payable_at(900, spending, 1_300) < 6_100


def raised(caps: SpanCaps, calls: int, now_ms: int = 1) -> SpanCaps:
    for _ in range(calls // RAISED_EVERY):
        caps.raise_all(now_ms)
    return caps


def test_a_cap_is_raised_while_calls_are_admitted_the_longer_the_faster() -> None:
    caps = capped(refused=1_000_000)
    levels = [cap_of(raised(caps, 200), SECOND) for _ in range(4)]
    assert None not in levels
    steps = [later - sooner for sooner, later in pairwise(levels) if sooner and later]
    assert 0 < steps[0] < steps[1] < steps[2]
    assert levels[0] is not None
    assert levels[0] < 1_050_000


def test_a_cap_that_refusals_confirm_is_held_before_it_is_raised() -> None:
    caps = capped()
    caps.learn(found(SECOND, 1_000), 10, LONG_MS)
    assert cap_of(raised(caps, 400, 10 + FIRST_MS - 1), SECOND) == 980
    assert cap_of(raised(caps, 400, 10 + FIRST_MS), SECOND) != 980


def test_a_cap_that_binds_no_more_is_dropped_in_the_end_instead_of_growing_for_ever() -> None:
    caps = capped()
    assert cap_of(raised(caps, 1_000), SECOND) is not None
    assert cap_of(raised(caps, 10_000), SECOND) is None
    raised(caps, 100)
    assert [bool(caps.learn(found(SECOND, 1_000), 0, LONG_MS)) for _ in range(3)][-1]
    assert cap_of(caps, SECOND) == 980


def test_the_next_refusal_at_a_cap_begins_its_rise_anew() -> None:
    caps = raised(capped(refused=1_000_000), 1_000)
    assert caps.learn(found(SECOND, 1_000_000), 1, LONG_MS)
    first = raised(caps, RAISED_EVERY, LONG_MS)
    assert cap_of(first, SECOND) == cap_of(raised(capped(refused=1_000_000), RAISED_EVERY, LONG_MS), SECOND)


def test_with_other_prices_the_same_calls_fit_into_the_cap() -> None:
    caps, spending = capped(), RecentSpending()
    caps.reprice(2 * PPM)
    spending.add(1_000, 0)
    assert caps.payable_at(960, spending, 0) == 0
    assert caps.payable_at(961, spending, 0) > 0


def test_with_other_prices_a_cap_of_calls_stays() -> None:
    caps = admitted(SpanCaps(), SECOND, tokens=100, calls=2)
    assert [bool(caps.learn(found(SECOND, 100, calls=5), 0, LONG_MS)) for _ in range(3)][-1]
    caps.reprice(3 * PPM)
    assert cap_of(caps, SECOND, of_calls=True) == 4


def test_sums_of_former_prices_count_at_the_new_ones() -> None:
    """Before: a price that changed a little with each answer let no cap be learned."""
    caps = admitted(SpanCaps(), SECOND)
    for _ in range(2):
        assert not caps.learn(found(SECOND, 1_000), 0, LONG_MS)
    caps.reprice(2 * PPM)
    assert caps.learn(found(SECOND, 2_000), 0, LONG_MS) == 3


def test_a_cap_that_was_raised_is_set_again_by_one_refusal_where_the_first_ones_came() -> None:
    for refused, again in ((1_000, True), (500, False)):
        caps = capped()
        admitted(caps, SECOND, tokens=600, times=ADMISSIONS_REMEMBERED)
        for _ in range(60):
            caps.raise_all(LONG_MS)
        raised = cap_of(caps, SECOND)
        assert raised is not None
        assert raised > 1_200
        assert bool(caps.learn(found(SECOND, refused), LONG_MS, LONG_MS)) is again
        assert cap_of(caps, SECOND) == (980 if again else raised)


def test_a_cap_is_not_set_again_at_a_sum_that_many_admitted_calls_have_found_since() -> None:
    caps = capped()
    for _ in range(60):
        caps.raise_all(LONG_MS)
    admitted(caps, SECOND, tokens=1_100, times=ADMISSIONS_REMEMBERED)
    assert not caps.learn(found(SECOND, 1_050), LONG_MS, LONG_MS)


def test_a_cap_of_calls_asks_them_to_be_apart_and_one_of_tokens_does_not() -> None:
    caps = capped()
    assert (caps.any, SpanCaps().any) == (True, False)
    assert caps.gap_ms() == 0
    caps._caps_ppm[True][SECOND] = 5 * PPM
    caps._caps_ppm[True][SIX] = 20 * PPM
    assert caps.gap_ms() == 6_000 // 20 * 9 // 10


def test_a_cap_of_calls_still_counts_after_one_of_tokens_has_explained_refusals() -> None:
    """Before: the last one decided, so where a server limited both by turns calls were paced by their tokens."""
    caps = admitted(SpanCaps(), SIX, tokens=0, calls=2)
    assert not caps.any_of_calls
    assert [bool(caps.learn(found(SIX, 0, 40), 0, LONG_MS)) for _ in range(3)][-1]
    assert caps.any_of_calls
    admitted(caps, SECOND, times=400)
    assert [bool(caps.learn(found(SECOND, 1_000), 0, LONG_MS)) for _ in range(10)][-1]
    assert cap_of(caps, SECOND) is not None
    assert caps.any_of_calls
    assert not capped().any_of_calls


def test_caps_let_calls_of_a_mean_size_spend_so_much_a_minute() -> None:
    caps = SpanCaps()
    assert caps.per_minute(300) is None
    caps._caps_ppm[True][SPANS_MS.index(1_000)] = 5_900_000
    assert caps.per_minute(300) == 5 * 300 * 60_000_000 // 1_030
    caps._caps_ppm[False][SPANS_MS.index(6_000)] = 6_000 * PPM
    assert caps.per_minute(300) == 6_000 * 60_000_000 // 6_030
