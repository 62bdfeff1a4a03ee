from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, LimitMetric
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.budget.bucket_set import BOUNDLESS, BucketSet
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.units import ROUNDING_TOKENS
from tests.unit.core.shown import CAPACITY, SENT_MS, TOOK_MS, Limit, counted, slid, stated


def test_a_limit_of_which_nothing_is_known_delays_no_call() -> None:
    buckets = Limit().buckets
    assert list(buckets) == []
    assert (buckets.levels(0), buckets.shortest()) == ((), None)
    assert buckets.payable_at(10**9, 0, 7) == 7


def test_a_call_must_fit_every_bucket_of_tokens_and_no_other() -> None:
    buckets = Limit().buckets
    assert buckets.can_hold(10**9)
    buckets.believe(LimitMetric.REQUESTS, 5, MINUTE_MS, 0)
    buckets.believe(LimitMetric.TOKENS, 600, MINUTE_MS, 0)
    buckets.believe(LimitMetric.TOKENS, 500, DAY_MS, 0)
    assert [buckets.can_hold(tokens) for tokens in (500, 501, 601)] == [True, False, False]


def test_what_could_have_been_paid_at_best_is_told_by_the_most_that_may_be_there() -> None:
    buckets = BucketSet(SentCalls())
    assert buckets.refill_rates(7) == ((), ())
    buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    buckets.believe(LimitMetric.REQUESTS, 1, MINUTE_MS, 0)
    buckets.pay(50_000, 0, 0)
    rates, (bar,) = buckets.refill_rates(5)
    assert rates == ((MINUTE_MS, CAPACITY),)
    assert bar == next(iter(buckets)).high(5) * MINUTE_MS - 5 * CAPACITY


def test_what_can_be_spared_is_what_every_bucket_has_beside_the_share_kept() -> None:
    buckets = BucketSet(SentCalls())
    assert buckets.spare(0, 0) == (BOUNDLESS, BOUNDLESS)
    buckets.believe(LimitMetric.TOKENS, 500, DAY_MS, 0)
    buckets.believe(LimitMetric.TOKENS, 600, MINUTE_MS, 0)
    buckets.believe(LimitMetric.REQUESTS, 10, MINUTE_MS, 0)
    buckets.pay(100, 0, 0)
    assert buckets.spare(0, 0) == (400 - ROUNDING_TOKENS, 9)
    assert buckets.spare(100_000, 0) == (350 - ROUNDING_TOKENS, 8)


def test_nobody_says_what_a_window_can_spare() -> None:
    assert counted().buckets.spare(0, SENT_MS[-1]) is None


def test_another_set_of_buckets_is_noticed() -> None:
    buckets = BucketSet(SentCalls())
    buckets.believe(LimitMetric.TOKENS, 600, MINUTE_MS, 0)
    buckets.believe(LimitMetric.TOKENS, 600, MINUTE_MS, 0)
    assert buckets.made == 1


