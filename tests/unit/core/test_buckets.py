import pytest

from broker.core.buckets import Buckets, Level
from broker.core.mirror import ROUNDING_TOKENS, Mirror
from broker.core.reading import DAY_MS, MINUTE_MS, SECOND_MS, Metric, Reading
from broker.core.refill import Refill
from broker.core.sends import Hearing, Sends
from broker.core.windows import FixedWindowMirror, SlidingWindowMirror

CAPACITY = 60_000  # of a minute: one token a millisecond
TOOK_MS = 20
SENT_MS = (0, 400, 800, 1_200)  # four calls of 1,000, far enough apart to tell what is no bucket
MARK = 50_000


class Limit:
    """The buckets of one limit and the calls paid from them."""

    def __init__(self) -> None:
        self.sends = Sends()
        self.buckets = Buckets(self.sends)

    def send(self, tokens: int, now_ms: int) -> Hearing:
        """A call; returns how its answer will be heard."""
        number = self.sends.append(now_ms, tokens)
        self.buckets.pay(tokens, number, now_ms)
        return self.sends.hearing(number, now_ms, now_ms + TOOK_MS, way_ms=TOOK_MS)

    def show(
        self,
        hearing: Hearing,
        used: int,
        full_in_ms: int | None,
        capacity: int = CAPACITY,
        period_ms: int | None = None,
    ) -> int | None:
        return self.buckets.shown(Reading(Metric.TOKENS, capacity, capacity - used, period_ms, full_in_ms), hearing)

    def only(self) -> object:
        (mirror,) = self.buckets
        return mirror

    def sizes(self, metric: Metric = Metric.TOKENS) -> list[tuple[int, int]]:
        return [(mirror.capacity, mirror.period_ms) for mirror in self.buckets.of(metric)]


def counted() -> Limit:
    """Four calls of 1,000 to a counter that begins anew at 50 s."""
    limit = Limit()
    for call, sent_ms in enumerate(SENT_MS, start=1):
        limit.show(limit.send(1_000, sent_ms), 1_000 * call, MARK - sent_ms)
    return limit


def slid() -> Limit:
    """The same to a window that ends now."""
    limit = Limit()
    for call, sent_ms in enumerate(SENT_MS, start=1):
        limit.show(limit.send(1_000, sent_ms), 1_000 * call, MINUTE_MS)
    return limit


def test_a_limit_that_nobody_has_spoken_of_holds_nobody_up() -> None:
    buckets = Limit().buckets
    assert list(buckets) == []
    assert (buckets.levels(0), buckets.shortest()) == ((), None)
    assert buckets.payable_at(10**9, 0, 7) == 7


def test_a_call_must_fit_every_bucket_of_tokens_and_no_other() -> None:
    buckets = Limit().buckets
    assert buckets.hold(10**9)
    buckets.believe(Metric.REQUESTS, 5, MINUTE_MS, 0)
    buckets.believe(Metric.TOKENS, 600, MINUTE_MS, 0)
    buckets.believe(Metric.TOKENS, 500, DAY_MS, 0)
    assert [buckets.hold(tokens) for tokens in (500, 501, 601)] == [True, False, False]


def test_what_could_have_been_paid_at_best_is_told_by_the_most_that_may_be_there() -> None:
    buckets = Buckets(Sends())
    assert buckets.soonest(10**9, 7) == 7
    buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    buckets.believe(Metric.REQUESTS, 1, MINUTE_MS, 0)
    buckets.pay(50_000, 0, 0)
    most = next(iter(buckets)).high(0)
    assert [buckets.soonest(tokens, 0) for tokens in (most, most + 1, most + 5_000)] == [0, 1, 5_000]


def test_late_is_what_could_not_be_paid_before_the_deadline_even_at_best() -> None:
    buckets = Buckets(Sends())
    assert not buckets.are_late(10**9, 5, 0)
    buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    assert [buckets.are_late(tokens, 1_000, 0) for tokens in (999, CAPACITY + 999, CAPACITY + 1_000)] == [
        False,
        False,
        True,
    ]


def test_of_a_window_a_whole_one_may_begin_at_any_time() -> None:
    buckets = counted().buckets
    assert [buckets.soonest(tokens, 5_000) for tokens in (CAPACITY, CAPACITY + 1)] == [5_000, 5_001]


