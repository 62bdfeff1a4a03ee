"""What headers show of a limit that two counters estimate."""

from headrace.broker.core.answers.rate_limit_headers import TOKENS as TOKENS_METRIC
from headrace.broker.core.answers.rate_limit_headers import Reading
from headrace.broker.core.answers.refill_detection import SHORT_MS, Refill, RefillEvidence
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.shown_bucket import ShownBucket
from headrace.broker.core.budget.two_counters import TwoCounterMirror
from headrace.broker.simulator.meters.two_windows import TwoWindows
from tests.unit.core.shown import Limit

PERIOD, CAPACITY, TOKENS = 6_000, 60_000, 1_000
MARK = 2_000


class Estimate:
    """Calls at the limit's own rate, one and a half at first; each is answered before the next."""

    def __init__(self, *, estimates: bool = True, taken: int = TOKENS, project: bool = False) -> None:
        """`taken`: what the server takes for each call; `project`: the limit is one's."""
        self.limit, self.now_ms, self.taken = Limit(), 100, taken
        self.limit.buckets = BucketSet(self.limit.sends, estimates=estimates)
        self.project = project
        self.meter = TwoWindows(CAPACITY, PERIOD * 1_000, 0, mark_us=MARK * 1_000)

    def run(self, until_ms: int, every_ms: int = 100) -> list[type]:
        """Return how the limit is mirrored after each answer."""
        mirrored = []
        while self.now_ms < until_ms:
            order = self.limit.send(TOKENS, self.now_ms)
            self.meter.refill(self.now_ms * 1_000)
            self.meter.pay(self.taken)
            level = self.meter.level()
            used, full_in_ms = CAPACITY - level.remaining, PERIOD - (self.now_ms - MARK) % PERIOD
            self.limit.show(order, used, full_in_ms, CAPACITY, project=self.project)
            mirrored.append(type(self.limit.only()))
            self.now_ms += every_ms
        return mirrored


def test_a_counter_that_does_not_begin_anew_is_two() -> None:
    """Before: a bucket, whose answers contradicted it for ever."""
    estimate = Estimate()
    mirrored = estimate.run(4 * PERIOD, every_ms=110)
    assert list(dict.fromkeys(mirrored)) == [Mirror, TwoCounterMirror]
    mirror = estimate.limit.only()
    assert isinstance(mirror, TwoCounterMirror)
    before = mirror.corrections
    estimate.run(8 * PERIOD, every_ms=110)
    assert estimate.limit.only() is mirror
    assert mirror.corrections == before
    assert (mirror._mark_ms - MARK) % PERIOD == 0


