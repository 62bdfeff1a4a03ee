import pytest

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.budget.bucket_mirror import RETRACE_EVERY_MS, RETRACED_AT_ONCE, Mirror
from headrace.broker.core.budget.sent_calls import SENDS_MAX
from headrace.broker.core.units import ROUNDING_TOKENS
from tests.unit.core.mirroring import MINUTE, WAY_MS, Caller


def test_what_can_be_spared_is_what_the_lower_end_has_beside_a_share_kept() -> None:
    caller = Caller()
    caller.send(10_000, 0)
    assert caller.mirror.spare(45_000, 0) == 5_000 - ROUNDING_TOKENS
    assert caller.mirror.payable_at(5_000 - 2 * ROUNDING_TOKENS, 45_000, 0) == 0
    assert caller.mirror.spare(50_000, 1) == 1 - ROUNDING_TOKENS


def test_paying_moves_the_ends_apart_by_the_rounding_of_the_law() -> None:
    caller = Caller()
    caller.send(400, 0)
    assert caller.interval(0) == (MINUTE - 400 - ROUNDING_TOKENS, MINUTE - 400 + ROUNDING_TOKENS)
    assert caller.mirror.payable_at(MINUTE - 400, 0, 0) == 2 * ROUNDING_TOKENS


def test_a_request_is_exactly_one() -> None:
    caller = Caller(LimitMetric.REQUESTS, 500)
    caller.send(400, 0)
    assert caller.interval(0) == (499, 499)


def test_the_first_answer_sets_the_level_whatever_was_believed() -> None:
    caller = Caller()
    number = caller.send(400, 0)
    assert caller.observe(30_000, number, 0) == (30_000, 30_001)
    assert caller.mirror.corrections == 0


def test_the_refill_since_the_sending_is_counted_but_for_that_of_a_way_perhaps() -> None:
    caller = Caller()
    number = caller.send(400, 0)
    assert caller.observe(30_000, number, 5_000) == (30_000 + 5_000 - WAY_MS, 35_001)


def test_an_answer_that_came_sooner_than_a_way_was_admitted_before_it_came() -> None:
    caller = Caller()
    number = caller.send(400, 0)
    assert caller.observe(30_000, number, 300) == (30_000, 30_301)


def test_an_answer_that_would_leave_more_than_a_full_bucket_agrees_that_it_is_full() -> None:
    caller = Caller()
    caller.mirror.inherit(0, 0)
    number = caller.send(400, 0)
    assert caller.observe(59_500, number, 5_000) == (60_000, 60_000)
    assert caller.mirror.corrections == 0


def test_the_first_answer_and_one_too_old_have_nothing_to_say_of_errors() -> None:
    caller = Caller()
    old = caller.send(400, 0)
    numbers = [caller.send(400, at) for at in (10, 20, 30)]
    told = [
        caller.mirror.observe(remaining, caller.admission_order(number, 40), caller.sends)
        for number, remaining in zip(
            (numbers[0], old, numbers[1], numbers[2]), (30_000, 50_000, 29_600, 9_000), strict=True
        )
    ]
    assert told[:3] == [None, None, 0]
    assert told[3] is not None
    assert told[3] < -19_000


def test_calls_sent_after_ours_are_counted_as_still_to_come() -> None:
    caller = Caller()
    number = caller.send(400, 0)
    caller.send(1_000, 2_000)
    caller.send(1_000, 4_000)
    low, high = caller.observe(30_000, number, 4_000)
    assert low == 30_000 + 3_000 - 2 * (1_000 + ROUNDING_TOKENS)  # admitted at 1 s: both are still to come
    assert high == 30_001 + 4_000 - 2 * (1_000 - ROUNDING_TOKENS)  # admitted at 0 s: refilled since, both to come


def test_calls_sent_just_before_ours_may_still_be_on_their_way() -> None:
    caller = Caller()
    caller.send(5_000, 0)
    caller.send(1_000, WAY_MS + 10)  # may be overtaken by ours; the first cannot
    number = caller.send(400, WAY_MS + 20)
    low, high = caller.observe(30_000, number, WAY_MS + 50)
    assert low == 30_000 - 1_000 - ROUNDING_TOKENS
    assert high == 30_001 + 30