def test_those_in_which_a_call_has_no_room_beside_a_share_are_told_by_how_long_they_take_to_refill() -> None:
    buckets = Buckets(Sends())
    assert buckets.refill_beside(10**9, 500_000) == 0
    buckets.believe(Metric.TOKENS, 600, MINUTE_MS, 0)
    buckets.believe(Metric.TOKENS, 5_000, DAY_MS, 0, follow=True)
    buckets.believe(Metric.REQUESTS, 1, MINUTE_MS, 0)
    assert [buckets.refill_beside(tokens, 100_000) for tokens in (540, 541, 4_501)] == [0, MINUTE_MS, DAY_MS]


def test_what_an_operator_says_is_believed_once_for_each_metric_and_period() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.buckets.believe(Metric.TOKENS, 90_000, MINUTE_MS, 0)
    limit.buckets.believe(Metric.TOKENS, 10**6, DAY_MS, 0)
    limit.buckets.believe(Metric.REQUESTS, 500, MINUTE_MS, 0)
    assert limit.sizes() == [(CAPACITY, MINUTE_MS), (10**6, DAY_MS)]
    assert limit.sizes(Metric.REQUESTS) == [(500, MINUTE_MS)]


def test_an_operators_word_that_is_to_be_followed_resizes_what_was_known() -> None:
    limit = Limit()
    limit.buckets.inherit(Level(Metric.TOKENS, 500, 700, 10**6, DAY_MS), 0)
    limit.buckets.believe(Metric.TOKENS, 2 * 10**6, DAY_MS, 0, follow=True)
    assert limit.sizes() == [(2 * 10**6, DAY_MS)]
    assert limit.buckets.levels(0)[0].low == 500


def test_an_operators_word_does_not_resize_what_an_answer_has_named() -> None:
    limit = Limit()
    limit.show(limit.send(1_000, 0), 6_000, 6_000)
    limit.buckets.believe(Metric.TOKENS, 90_000, MINUTE_MS, 30, follow=True)
    assert limit.sizes() == [(CAPACITY, MINUTE_MS)]


def test_what_a_predecessor_left_is_not_full_though_an_operator_believes_in_such_a_bucket() -> None:
    limit = Limit()
    limit.buckets.inherit(Level(Metric.TOKENS, 1_000, 2_000, CAPACITY, MINUTE_MS), 100)
    limit.buckets.believe(Metric.TOKENS, 90_000, MINUTE_MS, 100)
    assert limit.sizes() == [(CAPACITY, MINUTE_MS)]
    assert limit.buckets.levels(600)[0].low == 1_500


def test_the_shortest_is_the_one_of_tokens_that_refills_soonest() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.REQUESTS, 10, SECOND_MS, 0)
    assert limit.buckets.shortest() is None
    limit.buckets.believe(Metric.TOKENS, 10**6, DAY_MS, 0)
    limit.buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    assert limit.buckets.shortest() is limit.buckets.of(Metric.TOKENS)[1]


def test_a_call_waits_for_the_slowest_of_all_buckets() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.buckets.believe(Metric.REQUESTS, 60, MINUTE_MS, 0)
    limit.send(CAPACITY, 0)
    assert limit.buckets.payable_at(1_000, 0, 0) == 1_000 + 2 * ROUNDING_TOKENS
    for _ in range(59):
        limit.buckets.pay(0, 1, 0)
    assert limit.buckets.payable_at(1, 0, 0) == 1_000  # the sixtieth of a minute for one more request


def test_a_share_of_every_bucket_is_kept_for_others() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.send(9_998, 0)
    assert limit.buckets.payable_at(19_998, 500_000, 0) == 0
    assert limit.buckets.payable_at(19_999, 500_000, 0) == 1


def test_a_call_that_finds_out_whether_anything_is_there_can_be_paid_and_no_second_one() -> None:
    limit = counted()
    limit.buckets.believe(Metric.TOKENS, 10**6, DAY_MS, 2_000)
    limit.buckets.believe(Metric.REQUESTS, 500, MINUTE_MS, 2_000)
    limit.buckets.trust_no_more_than(1_000, 2_000)
    assert [level.low for level in limit.buckets.levels(2_000)] == [56_000, 1_000 + ROUNDING_TOKENS, 500]
    assert limit.buckets.payable_at(1_000, 0, 2_000) == 2_000
    limit.send(1_000, 2_000)
    assert limit.buckets.payable_at(1_000, 0, 2_000) > 60_000