def test_two_counters_that_are_far_from_what_they_should_have_in_two_windows_in_a_row_are_none() -> None:
    """Before: in one; a law that changed, or was not known yet, made a bucket of them for good."""
    estimate = Estimate()
    estimate.run(4 * PERIOD, every_ms=110)
    assert set(estimate.run(8 * PERIOD, every_ms=300)) == {TwoCounterMirror}
    for windows in (8, 10, 12):  # a window without any between them
        estimate.meter.pay(CAPACITY // 3)
        assert set(estimate.run((windows + 2) * PERIOD, every_ms=300)) == {TwoCounterMirror}
    estimate.run(18 * PERIOD, every_ms=300)
    estimate.meter.pay(CAPACITY // 3)
    estimate.run(19 * PERIOD, every_ms=300)
    estimate.meter.pay(CAPACITY // 3)
    assert set(estimate.run(22 * PERIOD, every_ms=300)) == {Mirror}


def test_a_counter_that_seemed_to_begin_anew_is_two_once_a_window_did_not() -> None:
    """Before: after an idle window it was proven for good, and each later one collected refusals (seed 91177).

    Then two windows in a row had to be short, and after one of which little was spent the next was not (seed 92434).
    """
    estimate = Estimate()
    estimate.run(MARK, every_ms=110)
    estimate.now_ms = MARK + PERIOD + 100
    assert set(estimate.run(MARK + 2 * PERIOD, every_ms=110)) == {FixedWindowMirror}
    mirror = estimate.limit.only()
    assert isinstance(mirror, FixedWindowMirror)
    mirror.take_as_proven()
    assert estimate.run(MARK + 3 * PERIOD, every_ms=200)[-1] is TwoCounterMirror


def test_what_looks_like_a_counter_just_after_its_mark_is_two_if_the_former_window_counts_still() -> None:
    """Before: it let nothing through until the next mark, for almost a minute (seed 92001)."""
    limit = Limit()
    for call, sent_ms in enumerate((100, 600, 1_200), start=1):
        limit.show(limit.send(19_000, sent_ms), 19_000 * call, MARK - sent_ms, CAPACITY)
    limit.show(limit.send(500, MARK + 100), 56_550, PERIOD - 100, CAPACITY)
    assert type(limit.only()) is Mirror
    limit.show(limit.send(500, MARK + 200), 56_100, PERIOD - 200, CAPACITY)
    assert type(limit.only()) is TwoCounterMirror


def test_a_counter_that_seemed_to_begin_anew_is_two_by_one_level_after_a_window_that_was_spent() -> None:
    """Before: where each idle window was followed by one that was spent, no two in a row were short (seed 93439)."""
    estimate = Estimate()
    estimate.run(MARK, every_ms=110)
    estimate.now_ms = MARK + PERIOD + 100
    assert set(estimate.run(MARK + 2 * PERIOD, every_ms=110)) == {FixedWindowMirror}
    mirror = estimate.limit.only()
    assert isinstance(mirror, FixedWindowMirror)
    mirror.take_as_proven()
    estimate.now_ms = MARK + 2 * PERIOD + 100
    assert estimate.run(estimate.now_ms + 101) == [Mirror, TwoCounterMirror]


def test_a_counter_that_began_anew_after_a_window_that_was_spent_is_not_disproved_by_one_level() -> None:
    """Others who take much at once look like the former window's charges (seed 92172)."""
    estimate = Estimate()
    estimate.run(MARK, every_ms=110)
    estimate.now_ms = MARK + PERIOD + 100
    estimate.run(MARK + 2 * PERIOD, every_ms=110)
    estimate.now_ms = MARK + 2 * PERIOD + 100
    order = estimate.limit.send(TOKENS, estimate.now_ms)
    estimate.limit.show(order, TOKENS, PERIOD - 100, CAPACITY)
    estimate.now_ms += 100
    assert estimate.run(estimate.now_ms + 1) == [FixedWindowMirror]


def test_where_a_share_may_be_counted_what_has_risen_is_a_bucket_before_its_mark() -> None:
    """Once no pattern is left that the times allow, the counter would stay what it is."""
    estimate = Estimate(estimates=False)
    estimate.run(MARK, every_ms=110)
    estimate.now_ms = MARK + PERIOD + 100
    assert set(estimate.run(MARK + PERIOD + 1_000, every_ms=110)) == {FixedWindowMirror}
    estimate.meter.pay(-3_500)
    estimate.taken = -500
    assert set(estimate.run(MARK + PERIOD + 1_500, every_ms=110)) == {FixedWindowMirror, Mirror}
    assert type(estimate.limit.only()) is Mirror


def test_a_short_window_is_not_judged_by_one_level() -> None:
    """Its answers may be of former ones, whose levels tell nothing of this one."""
    for period_ms in (SHORT_MS, 3 * SHORT_MS):
        limit = Limit()
        limit.send(CAPACITY - TOKENS, period_ms - 1_000)
        order = limit.send(TOKENS, period_ms)
        header = ShownBucket(CAPACITY, 0, RefillEvidence())
        header.mirror = FixedWindowMirror(TOKENS_METRIC, CAPACITY, period_ms, period_ms, CAPACITY)
        shown = Reading(TOKENS_METRIC, CAPACITY, 0, None, period_ms - 10)
        is_none = header.has_not_begun_anew(shown, order, limit.buckets._sends, estimates=True)
        assert is_none is (period_ms > SHORT_MS)


def test_where_a_share_may_be_counted_a_bucket_stands_for_two_counters() -> None:
    mirrored = Estimate(estimates=False).run(4 * PERIOD, every_ms=110)
    assert set(mirrored) == {Mirror, FixedWindowMirror}
    assert mirrored[-1] is Mirror


def test_laws_are_judged_by_the_bucket_that_stands_for_what_did_not_begin_anew() -> None:
    """Before: by the counter, into which nothing flows, so that a law seemed to charge too much that was right."""
    estimate, refills = Estimate(estimates=False), set()
    while estimate.now_ms < 4 * PERIOD:
        mirrored = estimate.run(estimate.now_ms + 1)
        pattern = estimate.limit.buckets.token_pattern
        refills.add((mirrored[0], pattern and pattern.refill))
    assert refills == {
        (Mirror, None),
        (FixedWindowMirror, Refill.FIXED),
        (Mirror, Refill.BUCKET),
    }


def test_no_bucket_judges_laws_between_one_counter_and_two() -> None:
    """Each change of what judges them makes all evidence void: twice here, for one answer (seed 91288)."""
    estimate, refills = Estimate(), list[Refill]()
    while estimate.now_ms < 6 * PERIOD:
        estimate.run(estimate.now_ms + 1, every_ms=110)
        pattern = estimate.limit.buckets.token_pattern
        if pattern is not None and pattern.refill not in refills[-1:]:
            refills.append(pattern.refill)
    assert refills == [Refill.FIXED, Refill.TWO]


def test_laws_are_not_judged_by_a_projects_limit() -> None:
    estimate = Estimate(estimates=False, project=True)
    assert set(estimate.run(4 * PERIOD, every_ms=110)) == {Mirror, FixedWindowMirror}
    assert estimate.limit.buckets.token_pattern is None


def test_where_a_share_may_be_counted_that_holds_for_a_limit_of_another_size_too() -> None:
    estimate = Estimate(estimates=False)
    order = estimate.limit.send(TOKENS, 0)
    estimate.limit.show(order, TOKENS, 10 * PERIOD, 4 * CAPACITY)
    mirrored = estimate.run(4 * PERIOD, every_ms=110)
    assert TwoCounterMirror not in mirrored
    assert mirrored[-1] is Mirror


def test_answers_move_the_mark_of_two_counters() -> None:
    estimate = Estimate()
    estimate.run(4 * PERIOD, every_ms=110)
    mirror = estimate.limit.only()
    assert isinstance(mirror, TwoCounterMirror)
    mirror.set_mark(MARK + 100)
    estimate.run(5 * PERIOD, every_ms=110)
    assert (mirror._mark_ms - MARK) % PERIOD == 0


def test_no_level_is_shown_above_the_limit_though_others_seem_to_have_given_something() -> None:
    estimate = Estimate()
    estimate.run(4 * PERIOD, every_ms=110)
    estimate.taken = TOKENS // 2
    estimate.run(8 * PERIOD, every_ms=110)
    at_ms = estimate.now_ms + 3 * PERIOD
    mirror = estimate.limit.only()
    assert isinstance(mirror, TwoCounterMirror)
    assert mirror.low(at_ms) > CAPACITY
    assert [level.low for level in estimate.limit.buckets.levels(at_ms)] == [CAPACITY]
