"""What headers show of a counter of a second whose answers take three."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import SECOND_MS, LimitMetric, Reading
from headrace.broker.core.answers.refill_detection import Refill, RefillPattern
from headrace.broker.core.budget.admission_delay import DELAY_MAX_MS
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.mirror_list import MirrorList
from headrace.broker.core.budget.others_evidence import STAY_MS
from headrace.broker.core.budget.renewal_doubt import BALANCE_MAX, RenewalBalance
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.shown_bucket import ShownBucket
from headrace.broker.core.budget.shown_buckets import ANEW_MS, ShownBuckets
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror
from headrace.broker.core.budget.two_counters import TwoCounterMirror
from tests.unit.core.shown import Limit

CAPACITY, TOKENS = 10_000, 1_000
EVERY_MS, LONG_MS = 170, 3_000


class Counter:
    """A server that counts by whole seconds, and the calls sent to it."""

    def __init__(self) -> None:
        self.limit = Limit()
        self.now_ms = 0
        self.sent: list[tuple[int, int]] = []

    def call(self) -> int:
        """Send a call that comes in at once; return its number."""
        number = self.limit.send(TOKENS, self.now_ms).number
        self.sent.append((number, self.now_ms))
        self.now_ms += EVERY_MS
        return number

    def used(self, number: int) -> int:
        """What its window holds after a call."""
        sent_ms = self.sent[number][1]
        return sum(TOKENS for each, at_ms in self.sent if at_ms // SECOND_MS == sent_ms // SECOND_MS and each <= number)

    def answer(self, number: int, used: int | None = None, capacity: int = CAPACITY) -> int | None:
        sent_ms = self.sent[number][1]
        order = self.limit.sends.admission_order(number, sent_ms, sent_ms + LONG_MS, DELAY_MAX_MS)
        taken = self.used(number) if used is None else used
        return self.limit.show(order, taken, SECOND_MS - sent_ms % SECOND_MS, capacity)

    def header(self) -> ShownBucket:
        """The bucket that is shown."""
        return next(iter(self.limit.buckets._shown._headers.values()))

    def unproven(self) -> "Counter":
        """The same, but no level has shown yet that it begins anew."""
        self.header().renewals = RenewalBalance()
        return self

    def answered(self, calls: int) -> "Counter":
        """So many calls, each answered after all."""
        for number in [self.call() for _ in range(calls)]:
            self.answer(number)
        return self


def test_a_short_counter_is_mirrored_as_a_bucket_until_no_longer_window_looks_like_it_and_as_one_then() -> None:
    assert isinstance(Counter().answered(18).limit.only(), Mirror)
    counter = Counter().answered(19)
    mirror = counter.limit.only()
    assert isinstance(mirror, FixedWindowMirror)
    heard_ms = counter.sent[-1][1] + LONG_MS
    mirror.pay(TOKENS, 19, heard_ms)
    assert mirror.payable_at(CAPACITY, 0, heard_ms) == heard_ms - heard_ms % SECOND_MS + SECOND_MS + 1


def test_a_short_counter_holds_at_first_what_the_calls_since_its_beginning_have_left() -> None:
    """Before: it held what an answer had stated, which was that of a window long over."""
    counter = Counter()
    for number in [counter.call() for _ in range(38)][:19]:
        counter.answer(number)
    heard_ms = counter.sent[18][1] + LONG_MS
    lately = [at_ms for _, at_ms in counter.sent if at_ms > heard_ms - heard_ms % SECOND_MS - DELAY_MAX_MS]
    mirror = counter.limit.only()
    assert isinstance(mirror, FixedWindowMirror)
    assert mirror.low(heard_ms) == CAPACITY - len(lately) * TOKENS < CAPACITY


def test_a_short_counter_that_does_not_begin_anew_is_a_sliding_window_whenever_that_is_seen() -> None:
    """Before: only a first window was on trial; the sum of two counters, weighted, refused calls at each mark after."""
    counter = Counter().answered(40).unproven()
    mirror = counter.limit.only()
    assert isinstance(mirror, FixedWindowMirror)
    mirror.take_as_proven()
    counter.now_ms += 4 * SECOND_MS
    number = counter.call()
    assert counter.answer(number) == 0
    assert counter.answer(number, 3 * TOKENS) == -2 * TOKENS + 2
    assert counter.limit.only() is mirror
    counter.answer(number, 4 * TOKENS)
    counter.answer(counter.call())
    assert isinstance(counter.limit.only(), SlidingWindowMirror)


def test_a_short_counter_whose_levels_have_shown_that_it_begins_anew_stays_one_beside_others() -> None:
    """Before: one burst of others' made a sliding window of it, at half the rate (seeds 93317, 93122, 93146)."""
    counter = Counter().answered(40)
    buckets = counter.limit.buckets
    mirror = counter.limit.only()
    for _ in range(9):
        counter.now_ms += 4 * SECOND_MS
        counter.answer(counter.call(), 6 * TOKENS)
        assert buckets.others.by_others
        counter.answered(1)
        assert not buckets.others.by_others
    assert counter.limit.only() is mirror