def test_every_bucket_is_paid_in_what_it_counts_and_given_back_in_it() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.buckets.believe(Metric.TOKENS, 10**6, DAY_MS, 0)
    limit.buckets.believe(Metric.REQUESTS, 500, MINUTE_MS, 0)
    number = limit.send(1_000, 0).number
    assert [level.high for level in limit.buckets.levels(0)] == [CAPACITY - 998, 10**6 - 998, 499]
    assert [level.low for level in limit.buckets.levels(0)] == [CAPACITY - 1_002, 10**6 - 1_002, 499]
    limit.buckets.refused(1_000, number, 0)
    assert [level.high for level in limit.buckets.levels(0)] == [CAPACITY, 10**6, 500]


def test_what_was_dearer_than_paid_is_forgotten_of_tokens_and_not_of_requests() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.buckets.believe(Metric.REQUESTS, 500, MINUTE_MS, 0)
    hearing = limit.send(1_000, 0)
    limit.show(hearing, 1_000, 1_000)
    limit.buckets.named(Metric.REQUESTS, 500, MINUTE_MS, 499, hearing)
    limit.buckets.repriced()
    later = limit.send(1_000, 100)
    assert limit.show(later, 30_000, 30_000) is None  # sets the level, whatever it says
    assert limit.buckets.named(Metric.REQUESTS, 500, MINUTE_MS, 300, later) == 300 + 1 - 499


def test_a_level_refills_with_time_up_to_its_capacity_and_out_of_a_debt() -> None:
    level = Level(Metric.TOKENS, -500, 59_000, CAPACITY, MINUTE_MS)
    assert level.refilled(400) == Level(Metric.TOKENS, -100, 59_400, CAPACITY, MINUTE_MS)
    assert level.refilled(5_000) == Level(Metric.TOKENS, 4_500, CAPACITY, CAPACITY, MINUTE_MS)
    assert level.refilled(MINUTE_MS * 2).low == CAPACITY


def test_levels_say_how_each_refills() -> None:
    (level,) = counted().buckets.levels(1_300)
    assert (level.refill, level.low, level.capacity, level.period_ms) == (Refill.FIXED, 56_000, CAPACITY, MINUTE_MS)
    (level,) = slid().buckets.levels(1_300)
    assert (level.refill, level.low) == (Refill.SLIDING, CAPACITY - 4 * 1_002)


def test_a_refusal_that_names_a_bucket_corrects_it_or_makes_it() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    hearing = limit.send(1_000, 0)
    assert limit.buckets.named(Metric.TOKENS, CAPACITY, MINUTE_MS, 30_000, hearing) is None  # the first of it
    assert limit.buckets.levels(hearing.now_ms)[0].low == 30_000
    assert limit.buckets.named(Metric.TOKENS, 10**6, DAY_MS, 400_000, hearing) is None
    assert limit.sizes() == [(CAPACITY, MINUTE_MS), (10**6, DAY_MS)]
    assert limit.buckets.levels(hearing.now_ms)[1].low == 400_000


def test_a_refusal_that_agrees_contradicts_all_the_same_since_what_was_believed_could_have_paid() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.buckets.named(Metric.TOKENS, CAPACITY, MINUTE_MS, 30_000, limit.send(1_000, 0))
    hearing = limit.send(1_000, 30)
    assert limit.buckets.levels(50)[0].low == 29_028
    assert limit.buckets.named(Metric.TOKENS, CAPACITY, MINUTE_MS, 29_010, hearing) == -1
    assert limit.buckets.levels(50)[0].low == 29_010


def test_a_refusal_that_does_not_say_what_is_left_only_names_the_limit() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    hearing = limit.send(1_000, 0)
    assert limit.buckets.named(Metric.TOKENS, 90_000, MINUTE_MS, None, hearing) is None
    assert limit.sizes() == [(90_000, MINUTE_MS)]
    assert limit.buckets.levels(hearing.now_ms)[0].high == CAPACITY - 998 + TOOK_MS  # what was there stays


@pytest.mark.parametrize(("period_ms", "mirrors"), [(57_000, 1), (63_000, 1), (56_999, 2), (63_001, 2)])
def test_periods_that_differ_by_a_twentieth_are_one_and_no_more(period_ms: int, mirrors: int) -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.buckets.named(Metric.TOKENS, CAPACITY, period_ms, None, limit.send(1, 0))
    assert len(limit.sizes()) == mirrors