def test_a_call_answered_before_ours_was_sent_cannot_be_on_its_way() -> None:
    caller = Caller()
    caller.observe(50_000, caller.send(1_000, 0), 10)
    still_open = caller.send(2_000, 20)
    number = caller.send(400, 30)
    caller.observe(49_000, still_open, 40)
    assert caller.mirror._seen(30_000, caller.admission_order(number, 40), caller.sends) == (
        (30_000 - 2_000 - ROUNDING_TOKENS) * MINUTE,
        (30_000 + 1 + 10) * MINUTE,
    )


def test_our_own_charge_is_in_what_remains_however_long_the_answer_took() -> None:
    caller = Caller()
    number = caller.send(400, 0)
    assert caller.observe(30_000, number, 3 * WAY_MS)[0] == 30_000 + 2 * WAY_MS


def test_an_answer_raises_the_lower_end_too() -> None:
    caller = Caller()
    caller.mirror.inherit(1_000, 0)
    number = caller.send(400, 0)
    assert caller.observe(40_000, number, 100) == (40_000, 40_101)
    assert caller.mirror.corrections == 0


def test_an_answer_that_agrees_only_narrows() -> None:
    caller = Caller()
    caller.observe(30_000, caller.send(400, 0), 0)
    slow = caller.send(400, 0)
    low, high = caller.interval(20_000)
    assert caller.observe(29_600, slow, 20_000) == (low, high - ROUNDING_TOKENS)
    assert caller.mirror.corrections == 0


def test_an_answer_that_contradicts_replaces_what_was_believed_downwards() -> None:
    caller = Caller()
    caller.observe(30_000, caller.send(400, 0), 0)
    number = caller.send(400, 0)
    assert caller.observe(20_000, number, 10) == (20_000, 20_011)
    assert caller.mirror.corrections == 1
    assert caller.error == 20_011 - (30_000 + 10 - 400 - ROUNDING_TOKENS)


def test_an_answer_that_contradicts_replaces_what_was_believed_upwards() -> None:
    caller = Caller()
    caller.observe(30_000, caller.send(400, 0), 0)
    number = caller.send(400, 0)
    assert caller.observe(50_000, number, 10) == (50_000, 50_011)
    assert (caller.mirror.corrections, caller.error) == (1, 50_000 - (30_001 + 10 - 400 + ROUNDING_TOKENS))


@pytest.mark.parametrize("remaining", [100, 59_000])
def test_the_answer_to_an_older_call_than_the_one_that_set_the_level_never_replaces_it(remaining: int) -> None:
    caller = Caller()
    old = caller.send(400, 0)
    caller.observe(30_000, caller.send(400, 0), 10)
    before = caller.interval(20)
    assert caller.observe(remaining, old, 20) == before


@pytest.mark.parametrize(("remaining", "counts"), [(50_000, False), (10_000, True)])
def test_who_was_sent_before_a_call_that_was_refused_knows_of_less_at_most(remaining: int, *, counts: bool) -> None:
    """What others had taken by then is not in it."""
    caller = Caller()
    caller.observe(30_000, caller.send(400, 0), 0)
    old, refused = caller.send(400, 10), caller.send(400, 2_000)
    before = caller.observe(31_200, refused, 2_000)
    assert caller.mirror.corrections == 0
    caller.mirror.doubt(31_200, caller.admission_order(refused, 2_000), caller.sends)
    assert (caller.observe(remaining, old, 2_000) != before) == counts
    assert caller.mirror.corrections == int(counts)


def test_a_refused_call_raises_the_upper_end_and_the_answer_the_lower() -> None:
    caller = Caller()
    caller.observe(30_000, caller.send(400, 0), 0)
    number = caller.send(10_000, 0)
    caller.sends.strike(number)
    caller.mirror.refund(10_000, number, 0)
    assert caller.interval(0) == (20_000 - ROUNDING_TOKENS, 30_001)
    assert caller.observe(25_000, number, 0) == (25_000, 25_001)


def test_a_struck_call_is_not_counted_when_a_later_answer_looks_back() -> None:
    caller = Caller()
    first = caller.send(400, 0)
    refused = caller.send(10_000, 10)
    caller.send(500, 20)
    caller.observe(30_000, first, 20)
    caller.sends.strike(refused)
    caller.mirror.refund(10_000, refused, 30)
    last = caller.send(400, 30)
    assert caller.mirror._seen(29_000, caller.admission_order(last, 30), caller.sends) == (
        (29_000 - 500 - ROUNDING_TOKENS) * MINUTE,
        29_001 * MINUTE,
    )


