"""What makes a mirror forget or pay anew what it believed."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.sent_calls import SENDS_MAX, AdmissionOrder
from headrace.broker.core.units import ROUNDING_TOKENS
from tests.unit.core.mirroring import MINUTE, WAY_MS, Caller


def test_a_refusal_of_what_could_be_paid_lowers_the_lower_end_although_it_agrees() -> None:
    caller = Caller()
    caller.observe(1_000, caller.send(400, 0), 0)
    number = caller.send(900, 10)
    caller.sends.strike(number)
    caller.mirror.refund(900, number, 20)
    assert caller.mirror.observe(900, caller.admission_order(number, 20), caller.sends) == 0
    caller.mirror.inherit(903, 20)
    assert caller.mirror.observe(900, caller.admission_order(number, 20), caller.sends) == 0
    assert caller.interval(20)[0] == 903
    caller.mirror.doubt(900, caller.admission_order(number, 20), caller.sends)
    assert caller.interval(20)[0] == 900
    caller.mirror.inherit(100, 20)
    caller.mirror.doubt(900, caller.admission_order(number, 20), caller.sends)
    assert caller.interval(20)[0] == 100


def test_a_doubt_about_a_call_long_forgotten_changes_nothing() -> None:
    caller = Caller()
    for now in range(2 * SENDS_MAX + 1):
        caller.send(1, now)
    before = caller.interval(2 * SENDS_MAX)
    caller.mirror.doubt(50_000, caller.admission_order(0, 2 * SENDS_MAX), caller.sends)
    assert caller.interval(2 * SENDS_MAX) == before


def test_it_is_half_full_by_its_lower_end() -> None:
    mirror = Mirror(LimitMetric.TOKENS, 60_000, MINUTE, 0)
    mirror.inherit(29_999, 0)
    assert not mirror.is_half_full(0)
    assert mirror.is_half_full(1)


def test_no_more_is_trusted_than_a_call_that_goes_alone_needs() -> None:
    caller = Caller()
    caller.observe(30_000, caller.send(400, 0), 0)
    caller.mirror.trust_no_more_than(500, 0)
    assert caller.interval(0) == (500 + ROUNDING_TOKENS, 30_001)
    caller.mirror.trust_no_more_than(40_000, 0)
    assert caller.interval(0) == (500 + ROUNDING_TOKENS, 30_001)


def test_where_nobody_says_what_is_there_calls_that_were_paid_too_dearly_are_paid_anew() -> None:
    caller = Caller()
    caller.send(1_000, 0)
    caller.send(3_000, 10)
    caller.sends.reprice(500_000, 1_000_000)
    caller.mirror.reprice(caller.sends)
    assert caller.interval(10) == (
        MINUTE - 500 + 10 - 1_500 - 2 * ROUNDING_TOKENS,
        MINUTE - 500 + 10 - 1_500 + 2 * ROUNDING_TOKENS,
    )


def test_no_call_that_was_admitted_has_left_less_than_nothing_however_dear_it_seems_now() -> None:
    """Before: a bucket that no answer shows was believed in debt, and nothing was sent for a minute."""
    caller = Caller()
    for number in range(3):
        caller.send(MINUTE // 3, 10 * number)
    caller.sends.reprice(4_000_000, 1_000_000)
    caller.mirror.reprice(caller.sends)
    assert caller.interval(20) == (0, 0)
    assert caller.interval(1_020) == (1_000, 1_000)
    caller.mirror.reprice(caller.sends, owes=True)
    assert caller.interval(20)[0] == -MINUTE


def test_of_what_was_heard_once_the_next_answer_tells_again() -> None:
    caller = Caller()
    caller.observe(30_000, caller.send(1_000, 0), 0)
    caller.mirror.reprice(caller.sends)
    assert caller.interval(0) == (30_000, 30_001)


@pytest.mark.parametrize("metric", LimitMetric)
@pytest.mark.parametrize("count", [9, 2 * SENDS_MAX + 9])
def test_a_course_followed_call_by_call_is_the_one_that_an_answer_makes_up_for(metric: LimitMetric, count: int) -> None:
    caller = Caller(metric)
    for number in range(count):
        caller.send(number % 7 + 1, 10 * number)
        if number == count - 6:
            caller.mirror.refund(1, number - 1, 10 * number)
            caller.sends.strike(number - 1)
            caller.observe(30_000, number - 2, 10 * number)
    behind = Mirror(metric, MINUTE, MINUTE, 0)
    for number in range(count - 5, count):
        heard = caller.admission_order(number, 10 * count)
        assert caller.mirror._seen(20_000, heard, caller.sends) == behind._seen(20_000, heard, caller.sends)


def test_the_course_of_calls_paid_anew_begins_anew() -> None:
    caller = Caller()
    for number in range(3):
        caller.send(1_000, 10 * number)
    caller.sends.reprice(500_000, 1_000_000)
    caller.mirror.reprice(caller.sends)
    heard, behind = caller.admission_order(1, 50), Mirror(LimitMetric.TOKENS, MINUTE, MINUTE, 0)
    assert caller.mirror._seen(20_000, heard, caller.sends) == behind._seen(20_000, heard, caller.sends)


def test_what_was_turned_away_comes_back_to_both_ends_unless_an_answer_told_meanwhile() -> None:
    caller = Caller()
    before = caller.send(400, 0)
    caller.mirror.refund_unprocessed(400, before, 0)
    assert caller.interval(0) == (MINUTE, MINUTE - 400 + ROUNDING_TOKENS + 400 - ROUNDING_TOKENS)
    turned_away, answered = caller.send(400, 0), caller.send(300, 0)
    caller.observe(30_000, answered, 500)
    low, _ = caller.interval(500)
    caller.mirror.refund_unprocessed(400, turned_away, 500)
    assert caller.interval(500)[0] == low


def test_an_answer_of_before_the_server_was_full_hides_nothing_that_was_spent_since() -> None:
    """It counted on 40 s of refill, though a server that was full after 20 s has refilled 10 s since."""
    caller = Caller()
    caller.mirror.inherit(20_000, 0)
    first = caller.send(100, 0)
    caller.send(30_000, 30_000)
    known = caller.interval(40_000)
    assert known == (20_000 + 40_000 - 30_100 - 2 * ROUNDING_TOKENS, MINUTE - 20_000 + ROUNDING_TOKENS)
    low, high = caller.observe(40_000, first, 40_000)
    assert (low, high) == (MINUTE - 30_000 - ROUNDING_TOKENS + 10_000 - WAY_MS, known[1])
    assert caller.mirror.corrections == 0


def test_a_server_that_was_full_has_at_least_what_calls_still_on_their_way_leave_of_it() -> None:
    caller = Caller()
    caller.mirror.inherit(20_000, 0)
    first = caller.send(100, 0)
    caller.send(10_000, 39_500)
    low, _ = caller.observe(40_000, first, 40_000)
    assert low == MINUTE - 10_000 - ROUNDING_TOKENS
    caller.send(5_000, 40_000)
    assert caller.mirror.low(40_000) == MINUTE - 15_000 - 2 * ROUNDING_TOKENS


def test_an_answer_of_before_the_server_was_full_says_that_it_is() -> None:
    caller = Caller()
    caller.mirror.inherit(200, 0)
    first = caller.send(100, 0)
    assert caller.observe(40_000, first, 40_000) == (MINUTE, MINUTE)


# ------------------------------------------------------------------ levels that are older than their calls


def old(caller: Caller, number: int, now_ms: int, age_ms: int) -> AdmissionOrder:
    return caller.sends.admission_order(number, caller.sends.sent_ms[number], now_ms, WAY_MS, age_ms)


def test_of_a_level_that_is_older_than_its_call_all_that_was_sent_since_may_be_missing() -> None:
    """Before: it was taken for that after its call, and up to two hundred calls were sent beyond what was left."""
    caller = Caller()
    numbers = [caller.send(1_000, 1_000 * second) for second in range(8)]
    caller.mirror.observe(50_000, old(caller, numbers[7], 8_000, 3_000), caller.sends)
    low, high = caller.interval(8_000)
    dear = 4 * (1_000 + ROUNDING_TOKENS)  # the last four calls, in four seconds; the delay may have taken one more
    assert 50_000 + 3_000 - dear - 1_000 - ROUNDING_TOKENS <= low <= 50_000 + 4_000 - dear
    assert high >= 50_000 + 3_000 - 3_000


def test_an_old_level_in_idle_times_has_refilled_since() -> None:
    caller = Caller()
    caller.send(1_000, 0)
    caller.send(1_000, 8_000)
    number = caller.send(1_000, 10_000)
    caller.mirror.observe(50_000, old(caller, number, 11_000, 3_000), caller.sends)
    low, high = caller.interval(11_000)
    assert low <= 50_000
    assert high >= 50_000 + 3_000 - 2_000


def test_an_old_level_of_a_bucket_that_may_have_been_full_since_is_no_higher_than_what_was_sent_leaves() -> None:
    caller = Caller()
    first, number = caller.send(1_000, 0), caller.send(1_000, 100)
    caller.mirror.observe(59_000, old(caller, number, 5_000, 3_000), caller.sends)
    low, high = caller.interval(5_000)
    assert first < number
    assert low <= MINUTE <= high + 1