def test_tokens_flow_in_as_fast_as_the_slowest_bucket_refills() -> None:
    buckets = BucketSet(SentCalls())
    assert buckets.flow_ms(10**9) == 0
    buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS // 60, 0)
    buckets.believe(LimitMetric.REQUESTS, 1, MINUTE_MS, 0)
    assert buckets.flow_ms(CAPACITY // 10) == MINUTE_MS // 10


def test_of_a_window_a_whole_one_may_begin_at_any_time() -> None:
    rates, bars = counted().buckets.refill_rates(5_000)
    assert (rates, bars) == (((MINUTE_MS, CAPACITY),), (CAPACITY * MINUTE_MS - 5_000 * CAPACITY,))


def test_those_in_which_a_call_has_no_room_beside_a_share_are_told_by_how_long_they_take_to_refill() -> None:
    buckets = BucketSet(SentCalls())
    assert buckets.refill_beside_reserve(10**9, 500_000) == 0
    buckets.believe(LimitMetric.TOKENS, 600, MINUTE_MS, 0)
    buckets.believe(LimitMetric.TOKENS, 5_000, DAY_MS, 0, follow=True)
    buckets.believe(LimitMetric.REQUESTS, 1, MINUTE_MS, 0)
    assert [buckets.refill_beside_reserve(tokens, 100_000) for tokens in (540, 541, 4_501)] == [0, MINUTE_MS, DAY_MS]


def test_what_an_operator_says_is_believed_once_for_each_metric_and_period() -> None:
    limit = Limit()
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.buckets.believe(LimitMetric.TOKENS, 90_000, MINUTE_MS, 0)
    limit.buckets.believe(LimitMetric.TOKENS, 10**6, DAY_MS, 0)
    limit.buckets.believe(LimitMetric.REQUESTS, 500, MINUTE_MS, 0)
    assert limit.sizes() == [(CAPACITY, MINUTE_MS), (10**6, DAY_MS)]
    assert limit.sizes(LimitMetric.REQUESTS) == [(500, MINUTE_MS)]


def test_an_operators_word_that_is_to_be_followed_resizes_what_was_known() -> None:
    limit = Limit()
    limit.buckets.inherit(LevelBounds(LimitMetric.TOKENS, 500, 700, 10**6, DAY_MS), 0)
    limit.buckets.believe(LimitMetric.TOKENS, 2 * 10**6, DAY_MS, 0, follow=True)
    assert limit.sizes() == [(2 * 10**6, DAY_MS)]
    assert limit.buckets.levels(0)[0].low == 500


def test_an_operators_word_does_not_resize_what_an_answer_has_named() -> None:
    limit = Limit()
    limit.show(limit.send(1_000, 0), 6_000, 6_000)
    limit.buckets.believe(LimitMetric.TOKENS, 90_000, MINUTE_MS, 30, follow=True)
    assert limit.sizes() == [(CAPACITY, MINUTE_MS)]


def test_what_a_predecessor_left_is_not_full_though_an_operator_believes_in_such_a_bucket() -> None:
    limit = Limit()
    limit.buckets.inherit(LevelBounds(LimitMetric.TOKENS, 1_000, 2_000, CAPACITY, MINUTE_MS), 100)
    limit.buckets.believe(LimitMetric.TOKENS, 90_000, MINUTE_MS, 100)
    assert limit.sizes() == [(CAPACITY, MINUTE_MS)]
    assert limit.buckets.levels(600)[0].low == 1_500


def test_the_shortest_is_the_one_of_tokens_that_refills_soonest() -> None:
    limit = Limit()
    limit.buckets.believe(LimitMetric.REQUESTS, 10, SECOND_MS, 0)
    assert limit.buckets.shortest() is None
    limit.buckets.believe(LimitMetric.TOKENS, 10**6, DAY_MS, 0)
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    assert limit.buckets.shortest() is limit.buckets.of(LimitMetric.TOKENS)[1]


def test_a_call_waits_for_the_slowest_of_all_buckets() -> None:
    limit = Limit()
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.buckets.believe(LimitMetric.REQUESTS, 60, MINUTE_MS, 0)
    limit.send(CAPACITY, 0)
    assert limit.buckets.payable_at(1_000, 0, 0) == 1_000 + 2 * ROUNDING_TOKENS
    for _ in range(59):
        limit.buckets.pay(0, 1, 0)
    assert limit.buckets.payable_at(1, 0, 0) == 1_000  # the sixtieth of a minute for one more request


def test_what_never_fits_waits_for_no_bucket_whose_size_is_only_said() -> None:
    buckets = BucketSet(SentCalls())
    buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    buckets.believe(LimitMetric.TOKENS, 1_000, DAY_MS, 0)
    buckets.pay(500, 0, 0)
    assert buckets.payable_at(1_001, 0, 0, {1_000}) == 0
    assert buckets.payable_at(1_001, 0, 0, {1_000}, longer_than_ms=DAY_MS) == 0
    assert buckets.payable_at(1_000, 0, 0, {1_000}) > DAY_MS // 4
    assert buckets.payable_at(1_001, 0, 0) > DAY_MS // 4


def test_a_share_of_every_bucket_is_kept_for_others() -> None:
    limit = Limit()
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.send(9_998, 0)
    assert limit.buckets.payable_at(19_998, 500_000, 0) == 0
    assert limit.buckets.payable_at(19_999, 500_000, 0) == 1


def test_a_call_that_finds_out_whether_anything_is_there_can_be_paid_and_no_second_one() -> None:
    limit = counted()
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, HOUR_MS // 2, 2_000)
    limit.buckets.believe(LimitMetric.REQUESTS, 500, MINUTE_MS, 2_000)
    limit.buckets.trust_no_more_than(1_000, 2_000)
    assert [level.low for level in limit.buckets.levels(2_000)] == [56_000, 1_000 + ROUNDING_TOKENS, 500]
    assert limit.buckets.payable_at(1_000, 0, 2_000) == 2_000
    limit.send(1_000, 2_000)
    assert limit.buckets.payable_at(1_000, 0, 2_000) > 30_000


def test_every_bucket_is_paid_in_what_it_counts_and_given_back_in_it() -> None:
    limit = Limit()
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.buckets.believe(LimitMetric.TOKENS, 10**6, DAY_MS, 0)
    limit.buckets.believe(LimitMetric.REQUESTS, 500, MINUTE_MS, 0)
    number = limit.send(1_000, 0).number
    assert [level.high for level in limit.buckets.levels(0)] == [CAPACITY - 998, 10**6 - 998, 499]
    assert [level.low for level in limit.buckets.levels(0)] == [CAPACITY - 1_002, 10**6 - 1_002, 499]
    limit.buckets.refund(1_000, number, 0)
    assert [level.high for level in limit.buckets.levels(0)] == [CAPACITY, 10**6, 500]


def test_what_was_dearer_than_paid_is_forgotten_of_tokens_and_not_of_requests() -> None:
    limit = Limit()
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.buckets.believe(LimitMetric.REQUESTS, 500, MINUTE_MS, 0)
    hearing = limit.send(1_000, 0)
    limit.show(hearing, 1_000, 1_000)
    limit.buckets.observe_refusal(stated(LimitMetric.REQUESTS, 500, MINUTE_MS), 499, hearing)
    limit.buckets.reprice()
    later = limit.send(1_000, 100)
    assert limit.show(later, 30_000, 30_000) is None  # sets the level, whatever it says
    assert limit.buckets.observe_refusal(stated(LimitMetric.REQUESTS, 500, MINUTE_MS), 300, later) == 300 + 1 - 499


def test_a_level_refills_with_time_up_to_its_capacity_and_out_of_a_debt() -> None:
    level = LevelBounds(LimitMetric.TOKENS, -500, 59_000, CAPACITY, MINUTE_MS)
    assert level.refilled(400) == LevelBounds(LimitMetric.TOKENS, -100, 59_400, CAPACITY, MINUTE_MS)
    assert level.refilled(5_000) == LevelBounds(LimitMetric.TOKENS, 4_500, CAPACITY, CAPACITY, MINUTE_MS)
    assert level.refilled(MINUTE_MS * 2).low == CAPACITY


def test_levels_say_how_each_refills() -> None:
    (level,) = counted().buckets.levels(1_300)
    assert (level.refill, level.low, level.capacity, level.period_ms) == (Refill.FIXED, 56_000, CAPACITY, MINUTE_MS)
    (level,) = slid().buckets.levels(1_300)
    assert (level.refill, level.low) == (Refill.SLIDING, CAPACITY - 4 * 1_002)


def test_a_refusal_that_names_a_bucket_corrects_it_or_makes_it() -> None:
    limit = Limit()
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    hearing = limit.send(1_000, 0)
    assert (
        limit.buckets.observe_refusal(stated(LimitMetric.TOKENS, CAPACITY, MINUTE_MS), 30_000, hearing) is None
    )  # the first of it
    assert limit.buckets.levels(hearing.now_ms)[0].low == 30_000
    assert limit.buckets.observe_refusal(stated(LimitMetric.TOKENS, 10**6, DAY_MS), 400_000, hearing) is None
    assert limit.sizes() == [(CAPACITY, MINUTE_MS), (10**6, DAY_MS)]
    assert limit.buckets.levels(hearing.now_ms)[1].low == 400_000


def test_a_refusal_that_agrees_contradicts_all_the_same_since_what_was_believed_could_have_paid() -> None:
    limit = Limit()
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.buckets.observe_refusal(stated(LimitMetric.TOKENS, CAPACITY, MINUTE_MS), 30_000, limit.send(1_000, 0))
    hearing = limit.send(1_000, 30)
    assert limit.buckets.levels(50)[0].low == 29_028
    assert limit.buckets.observe_refusal(stated(LimitMetric.TOKENS, CAPACITY, MINUTE_MS), 29_010, hearing) == -1
    assert limit.buckets.levels(50)[0].low == 29_010


def test_a_refusal_that_does_not_say_what_is_left_only_names_the_limit() -> None:
    limit = Limit()
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    hearing = limit.send(1_000, 0)
    assert limit.buckets.observe_refusal(stated(LimitMetric.TOKENS, 90_000, MINUTE_MS), None, hearing) is None
    assert limit.sizes() == [(90_000, MINUTE_MS)]
    assert limit.buckets.levels(hearing.now_ms)[0].high == CAPACITY - 998 + TOOK_MS  # what was there stays


@pytest.mark.parametrize(("period_ms", "mirrors"), [(57_000, 1), (63_000, 1), (56_999, 2), (63_001, 2)])
def test_periods_that_differ_by_a_twentieth_are_one_and_no_more(period_ms: int, mirrors: int) -> None:
    limit = Limit()
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.buckets.observe_refusal(stated(LimitMetric.TOKENS, CAPACITY, period_ms), None, limit.send(1, 0))
    assert len(limit.sizes()) == mirrors


def test_an_older_answer_that_names_another_limit_tells_nothing() -> None:
    limit = Limit()
    old, new = limit.send(1_000, 0), limit.send(1_000, 10)
    limit.show(new, 9_000, 6_000, capacity=90_000)
    assert limit.show(old, 6_000, 6_000) is None
    assert limit.sizes() == [(90_000, MINUTE_MS)]
    assert limit.buckets.levels(30)[0].low == 81_000


def test_only_the_longer_buckets_say_when_a_limit_that_is_shut_opens() -> None:
    limit = Limit()
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.buckets.believe(LimitMetric.TOKENS, CAPACITY, DAY_MS, 0)
    limit.send(CAPACITY, 0)
    assert limit.buckets.payable_at(1_000, 0, 0, longer_than_ms=DAY_MS) > 1_000_000
    assert limit.buckets.payable_at(1_000, 0, 0, longer_than_ms=DAY_MS + 1) == 0


def test_one_call_pays_twice_the_smallest_bucket_of_tokens_at_most() -> None:
    buckets = BucketSet(SentCalls())
    assert buckets.payable_max is None
    buckets.believe(LimitMetric.REQUESTS, 5, MINUTE_MS, 0)
    assert buckets.payable_max is None
    buckets.believe(LimitMetric.TOKENS, 600, MINUTE_MS, 0)
    buckets.believe(LimitMetric.TOKENS, 10_000, DAY_MS, 0)
    assert buckets.payable_max == 1_200


@pytest.mark.parametrize(("untaken", "low"), [(True, 600), (False, 500 - ROUNDING_TOKENS)])
def test_what_a_server_turned_away_before_it_looked_at_limits_is_there_at_once(*, untaken: bool, low: int) -> None:
    buckets = BucketSet(SentCalls())
    buckets.believe(LimitMetric.TOKENS, 600, MINUTE_MS, 0)
    buckets.pay(100, 0, 0)
    buckets.refund(100, 0, 0, untaken=untaken)
    (level,) = buckets.levels(0)
    assert level.low == low


def test_no_level_is_shown_below_a_full_buckets_debt() -> None:
    limit = counted()
    limit.buckets.pay(10**9, 10**6, SENT_MS[-1])
    assert all(level.low >= -level.capacity for level in limit.buckets.levels(SENT_MS[-1]))


def test_a_bucket_of_a_size_that_is_only_said_keeps_no_call_away_and_lets_nothing_flow() -> None:
    buckets = Limit().buckets
    buckets.believe(LimitMetric.TOKENS, 600, MINUTE_MS, 0)
    buckets.believe(LimitMetric.TOKENS, 500, DAY_MS, 0)
    assert [buckets.can_hold(tokens, {500}) for tokens in (501, 601)] == [True, False]
    assert buckets.refill_rates(0, {500})[0] == ((MINUTE_MS, 600),)


@pytest.mark.parametrize("former", [None, 700])
def test_a_bucket_that_is_disowned_is_what_it_was_before(former: int | None) -> None:
    limit = Limit()
    limit.buckets.believe(LimitMetric.REQUESTS, 500, MINUTE_MS, 0)
    limit.buckets.believe(LimitMetric.TOKENS, 500, MINUTE_MS, 0)
    limit.buckets.believe(LimitMetric.TOKENS, 900, DAY_MS, 0)
    made = limit.buckets.made
    limit.buckets.disown(500, former, 1, 0)
    sizes = [mirror.capacity for mirror in limit.buckets.of(LimitMetric.TOKENS)]
    assert sizes == ([900] if former is None else [700, 900])
    assert len(limit.buckets.of(LimitMetric.REQUESTS)) == 1
    assert limit.buckets.made == made + (former is None)
    limit.buckets.disown(1, None, 1, 0)
    assert [mirror.capacity for mirror in limit.buckets.of(LimitMetric.TOKENS)] == sizes


def test_a_projects_level_is_inherited_and_dropped_where_headers_show_the_account_alone() -> None:
    limit = Limit()
    limit.buckets.inherit(LevelBounds(LimitMetric.TOKENS, 5, 5, 600, MINUTE_MS, project=True), 0)
    limit.show(limit.send(1, 0), 1, 1)
    for _ in range(3):
        limit.buckets.record_project(shown=False)
    assert limit.sizes() == [(CAPACITY, MINUTE_MS)]


def test_a_refusal_that_names_an_unknown_bucket_of_a_project_adds_none() -> None:
    limit = Limit()
    snapshot = stated(LimitMetric.REQUESTS, 960, DAY_MS, project=True)
    assert limit.buckets.observe_refusal(snapshot, 0, limit.send(1, 30)) is None
    assert list(limit.buckets) == []


def test_the_bucket_that_delays_a_call_longest_binds() -> None:
    buckets = BucketSet(SentCalls())
    assert buckets.binding(10**9, 0) is None
    buckets.believe(LimitMetric.TOKENS, 600, MINUTE_MS, 0)
    buckets.believe(LimitMetric.REQUESTS, 2, MINUTE_MS, 0)
    buckets.believe(LimitMetric.TOKENS, 5_000, DAY_MS, 0)
    tokens, calls, day = buckets
    assert buckets.binding(500, 0) is None
    buckets.pay(600, 0, 0)
    assert buckets.binding(500, 0) is tokens
    assert buckets.binding(1, 0) is tokens
    buckets.pay(0, 1, 0)
    assert buckets.binding(1, 0) is calls
    buckets.pay(5_000, 2, 0)
    assert buckets.binding(500, 0) is day


def test_how_tokens_refill_is_known_once_headers_have_shown_it() -> None:
    limit = Limit()
    assert limit.buckets.token_pattern is None
    pattern = counted().buckets.token_pattern
    assert pattern is not None
    assert pattern.refill is Refill.FIXED


def test_what_a_level_counts_is_its_metric_unless_it_is_of_another_kind() -> None:
    level = LevelBounds(LimitMetric.TOKENS, 0, 0, CAPACITY, MINUTE_MS)
    assert [each.counts for each in (level, replace(level, kind="input-images"))] == ["tokens", "input-images"]


def test_a_bucket_of_one_size_and_period_is_dropped_unless_headers_show_it() -> None:
    limit = Limit()
    limit.buckets.believe(LimitMetric.TOKENS, 90_000, MINUTE_MS, 0)
    limit.buckets.believe(LimitMetric.TOKENS, 90_000, DAY_MS, 0)
    limit.buckets.believe(LimitMetric.REQUESTS, 90_000, MINUTE_MS, 0)
    limit.show(limit.send(1, 0), 1, None, period_ms=SECOND_MS)
    for capacity, period_ms in ((90_000, MINUTE_MS), (CAPACITY, SECOND_MS), (90_001, DAY_MS)):
        limit.buckets.drop_unshown(capacity, period_ms)
    assert limit.sizes() == [(90_000, DAY_MS), (CAPACITY, SECOND_MS)]
    assert limit.sizes(LimitMetric.REQUESTS) == [(90_000, MINUTE_MS)]


def test_the_pace_of_calls_is_that_of_the_slowest_bucket_of_tokens_or_requests() -> None:
    buckets = BucketSet(SentCalls())
    assert buckets.pace_ms(10**9) == 0
    buckets.believe(LimitMetric.TOKENS, CAPACITY, MINUTE_MS, 0)
    buckets.believe(LimitMetric.REQUESTS, 60, MINUTE_MS, 0)
    assert [buckets.pace_ms(CAPACITY // parts) for parts in (10, 120)] == [MINUTE_MS // 10, SECOND_MS]


def test_of_buckets_that_are_shown_by_turns_the_smaller_one_judges_laws() -> None:
    limit = Limit()
    assert limit.buckets.token_capacity is None
    for call, capacity in enumerate((CAPACITY, 10**6, CAPACITY, 10**6)):
        limit.show(limit.send(100, 1_000 * call), 100 * call, None, capacity)
    assert limit.buckets.token_capacity == CAPACITY