def test_once_calls_are_dearer_than_they_were_paid_the_next_answer_sets_the_level() -> None:
    caller = Caller()
    caller.observe(30_000, caller.send(400, 0), 0)
    number = caller.send(1_000, 0)
    caller.send(1_000, 0)
    assert caller.mirror._seen(28_300, caller.admission_order(number, 0), caller.sends) == (
        (28_300 - 1_000 - ROUNDING_TOKENS) * MINUTE,
        28_301 * MINUTE,
    )
    caller.sends.reprice(1_700_000, 1_000_000)
    caller.mirror.reprice(caller.sends)
    assert caller.observe(28_300, number, 0)[0] == 28_300 - 1_700 - ROUNDING_TOKENS
    assert caller.mirror.corrections == 0


def test_a_limit_is_followed_up_and_down_and_its_answer_sets_the_level() -> None:
    caller = Caller()
    caller.observe(30_000, caller.send(400, 0), 0)
    for number, capacity in enumerate((90_000, 20_000), start=1):
        caller.send(400, 0)
        assert caller.mirror.adopt_capacity(capacity, number, 0)
        assert caller.mirror.capacity == capacity
        assert caller.observe(15_000, number, 0) == (15_000, 15_001)


def test_under_another_limit_the_refill_since_then_is_another_too() -> None:
    caller = Caller()
    first, second = caller.send(400, 0), caller.send(400, 5_000)
    caller.observe(30_000, first, 6_000)
    caller.mirror.adopt_capacity(10 * MINUTE, second, 6_000)
    assert caller.observe(300_000, second, 6_000) == (300_000, 310_001)


def test_a_limit_that_an_older_call_was_told_is_not_followed() -> None:
    caller = Caller()
    assert caller.mirror.adopt_capacity(90_000, 7, 0)
    assert not caller.mirror.adopt_capacity(60_000, 6, 0)
    assert caller.mirror.adopt_capacity(90_000, 6, 0)
    assert (caller.mirror.capacity, caller.mirror.period_ms) == (90_000, MINUTE)


def test_the_answer_to_a_call_long_forgotten_tells_nothing() -> None:
    caller = Caller()
    forgotten = caller.send(1, 0)
    for now in range(2 * SENDS_MAX):
        caller.send(1, now)
    caller.mirror.inherit(0, 2 * SENDS_MAX)
    before = caller.interval(2 * SENDS_MAX)
    assert caller.observe(50_000, forgotten, 2 * SENDS_MAX) == before
    assert caller.observe(50_000, SENDS_MAX + 5, 2 * SENDS_MAX) == before  # calls just before it are forgotten


def test_a_mirror_that_has_followed_every_call_sees_what_a_new_one_sees() -> None:
    caller = Caller()
    for now in range(0, 10 * (2 * SENDS_MAX - 1), 10):
        caller.send(10, now)
    caller.observe(100, 5_000, 10 * 5_000)  # traces the course before the oldest calls are forgotten
    now = 10 * 2 * SENDS_MAX
    for at in (now - 20, now - 10, now):
        number = caller.send(10, at)
        seen = caller.mirror._seen(20_000, caller.admission_order(number, now + 5), caller.sends)
        assert seen == Mirror(LimitMetric.TOKENS, MINUTE, MINUTE, 0)._seen(
            20_000, caller.admission_order(number, now + 5), caller.sends
        )
        assert seen is not None
    assert caller.sends.forgotten


def test_what_a_call_paid_beyond_its_charge_is_given_back_at_both_ends_and_what_it_lacked_is_taken() -> None:
    caller = Caller()
    caller.send(10_000, 0)
    low, high = caller.interval(0)
    for excess in (4_000, -7_000):
        caller.mirror.correct([(0, excess)], 0, caller.sends)
        low, high = low + excess, high + excess
        assert caller.interval(0) == (low, high)


def test_a_correction_gives_nothing_back_that_a_full_bucket_has_lost() -> None:
    caller = Caller()
    caller.send(40_000, 0)
    caller.send(10_000, 45_000)
    low, high = caller.interval(45_000)
    caller.mirror.correct([(0, 39_000)], 45_000, caller.sends)
    assert caller.interval(45_000) == (low, MINUTE)
    assert low <= MINUTE - 10_000 <= high


