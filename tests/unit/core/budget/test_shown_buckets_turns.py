"""A server that shows the emptiest of its buckets: each has a mirror of its own, and laws are judged by one."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, HOUR_MS, MINUTE_MS
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.budget.bucket_fit import BucketFit
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.shown_bucket import RETURNED_SOON_MS
from headrace.broker.core.budget.shown_buckets import TURNS_MAX, TURNS_UNSHOWN_MS
from tests.unit.core.shown import CAPACITY, MARK, Limit, counted

HOURS = 25 * CAPACITY


def in_turns(limit: Limit, answers: int, *, from_ms: int = 0, every_ms: int = 1_000) -> None:
    """Two windows, of a minute and of an hour, shown by turns; each call takes 100 of both."""
    for call in range(answers):
        at_ms = from_ms + every_ms * call
        hearing = limit.send(100, at_ms)
        used = 100 * (at_ms % MINUTE_MS // every_ms + 1)
        if call % 2:
            limit.show(hearing, 100 * (at_ms // every_ms + 1), HOUR_MS - at_ms % HOUR_MS, HOURS)
        else:
            limit.show(hearing, used, MINUTE_MS - at_ms % MINUTE_MS)


def test_two_sizes_that_come_by_turns_are_two_buckets() -> None:
    """Before: one bucket changed its size with each answer, and forgot what it had learned."""
    limit = Limit()
    in_turns(limit, 40)
    assert sorted(limit.sizes()) == [(CAPACITY, MINUTE_MS), (HOURS, HOUR_MS)]
    assert {mirror.refill for mirror in limit.buckets} == {Refill.FIXED}
    assert limit.buckets.token_capacity == CAPACITY
    pattern = limit.buckets.token_pattern
    assert pattern is not None
    assert pattern.period_ms == MINUTE_MS


def test_a_window_stays_known_once_another_bucket_is_shown_now_and_then() -> None:
    """Before: a bucket of a minute stood for ten seconds until a window was known again (seed 92010)."""
    limit, period_ms = Limit(), 10_000
    for call in range(8):
        limit.show(limit.send(100, 1_000 * call), 100 * (call + 1), period_ms)
    assert [mirror.refill for mirror in limit.buckets] == [Refill.SLIDING]
    limit.show(limit.send(100, 8_000), 30_000, 40_000, 6 * CAPACITY)
    limit.show(limit.send(100, 9_000), 1_000, period_ms)
    known = next(mirror for mirror in limit.buckets if mirror.capacity == CAPACITY)
    assert (known.refill, known.period_ms) == (Refill.SLIDING, period_ms)
    other = next(mirror for mirror in limit.buckets if mirror.capacity == 6 * CAPACITY)
    for call in range(2):
        limit.show(limit.send(100, 10_000 + call), 31_000 + call, 38_000, 6 * CAPACITY)
    assert other in list(limit.buckets), "nothing is known of it yet"


def test_a_new_window_is_spent_though_another_bucket_is_shown_then() -> None:
    limit = Limit()
    in_turns(limit, 40)
    minute = next(mirror for mirror in limit.buckets if mirror.capacity == CAPACITY)
    assert isinstance(minute, FixedWindowMirror)
    limit.send(100, MINUTE_MS + 5_000)
    assert minute.low(MINUTE_MS + 5_000) > CAPACITY // 2


def test_one_that_takes_longer_to_refill_is_another_bucket_at_once() -> None:
    """Before: a minute's limit became a day's, and no more than its mean rate was spent (seed 93006: 29 %, now 95)."""
    limit = counted()
    limit.show(limit.send(1_000, 1_600), 5_000, DAY_MS - 10, 40 * CAPACITY)
    assert sorted(size for size, _ in limit.sizes()) == [CAPACITY, 40 * CAPACITY]
    minute = next(mirror for mirror in limit.buckets if mirror.capacity == CAPACITY)
    assert (minute.refill, minute.period_ms) == (Refill.FIXED, MINUTE_MS), "what is known of it is known still"
    limit.send(100, MARK + 5_000)
    assert minute.low(MARK + 5_000) > CAPACITY - 200, "what has begun anew need not be shown"


def test_what_levels_have_told_of_renewals_is_told_of_the_one_that_showed_them() -> None:
    limit = Limit()
    limit.show(limit.send(100, 0), 100, 100)
    headers = limit.buckets._shown._headers
    first = next(iter(headers.values()))
    first.renewals.balance = -7
    limit.show(limit.send(100, 200), 100, 50, 2 * CAPACITY)
    first.fit = BucketFit(known=True)
    limit.show(limit.send(100, 400), 200, 100)
    assert {header.capacity: header.renewals.balance for header in headers.values()} == {CAPACITY: -7, 2 * CAPACITY: 0}
    assert {header.fit for header in headers.values()} == {None}


def test_a_limit_that_is_raised_is_one_bucket() -> None:
    limit = Limit()
    for call in range(6):
        limit.show(limit.send(100, 1_000 * call), 100, 100, CAPACITY if call < 3 else 2 * CAPACITY)
    assert limit.sizes() == [(2 * CAPACITY, MINUTE_MS)]


def test_an_answer_to_a_call_from_before_the_change_shows_no_second_bucket() -> None:
    limit = Limit()
    limit.show(limit.send(100, 0), 100, 100)
    early = limit.send(100, 100)
    limit.show(limit.send(100, 200), 100, 50, 2 * CAPACITY)
    limit.show(early, 200, 200)
    limit.show(limit.send(100, 400), 100, 50, 2 * CAPACITY)
    assert limit.buckets.token_capacity is None


def test_one_that_is_shown_no_more_is_dropped() -> None:
    limit = Limit()
    in_turns(limit, 40)
    for call in range(TURNS_UNSHOWN_MS // 1_000 + 2):
        at_ms = 40_000 + 1_000 * call
        limit.show(limit.send(1, at_ms), 4_000 + call, MINUTE_MS - at_ms % MINUTE_MS)
    assert limit.sizes() == [(CAPACITY, MINUTE_MS)]


def test_once_the_smallest_of_several_is_dropped_laws_are_judged_by_the_next_one() -> None:
    limit, others = Limit(), [2 * CAPACITY, 3 * CAPACITY, 4 * CAPACITY]
    shown(limit, CAPACITY, 2 * CAPACITY, CAPACITY, 3 * CAPACITY, 4 * CAPACITY, 3 * CAPACITY)
    assert limit.buckets.token_capacity == CAPACITY
    shown(limit, *others * (TURNS_UNSHOWN_MS // 300 + 1), from_ms=1_000)
    assert limit.buckets.token_capacity == 2 * CAPACITY
    assert sorted(size for size, _ in limit.sizes()) == others


def test_one_that_is_dropped_stays_a_bucket_if_it_is_shown_by_another_name() -> None:
    limit = Limit()
    shown(limit, 2 * CAPACITY, CAPACITY, 2 * CAPACITY)
    limit.show(limit.send(1, 1_000), 100, 10, CAPACITY, MINUTE_MS, named=True)
    shown(limit, *[2 * CAPACITY] * 2, from_ms=2_000 + TURNS_UNSHOWN_MS)
    assert limit.buckets.token_capacity is None
    assert limit.sizes() == [(CAPACITY, MINUTE_MS), (2 * CAPACITY, MINUTE_MS)]


def test_one_that_is_shown_no_more_is_dropped_after_some_time_however_few_answers_come() -> None:
    """Before: what was left of it slowed down the very answers that were to show that it is no more."""
    limit = Limit()
    in_turns(limit, 40)
    for call in range(4):
        at_ms = 41_000 + TURNS_UNSHOWN_MS // 3 * call
        limit.show(limit.send(1, at_ms), 100 * (at_ms % MINUTE_MS // 1_000 + 1), MINUTE_MS - at_ms % MINUTE_MS)
        assert len(limit.sizes()) == (2 if call < 3 else 1)


def shown(limit: Limit, *capacities: int, from_ms: int = 0) -> None:
    """Calls one after another, whose answers show full buckets of these capacities."""
    for call, capacity in enumerate(capacities):
        limit.show(limit.send(100, from_ms + 100 * call), 100, 10, capacity)


def test_a_limit_that_is_lowered_and_raised_again_is_one_bucket() -> None:
    """Before: a tier that was restored was used by a sixth for minutes, by the size that it had meanwhile."""
    limit = Limit()
    shown(limit, *[CAPACITY] * 5, *[CAPACITY // 5] * 5)
    shown(limit, *[CAPACITY] * 5, from_ms=1_000 + RETURNED_SOON_MS)
    assert limit.sizes() == [(CAPACITY, MINUTE_MS)]
    shown(limit, 3 * CAPACITY, CAPACITY // 5, CAPACITY, 3 * CAPACITY, CAPACITY // 5, from_ms=50_000)
    assert limit.buckets.token_capacity is None, "none comes back"
    shown(limit, 3 * CAPACITY, from_ms=60_000)
    assert limit.buckets.token_capacity == CAPACITY // 5


@pytest.mark.parametrize("before", [[1, 2, 1], [1, 2, 1, 3, 1]])
def test_a_size_that_comes_back_late_is_another_bucket_at_the_second_time_in_a_row(before: list[int]) -> None:
    limit = Limit()
    for turn, times in enumerate(before):
        shown(limit, times * CAPACITY, from_ms=turn * (RETURNED_SOON_MS + 1_000))
    assert limit.buckets.token_capacity is None
    shown(limit, before[-2] * CAPACITY, from_ms=(len(before) + 1) * RETURNED_SOON_MS)
    assert limit.buckets.token_capacity == CAPACITY


def test_a_bucket_that_was_shown_alone_for_long_is_shown_by_turns_from_now_on() -> None:
    limit = Limit()
    shown(limit, CAPACITY)
    shown(limit, 2 * CAPACITY, CAPACITY, 2 * CAPACITY, 2 * CAPACITY, from_ms=2 * TURNS_UNSHOWN_MS)
    assert sorted(limit.sizes()) == [(CAPACITY, MINUTE_MS), (2 * CAPACITY, MINUTE_MS)]


@pytest.mark.parametrize("answers", range(-10, 10))
def test_the_answer_that_drops_one_may_show_that_others_come_by_turns(answers: int) -> None:
    """Before: the dropped one stayed in the list, and each later answer of the limit raised a KeyError."""
    limit = Limit()
    third, fourth = 3 * CAPACITY, 4 * CAPACITY
    shown(limit, CAPACITY, 2 * CAPACITY, CAPACITY, 2 * CAPACITY, CAPACITY)
    assert limit.buckets.token_capacity == CAPACITY
    from_ms = TURNS_UNSHOWN_MS + 100 * answers
    shown(limit, *[third] * 4, fourth, third, fourth, third, *[third, fourth] * 4, from_ms=from_ms)
    assert {size for size, _ in limit.sizes()} >= {third, fourth}


def test_the_last_one_of_those_that_came_by_turns_may_have_another_size() -> None:
    """Before: it kept its own for a minute, and was paid beside the new one."""
    limit = Limit()
    shown(limit, CAPACITY, 2 * CAPACITY, CAPACITY, 2 * CAPACITY, CAPACITY)
    shown(limit, CAPACITY, from_ms=1_000 + TURNS_UNSHOWN_MS)
    assert limit.buckets.token_capacity is None
    shown(limit, 3 * CAPACITY, from_ms=20_000 + TURNS_UNSHOWN_MS)
    assert limit.sizes() == [(3 * CAPACITY, MINUTE_MS)]


def test_once_none_comes_by_turns_a_window_is_on_trial_again() -> None:
    limit = Limit()
    shown(limit, CAPACITY, 2 * CAPACITY, CAPACITY, *[3 * CAPACITY] * 40)
    shown(limit, 3 * CAPACITY, from_ms=5_000 + TURNS_UNSHOWN_MS)
    assert limit.sizes() == [(3 * CAPACITY, MINUTE_MS)]
    assert not limit.buckets._shown._turns


def test_each_of_two_buckets_keeps_the_mirror_that_has_its_size_in_whatever_order_answers_come() -> None:
    """Before: one bucket had two mirrors, and no answer corrected the first, which let nothing through for minutes."""
    limit = Limit()
    for call in range(40):
        at_ms = 1_000 * call
        limit.show(limit.send(100, at_ms), 100 * (call + 1), MINUTE_MS - at_ms)
    early = limit.send(100, 40_000)
    limit.show(limit.send(100, 40_100), 100, 10, 2 * CAPACITY)
    limit.show(early, 100 * 41, MINUTE_MS - 40_000)
    limit.show(limit.send(100, 40_200), 100 * 43, MINUTE_MS - 40_200)
    limit.show(limit.send(100, 40_300), 200, 10, 2 * CAPACITY)
    assert sorted(size for size, _ in limit.sizes()) == [CAPACITY, 2 * CAPACITY]
    [window] = [mirror for mirror in limit.buckets if mirror.capacity == CAPACITY]
    assert isinstance(window, FixedWindowMirror), "it is the mirror that was known before"


def test_no_more_buckets_are_shown_by_turns_than_servers_have() -> None:
    """Before: a server whose limit moves up and down at each answer got a mirror of each size for 75 s."""
    limit = Limit()
    for turn in range(60):
        low, high = CAPACITY + 2 * turn, CAPACITY + 2 * turn + 1
        shown(limit, low, high, low, from_ms=300 * turn)
    assert len(limit.sizes()) <= TURNS_MAX + 2
    assert (CAPACITY + 2 * turn, MINUTE_MS) in limit.sizes()
    assert (CAPACITY, MINUTE_MS) not in limit.sizes()


def test_a_bucket_that_was_not_shown_for_long_takes_turns_again_at_once() -> None:
    """Before: a window of a minute held what one of 6 s does, once a minute's had been shown alone (seed 97121)."""
    limit = Limit()
    shown(limit, CAPACITY, 2 * CAPACITY, CAPACITY, 2 * CAPACITY, CAPACITY)
    shown(limit, CAPACITY, from_ms=1_000 + TURNS_UNSHOWN_MS)
    assert limit.sizes() == [(CAPACITY, MINUTE_MS)]
    shown(limit, 2 * CAPACITY, from_ms=RETURNED_SOON_MS + 20_000 + TURNS_UNSHOWN_MS)
    assert sorted(size for size, _ in limit.sizes()) == [CAPACITY, 2 * CAPACITY]
    assert limit.buckets.token_capacity == CAPACITY