def test_an_older_answer_that_names_another_limit_tells_nothing() -> None:
    limit = Limit()
    old, new = limit.send(1_000, 0), limit.send(1_000, 10)
    limit.show(new, 9_000, 6_000, capacity=90_000)
    assert limit.show(old, 6_000, 6_000) is None
    assert limit.sizes() == [(90_000, MINUTE_MS)]
    assert limit.buckets.levels(30)[0].low == 81_000


def test_until_the_period_is_known_a_bucket_of_a_minute_is_shown() -> None:
    limit = Limit()
    assert limit.show(limit.send(1, 0), 1, 0) is None
    assert limit.sizes() == [(CAPACITY, MINUTE_MS)]
    mirror = limit.only()
    limit.show(limit.send(1, 10), 1, 0)
    assert limit.only() is mirror


def test_once_it_is_known_how_it_refills_the_believed_bucket_of_the_same_rate_is_no_other() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.buckets.believe(Metric.TOKENS, 10**6, DAY_MS, 0)
    short = CAPACITY // 10, MINUTE_MS // 10 - 1  # as a rounded `reset` tells
    sizes = []
    for used, sent_ms in zip((500, 600, 700, 800, 900), (*SENT_MS, 1_600), strict=True):  # 500 each, 400 come back
        limit.show(limit.send(500, sent_ms), used, used, *short)
        sizes.append(limit.sizes())
    assert sizes[0] == [(CAPACITY, MINUTE_MS), (10**6, DAY_MS), short]
    assert sizes[-2:] == 2 * [[(10**6, DAY_MS), short]]


def test_until_the_period_is_known_the_believed_bucket_of_that_size_is_the_one_shown() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, CAPACITY, DAY_MS, 0)
    limit.show(limit.send(1, 0), 1, None)
    assert limit.sizes() == [(CAPACITY, DAY_MS)]


def test_until_the_period_is_known_what_is_shown_in_another_size_is_another_bucket() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, 90_000, DAY_MS, 0)
    limit.show(limit.send(1, 0), 1, None)
    assert limit.sizes() == [(90_000, DAY_MS), (CAPACITY, MINUTE_MS)]


def test_a_period_that_one_answer_lets_compute_is_the_period_until_more_is_known() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.show(limit.send(1_000, 0), 1_000, 100, period_ms=6_000)
    assert limit.sizes() == [(CAPACITY, MINUTE_MS), (CAPACITY, 6_000)]


def test_a_bucket_of_a_day_that_is_shown_is_corrected_beside_the_minute_that_is_believed() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.show(limit.send(1, 0), 100_000, DAY_MS // 10, capacity=10**6)
    assert limit.sizes() == [(CAPACITY, MINUTE_MS), (10**6, DAY_MS)]
    assert [level.low for level in limit.buckets.levels(TOOK_MS)] == [CAPACITY - 3 + 3, 900_000]


def test_what_was_taken_for_a_minute_is_dropped_once_another_period_is_known() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, 10**6, DAY_MS, 0)
    limit.show(limit.send(1, 0), 1, None)
    assert limit.sizes() == [(10**6, DAY_MS), (CAPACITY, MINUTE_MS)]
    limit.show(limit.send(1, 10), 6_000, DAY_MS // 10)
    assert limit.sizes() == [(CAPACITY, DAY_MS)]  # the one believed, in the size that is shown


def test_a_believed_bucket_told_in_another_window_is_the_shown_one_and_dropped() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, 1_000, SECOND_MS, 0)
    limit.buckets.believe(Metric.TOKENS, 10**6, DAY_MS, 0)
    limit.buckets.believe(Metric.REQUESTS, CAPACITY, MINUTE_MS, 0)
    limit.show(limit.send(1, 0), 6_000, 6_000)
    assert limit.sizes() == [(10**6, DAY_MS), (CAPACITY, MINUTE_MS)]
    assert limit.sizes(Metric.REQUESTS) == [(CAPACITY, MINUTE_MS)]


@pytest.mark.parametrize(("believed", "left"), [(1_050, 1), (1_053, 2), (953, 1), (949, 2)])
def test_a_rate_that_differs_by_a_twentieth_is_the_same_and_no_more(believed: int, left: int) -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, believed, SECOND_MS, 0)
    limit.show(limit.send(1, 0), 6_000, 6_000)
    assert len(limit.sizes()) == left