@pytest.mark.parametrize("apart_ms", [1_000, 20])
def test_a_correction_gives_back_at_most_what_a_bucket_had_room_for_since(apart_ms: int) -> None:
    """The call of 10,000 found 55,000 and a few, and would have found 60,000; those before found less."""
    caller = Caller()
    caller.send(45_000, 0)
    for number in range(40):
        caller.send(10, apart_ms * number)
    before = caller.mirror.low(40_000)
    caller.send(10_000, 40_000)
    caller.send(1_000, 45_000)
    low, _ = caller.interval(45_000)
    caller.mirror.correct([(0, 40_000)], 45_000, caller.sends)
    assert caller.mirror.low(45_000) == low + MINUTE - before


def test_what_a_call_paid_too_little_is_not_taken_from_a_bucket_that_was_full_since() -> None:
    caller = Caller()
    caller.send(100, 0)
    caller.send(10_000, 10_000)
    interval = caller.interval(10_000)
    caller.mirror.correct([(0, -5_000)], 10_000, caller.sends)
    assert caller.interval(10_000) == interval
    caller.send(10, 10_000)
    low, high = caller.interval(10_000)
    caller.mirror.correct([(1, -5_000)], 10_000, caller.sends)
    assert caller.interval(10_000) == (low - 5_000, high - 5_000)


def test_calls_corrected_at_once_share_the_room_of_their_bucket() -> None:
    caller = Caller()
    caller.send(20_000, 0)
    caller.send(20_000, 0)
    caller.send(10_000, 30_000)
    low = caller.mirror.low(30_000)
    caller.mirror.correct([(0, 19_000), (1, 19_000)], 30_000, caller.sends)
    assert caller.mirror.low(30_000) == MINUTE - 10_000 - ROUNDING_TOKENS
    assert low == 60_000 - 40_004 + 30_000 - 10_002


def test_a_correction_of_a_call_that_a_newer_answer_has_counted_changes_nothing() -> None:
    caller = Caller()
    older, newer = caller.send(10_000, 0), caller.send(400, 2_000)
    interval = caller.observe(30_000, newer, 4_000)
    caller.mirror.correct([(older, 4_000)], 4_000, caller.sends)
    caller.mirror.correct([(older, -9_000)], 4_000, caller.sends)
    assert caller.interval(4_000) == interval


def test_a_correction_of_a_call_that_a_newer_answer_may_have_counted_widens_the_interval() -> None:
    caller = Caller()
    caller.observe(40_000, caller.send(400, 0), 0)
    mispriced, newest = caller.send(10_000, 2_000), caller.send(400, 4_000)
    low, high = caller.observe(caller.interval(4_000)[0] + 1, newest, 4_000)
    assert caller.error == 0
    caller.mirror.correct([(mispriced, 3_000)], 4_000, caller.sends)
    assert caller.interval(4_000) == (low, high + 3_000)
    caller.mirror.correct([(mispriced, -3_000)], 4_000, caller.sends)
    assert caller.interval(4_000) == (low - 3_000, high + 3_000)


def test_an_answer_reckons_with_the_corrected_amounts_of_the_calls_after_its_own() -> None:
    caller = Caller()
    first, second = caller.send(400, 0), caller.send(10_000, 4_000)
    caller.sends.amounts[LimitMetric.TOKENS][second] = 3_000
    caller.mirror.correct([(second, 7_000)], 4_000, caller.sends)
    assert caller.observe(50_000, first, 4_000)[0] == 50_000 + 4_000 - WAY_MS - 3_000 - ROUNDING_TOKENS


def test_behind_many_calls_the_curve_follows_corrections_every_tenth_of_a_second() -> None:
    caller = Caller(capacity=12_000_000)
    numbers = [caller.send(10_000, 2 * WAY_MS * min(1, each)) for each in range(4 + RETRACED_AT_ONCE)]
    amounts, spent = caller.sends.amounts[LimitMetric.TOKENS], []

    def reckon(remaining: int, now_ms: int) -> None:
        """Note what the calls after the first have spent, by an answer that contradicts the one before."""
        caller.mirror.observe(remaining, caller.admission_order(numbers[0], now_ms), caller.sends)
        spent.append(remaining + 200 * (now_ms - WAY_MS) - caller.interval(now_ms)[0])

    reckon(8_000_000, from_ms := 2 * WAY_MS)
    for index, now_ms in enumerate((from_ms, from_ms + RETRACE_EVERY_MS - 1, from_ms + RETRACE_EVERY_MS), start=1):
        amounts[numbers[index]] -= 5_000
        caller.mirror.correct([(numbers[index], 5_000)], now_ms, caller.sends)
        reckon(8_000_000 - 500_000 * index, now_ms)
    assert [spent[0] - each for each in spent] == [0, 5_000, 5_000, 15_000]