def test_of_those_that_took_turns_and_are_shown_no_more_one_is_remembered() -> None:
    """Before: each stray size was kept for good, chained to the one before."""
    limit = Limit()
    for stray in range(2, 12):
        from_ms = 3 * stray * TURNS_UNSHOWN_MS
        shown(limit, CAPACITY, stray * CAPACITY, CAPACITY, from_ms=from_ms)
        shown(limit, CAPACITY, from_ms=from_ms + 1_000 + TURNS_UNSHOWN_MS)
    [header] = limit.buckets._shown._headers.values()
    assert (other := header.took_turns_with) is not None
    assert (other.capacity, other.mirror, other.took_turns_with) == (11 * CAPACITY, None, None)


def test_a_bucket_whose_size_has_changed_since_takes_no_turns_with_those_of_before() -> None:
    limit = Limit()
    shown(limit, CAPACITY, 2 * CAPACITY, CAPACITY, 2 * CAPACITY, CAPACITY)
    shown(limit, CAPACITY, from_ms=1_000 + TURNS_UNSHOWN_MS)
    shown(limit, 3 * CAPACITY, 3 * CAPACITY, 2 * CAPACITY, from_ms=RETURNED_SOON_MS + 20_000 + TURNS_UNSHOWN_MS)
    assert limit.sizes() == [(2 * CAPACITY, MINUTE_MS)]