def test_a_counter_is_mirrored_as_one_as_soon_as_it_is_known() -> None:
    limit = counted()
    assert isinstance(limit.only(), FixedWindowMirror)
    assert limit.buckets.payable_at(55_998, 0, 1_300) == 1_300
    assert limit.buckets.payable_at(55_999, 0, 1_300) == MARK + TOOK_MS + 1


def test_every_answer_may_tell_the_mark_of_a_counter_better() -> None:
    limit = counted()
    mirror = limit.only()
    quick = limit.send(1_000, 2_000)
    limit.show(limit.sends.hearing(quick.number, 2_000, 2_005, TOOK_MS), 5_000, MARK - 2_000)
    assert limit.only() is mirror
    assert limit.buckets.payable_at(CAPACITY, 0, 2_005) == MARK + 6


def test_the_mark_of_a_counter_stays_while_an_answer_tells_nothing_of_it() -> None:
    limit = counted()
    mirror = limit.only()
    limit.show(limit.send(1_000, 2_000), 5_000, None)
    assert limit.only() is mirror
    assert limit.buckets.payable_at(CAPACITY, 0, 2_020) == MARK + TOOK_MS + 1


def test_a_sliding_window_is_mirrored_as_one_as_soon_as_it_is_known_and_counts_what_was_sent() -> None:
    limit = slid()
    mirror = limit.only()
    assert isinstance(mirror, SlidingWindowMirror)
    limit.show(limit.send(1_000, 1_500), 5_000, MINUTE_MS)
    assert limit.only() is mirror
    assert limit.buckets.levels(1_600)[0].low == CAPACITY - 5 * 1_002


def test_a_believed_bucket_of_its_rate_is_the_counter_that_is_shown() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    for call, sent_ms in enumerate(SENT_MS, start=1):
        limit.show(limit.send(1_000, sent_ms), 1_000 * call, MARK - sent_ms)
    assert isinstance(limit.only(), FixedWindowMirror)


def test_a_refusal_that_names_the_counters_period_corrects_the_counter() -> None:
    limit = counted()
    assert limit.buckets.named(Metric.TOKENS, CAPACITY, MINUTE_MS, 55_000, limit.send(1_000, 1_500)) == 0
    assert limit.buckets.named(Metric.TOKENS, CAPACITY, MINUTE_MS, 50_000, limit.send(1_000, 2_000)) is not None
    assert isinstance(limit.only(), FixedWindowMirror)
    assert limit.buckets.levels(2_020)[0].low == 50_000


def test_two_counters_that_are_weighed_come_back_as_a_bucket_does_and_are_taken_for_one() -> None:
    limit = counted()
    limit.send(36_000, 2_000)
    for window in (1, 2, 3):  # at each mark next to nothing has come back yet
        hearing = limit.send(1_000, window * MINUTE_MS - 9_000)
        limit.show(hearing, 41_000, 59_000)
    mirror = limit.only()
    assert isinstance(mirror, Mirror)
    assert limit.buckets.levels(hearing.now_ms)[0].low == 19_000
    for call in range(1, 7):
        limit.show(limit.send(1_000, 171_000 + 400 * call), 41_000 + 600 * call, 59_000 - 400 * call)
    assert limit.only() is mirror


def test_a_counter_that_only_has_a_little_less_than_believed_stays_one() -> None:
    limit = counted()
    error = limit.show(limit.send(1_000, 2_000), 20_000 - 1_000, MARK - 2_000)
    assert error is not None
    assert -CAPACITY // 4 < error < 0
    assert isinstance(limit.only(), FixedWindowMirror)


def test_only_the_longer_buckets_say_when_a_limit_that_is_shut_opens() -> None:
    limit = Limit()
    limit.buckets.believe(Metric.TOKENS, CAPACITY, MINUTE_MS, 0)
    limit.buckets.believe(Metric.TOKENS, CAPACITY, DAY_MS, 0)
    limit.send(CAPACITY, 0)
    assert limit.buckets.payable_at(1_000, 0, 0, longer_than_ms=DAY_MS) > 1_000_000
    assert limit.buckets.payable_at(1_000, 0, 0, longer_than_ms=DAY_MS + 1) == 0