def test_a_short_counter_that_is_known_is_contested_while_others_spend() -> None:
    counter = Counter().answered(40)
    mirror = counter.limit.only()
    assert isinstance(mirror, FixedWindowMirror)
    assert not mirror.contested_until_ms
    counter.now_ms += 4 * SECOND_MS
    counter.answer(counter.call(), 6 * TOKENS)
    until_ms = mirror.contested_until_ms
    assert counter.now_ms < until_ms <= counter.now_ms + LONG_MS + STAY_MS
    counter.answered(1)
    assert mirror.contested_until_ms == until_ms, "this answer shows nothing of others"
    counter.limit.buckets.judge_anew(counter.now_ms)
    assert not mirror.contested_until_ms, "the levels were compared with charges that were none"


def test_it_is_two_counters_once_as_many_levels_show_that_former_calls_count() -> None:
    counter, seen = Counter().answered(40), []
    assert counter.header().renewals.balance == BALANCE_MAX
    for spent in range(2_500, 2_500 + BALANCE_MAX):
        seen.append(type(counter.limit.only()))
        counter.now_ms += 4 * SECOND_MS - counter.now_ms % SECOND_MS - 100
        counter.limit.send(2 * spent, counter.now_ms)
        counter.sent.append((len(counter.sent), counter.now_ms))
        counter.now_ms += 200
        counter.answer(counter.call(), TOKENS + 2 * spent * 9 // 10)
    assert set(seen) == {FixedWindowMirror}
    counter.answered(1)
    assert isinstance(counter.limit.only(), TwoCounterMirror)


def test_a_refused_call_tells_that_a_window_slides_and_not_that_it_begins_anew() -> None:
    limit = Limit()
    for call, sent_ms in enumerate((0, 400, 800, 1_200), start=1):
        limit.show(limit.send(TOKENS, sent_ms), TOKENS * call, 2_000, CAPACITY)
    refused = limit.send(TOKENS, 1_500)
    limit.sends.strike(refused.number)
    limit.show(refused, 4 * TOKENS, 1_700, CAPACITY)
    assert isinstance(limit.only(), SlidingWindowMirror)
    assert limit.buckets.token_pattern == RefillPattern(Refill.SLIDING, 2_000, loose=True)


@pytest.mark.parametrize(("full_in_ms", "loose"), [(None, True), (3_000, True), (989, False)])
def test_a_server_that_states_parts_of_a_second_rounds_none_up(full_in_ms: int | None, *, loose: bool) -> None:
    """Before: a sliding second might have been any window of a second, and told no law (seeds 93203, 93367)."""
    limit = Limit()
    limit.buckets.hear_times([Reading(LimitMetric.REQUESTS, 9, 8, None, full_in_ms)])
    limit.buckets.hear_times([Reading(LimitMetric.REQUESTS, 9, 8, None, 2_000)])
    for call, sent_ms in enumerate((0, 400, 800, 1_200), start=1):
        limit.show(limit.send(TOKENS, sent_ms), TOKENS * call, SECOND_MS, CAPACITY)
    assert limit.buckets.token_pattern == RefillPattern(Refill.SLIDING, SECOND_MS, loose=loose)


def kinds(others: int) -> list[type]:
    """How a limit of ten windows' tokens is mirrored after each answer, of which others take so much all the time."""
    counter, late, mirrored = Counter(), LONG_MS // EVERY_MS, []
    for _ in range(7 * late):
        newest = counter.call()
        if newest >= late:
            counter.answer(newest - late, others + counter.used(newest - late), 10 * CAPACITY)
            mirrored.append(type(counter.limit.only()))
    return mirrored[-2 * late :]


def test_a_short_window_that_others_seem_to_fill_is_none() -> None:
    """A limit of ten seconds shown with the level and the time of one second's: nine tenths always seem to be used."""
    assert set(kinds(9 * CAPACITY)) == {Mirror}


def test_a_short_window_of_which_others_take_a_part_stays_one() -> None:
    assert set(kinds(6 * CAPACITY)) == {SlidingWindowMirror}


def test_what_is_ruled_out_of_a_limit_is_not_of_one_that_is_a_quarter_of_it() -> None:
    """A limit of ten seconds shown with the level of one: once its levels are taken for their own, they are counted."""
    for parts, counted in ((4, True), (3, False)):
        counter = Counter().answered(30).unproven()
        header = counter.header()
        header.evidence.rule_out(Refill.FIXED)
        counter.answer(counter.call())
        header.capacity = parts * CAPACITY
        counter.answer(counter.call())
        assert bool(header.evidence._ruled_out) is not counted


def test_a_limit_of_tokens_may_be_what_its_levels_disproved_once_calls_have_other_charges() -> None:
    """Before: a counter that was compared with a wrong law's charges was a sliding window for ever (seed 91246)."""
    counter = Counter().answered(40).unproven()
    counter.now_ms += 4 * SECOND_MS
    counter.answer(counter.call(), 4 * TOKENS)
    counter.answered(1)
    assert isinstance(counter.limit.only(), SlidingWindowMirror)
    calls = Reading(LimitMetric.REQUESTS, CAPACITY, CAPACITY - 1, None, SECOND_MS)
    order = counter.limit.sends.admission_order(0, 0, LONG_MS, DELAY_MAX_MS)
    counter.limit.buckets.observe_headers(calls, order)
    for header in counter.limit.buckets._shown._headers.values():
        header.evidence.rule_out(Refill.FIXED)
    counter.limit.buckets.judge_anew(LONG_MS)
    tokens, requests = counter.limit.buckets._shown._headers.values()
    assert not tokens.evidence._ruled_out
    assert requests.evidence._ruled_out
    counter.answered(1)
    assert any(isinstance(each, FixedWindowMirror) for each in counter.limit.buckets)


def test_what_levels_disprove_stays_disproved_where_laws_change_all_the_time() -> None:
    """Before: windows were mistaken for one another with each change, and two calls of five were lost."""
    counter = Counter().answered(1)
    (header,) = counter.limit.buckets._shown._headers.values()
    for again in (False, True):
        counter.limit.buckets.judge_anew(0)  # which finds nothing excluded, and does not count
        header.evidence.rule_out(Refill.FIXED)
        header.renewals.balance = 7
        counter.limit.buckets.judge_anew(0)
        assert bool(header.evidence._ruled_out) is again
        assert header.renewals.balance == 0
    counter.limit.buckets.judge_anew(ANEW_MS)
    assert not header.evidence._ruled_out


def test_two_counters_stay_excluded_where_a_share_is_counted() -> None:
    buckets = ShownBuckets(MirrorList(), SentCalls(), estimates=False)
    order = SentCalls().admission_order(-1, 0, LONG_MS, DELAY_MAX_MS)
    buckets.observe(Reading(LimitMetric.TOKENS, CAPACITY, CAPACITY - 1, None, SECOND_MS), order)
    (header,) = buckets._headers.values()
    header.evidence.rule_out(Refill.FIXED)
    buckets.judge_anew(0)
    assert header.evidence._ruled_out == {Refill.TWO}


def test_what_others_seem_to_take_of_a_short_counter_is_theirs_only_if_levels_prove_that_it_begins_anew() -> None:
    for proven in (False, True):
        counter = Counter().answered(30)
        others = counter.limit.buckets._shown.others
        if not proven:
            counter.unproven()
        counter.answer(counter.call(), CAPACITY // 2)
        assert others.spend(LimitMetric.TOKENS, 0) is proven
