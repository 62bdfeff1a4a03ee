"""When a limit's mirrors are in doubt, how long measurements are tried, and when the mirrors are followed again."""

from dataclasses import replace

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, HOUR_MS, MINUTE_MS
from headrace.broker.core.budget.achievement import COMPARED_MS, MANY, SPENT_IN_MS, Bound
from headrace.broker.core.budget.mirror_trust import (
    FORESEEN_CALLS,
    FORESEEN_MIN,
    LATELY_MS,
    MARKED_EVERY_MS,
    REMEMBERED_MS,
    SOON_MS,
    STORM,
    STORM_MS,
    MirrorTrust,
)
from headrace.broker.core.budget.rate_control import GONE_MS
from headrace.broker.core.budget.trial import SETTLES_MS, TRIED_MS

RATE = 60_000  # tokens a minute: one a millisecond
BOUND = Bound(RATE, of_calls=False, counts_windows=False, long=False, level=0, needs_ms=400)
A_DAY = replace(BOUND, per_minute=40, long=True, needs_ms=400)


class Rig:
    """The trust in one limit's mirrors, and a clock."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.trust = MirrorTrust(0)
        self.count = 0

    def send(self, tokens: int = 400) -> int:
        self.count += 1
        self.trust.record_send(self.count, tokens, self.now_ms)
        return self.count

    def admit(self, attempt: int, *, held: bool = False) -> None:
        self.trust.record_admission(attempt, held=held)

    def refuse(self, attempt: int, sent_ms: int, *, held: bool = False, is_event: bool = True) -> None:
        self.trust.record_refusal(attempt, sent_ms, self.now_ms, held=held, is_event=is_event)

    def hold(self, for_ms: int, *, long: bool = False) -> None:
        """A request is held back for so long, and asked about at its time."""
        self.trust.record_wait(self.now_ms + for_ms, self.now_ms, long=long)
        self.now_ms += for_ms

    def call(self, *, tokens: int = 400, refused: bool = False, held: bool = False) -> None:
        """A call, and its answer 10 ms later."""
        sent_ms, attempt = self.now_ms, self.send(tokens)
        self.now_ms += 10
        if refused:
            self.refuse(attempt, sent_ms, held=held)
        else:
            self.admit(attempt, held=held)

    def spend(self, for_ms: int, *, tokens: int = 400, every_ms: int = 400, refused_every: int = 0) -> None:
        """Calls that are held back between each other."""
        until_ms = self.now_ms + for_ms
        while self.now_ms < until_ms:
            self.call(tokens=tokens, refused=bool(refused_every) and self.count % refused_every == 0)
            self.hold(every_ms - 10)

    def doubts(self, bound: Bound | None = BOUND, *, foreign: int = 0) -> bool:
        bounds = [] if bound is None else [bound]
        return self.trust.begins_trial(bounds, self.now_ms, foreign=foreign, told=True)

    def begin(self, *, rate: int = RATE // 4) -> None:
        """Mirrors that spend too little, and so a trial."""
        self.spend(2 * COMPARED_MS, tokens=rate * 400 // MINUTE_MS)
        self.hold(10)
        assert self.doubts()

    def end(self, *, tokens: int, refused_every: int = 0) -> bool:
        """Spend so many tokens with each call until the trial ends; return whether the mirrors are followed."""
        for _ in range((SETTLES_MS + TRIED_MS) // 400 + 5):
            self.spend(400, tokens=tokens, refused_every=refused_every)
            self.trust.end_trial(self.now_ms)
        assert not self.trust.tries
        return self.trust.measures_since_ms is None

    def foresee(self, *, held: int = 0, foreseen: int = FORESEEN_MIN, events: int = FORESEEN_MIN) -> None:
        """Refusals of which the mirrors foresaw some, and admitted calls of which they would have held back some."""
        for number in range(events):
            self.call(refused=True, held=number < foreseen)
            self.hold(390)
        for number in range(FORESEEN_CALLS):
            self.call(held=number < held)
            self.hold(390)


# ------------------------------------------------------------------ what counts as waiting


def test_time_counts_while_requests_are_held_back_and_between_calls_that_follow_each_other_soon() -> None:
    rig = Rig()
    rig.send()
    rig.now_ms += SOON_MS
    rig.send(100)
    lately = rig.trust.lately(rig.now_ms)
    assert (lately.waited_ms, lately.held_ms, lately.tokens, lately.started) == (SOON_MS, 0, 500, 2)
    rig.now_ms += SOON_MS + 1
    rig.send(7)
    assert rig.trust.lately(rig.now_ms) == lately, "it may have come just now"
    rig.hold(3_000)
    assert rig.trust.lately(rig.now_ms).held_ms == 3_000
    rig.send(30)
    lately = rig.trust.lately(rig.now_ms)
    assert (lately.waited_ms, lately.held_ms, lately.tokens) == (SOON_MS + 3_000, 3_000, 530)


def test_what_is_held_back_soon_after_a_call_has_been_since_that_call() -> None:
    rig = Rig()
    rig.send()
    rig.now_ms += SOON_MS
    rig.hold(1_000)
    assert rig.trust.lately(rig.now_ms).held_ms == 1_000 + SOON_MS
    rig.now_ms -= 400
    rig.hold(400)
    assert rig.trust.lately(rig.now_ms).held_ms == 1_000 + SOON_MS, "asked about again before its time"


def test_a_request_that_is_cancelled_while_held_does_not_count_as_waiting() -> None:
    """Before: the first request held back hours later had waited since, and began a trial."""
    rig = Rig()
    rig.hold(400)
    rig.now_ms += GONE_MS
    assert rig.trust.lately(rig.now_ms).waited_ms == 400 + GONE_MS
    rig.now_ms += 1
    assert rig.trust.lately(rig.now_ms).waited_ms == 0
    rig.now_ms += 3 * HOUR_MS
    assert not rig.doubts()
    rig.hold(400)
    assert rig.trust.lately(rig.now_ms).waited_ms == 400
    rig.now_ms += GONE_MS + 1
    rig.send()
    assert rig.trust.lately(rig.now_ms).waited_ms == 0


def test_what_waits_for_something_else_does_not_count() -> None:
    rig = Rig()
    rig.now_ms += 1_000
    rig.hold(400)
    rig.trust.forget_wait()
    rig.send()
    assert rig.trust.lately(rig.now_ms).waited_ms == 0


def test_the_wait_for_a_limit_of_a_day_says_nothing_of_others_once_it_is_over() -> None:
    """Before: half a day of waiting in which nothing was sent was the mirrors' share, and measurements won."""
    rig = Rig()
    rig.now_ms += 1_000
    rig.hold(DAY_MS // 2, long=True)
    assert rig.trust.lately(rig.now_ms).waited_ms == LATELY_MS
    rig.call()
    for _ in range(100):
        rig.hold(390)
        assert not rig.doubts()
        rig.call()
    assert rig.trust.lately(rig.now_ms).waited_ms == 100 * 400
    assert rig.trust.lately(rig.now_ms).tokens == 100 * 400


def test_only_the_last_minute_counts_and_what_is_remembered_is_bounded() -> None:
    rig = Rig()
    rig.spend(10 * MINUTE_MS)
    lately = rig.trust.lately(rig.now_ms)
    assert LATELY_MS <= lately.waited_ms <= LATELY_MS + 2_000
    longer = rig.trust.lately(rig.now_ms, REMEMBERED_MS)
    assert REMEMBERED_MS - 2_000 <= longer.waited_ms <= REMEMBERED_MS + 2_000
    assert rig.trust._marks is not None
    assert len(rig.trust._marks) <= REMEMBERED_MS // 1_000 + 2
    assert not rig.trust._counted
    rig.now_ms += HOUR_MS
    assert rig.trust.lately(rig.now_ms).waited_ms < MARKED_EVERY_MS


def test_a_refused_call_is_no_achievement_and_a_lost_one_is() -> None:
    rig = Rig()
    attempts = []
    for _ in range(4):
        rig.hold(100)
        attempts.append(rig.send())
    rig.refuse(attempts[0], 100)
    rig.trust.record_loss(attempts[1])
    rig.admit(attempts[2])
    lately = rig.trust.lately(rig.now_ms)
    assert (lately.tokens, lately.started, lately.calls, lately.refused) == (1_200, 3, 2, 1)
    rig.trust.record_unsent(attempts[3])
    lately = rig.trust.lately(rig.now_ms)
    assert (lately.tokens, lately.started, lately.calls, lately.refused) == (800, 2, 2, 1), "it was not sent after all"
    assert not rig.trust._counted


# ------------------------------------------------------------------ doubt


def test_mirrors_that_spend_the_rate_are_not_in_doubt() -> None:
    rig = Rig()
    for _ in range(20):
        rig.spend(10_000)
        assert not rig.doubts()
    assert not rig.trust.tries


def test_mirrors_that_spend_too_little_are() -> None:
    rig = Rig()
    rig.spend(2 * COMPARED_MS - 10_000, tokens=100)
    assert not rig.doubts()
    rig.spend(10_000, tokens=100)
    assert rig.doubts()
    assert (rig.trust.tries, rig.trust.measures_since_ms) == (True, rig.now_ms)
    assert not rig.trust.may_begin(rig.now_ms)
    assert not rig.doubts(), "once"


def test_a_small_lag_is_a_doubt_after_two_minutes_unless_others_have_spent_that() -> None:
    for foreign, doubts in ((0, True), (RATE // 4, False)):
        rig = Rig()
        rig.spend(MINUTE_MS, tokens=350)
        assert not rig.doubts()
        rig.spend(MINUTE_MS, tokens=350)
        assert rig.doubts(foreign=foreign) is doubts


def test_an_idle_limit_is_never_doubted_when_requests_come_again() -> None:
    rig = Rig()
    rig.spend(5 * MINUTE_MS)
    for idle_ms in (30_000, 5 * MINUTE_MS, HOUR_MS, 3 * DAY_MS):
        rig.now_ms += idle_ms
        assert not rig.doubts()
        for _ in range(30):
            rig.call()
            rig.hold(390)
            assert not rig.doubts()


def test_a_stall_is_a_doubt_after_the_time_that_the_mirror_itself_needs() -> None:
    for needs_ms, stalls_ms in ((400, COMPARED_MS), (50_000, 50_000 + SPENT_IN_MS)):
        rig, needing = Rig(), replace(BOUND, needs_ms=needs_ms, level=50_000)
        rig.now_ms += 1_000
        rig.hold(stalls_ms - 1)
        assert not rig.doubts(needing)
        rig.hold(1)
        assert rig.doubts(needing)


def test_calls_that_are_all_refused_stall_too() -> None:
    rig = Rig()
    for _ in range(3):
        rig.hold(COMPARED_MS // 3 - 100)
        assert not rig.doubts()
        rig.call(refused=True)
    rig.hold(400)
    assert rig.doubts(replace(BOUND, level=50_000))


def test_without_anything_that_binds_nothing_lags() -> None:
    rig = Rig()
    rig.spend(5 * MINUTE_MS, tokens=1)
    assert not rig.doubts(None)


def test_a_few_refusals_are_no_doubt_and_more_are() -> None:
    for refused_every, doubts in ((60, False), (20, True)):
        rig = Rig()
        rig.spend(MINUTE_MS, tokens=500, refused_every=refused_every)
        assert rig.doubts() is doubts


def test_refusals_are_a_doubt_early_only_if_there_are_many() -> None:
    for refused_every, doubts in ((20, False), (7, True)):
        rig = Rig()
        rig.spend(COMPARED_MS + 8_000, tokens=600, refused_every=refused_every)
        assert rig.doubts() is doubts
    rig = Rig()
    rig.spend(COMPARED_MS - 1_000, tokens=600, refused_every=7)
    assert not rig.doubts()


def test_a_storm_of_refusals_is_a_doubt_at_once_although_nothing_waited() -> None:
    rig = Rig()
    for number in range(MANY - 1):
        rig.refuse(rig.send(), rig.now_ms)
        rig.now_ms += SOON_MS + 1
        assert not rig.doubts(), number
    rig.refuse(rig.send(), rig.now_ms)
    assert rig.doubts()


def test_refusals_in_a_row_are_a_doubt_once_they_have_lasted() -> None:
    rig = Rig()
    for _ in range(STORM - 1):
        rig.call(refused=True)
        rig.now_ms += 1_000
    assert not rig.doubts()
    rig.call(refused=True)
    assert rig.doubts()
    rig = Rig()
    for _ in range(2 * STORM):
        rig.call(refused=True)
    assert rig.now_ms < STORM_MS
    assert not rig.doubts()


def test_refusals_of_one_wave_count_once_and_an_admission_ends_the_row() -> None:
    rig = Rig()
    for _ in range(STORM - 1):
        sent_ms, wave = rig.now_ms, [rig.send() for _ in range(3)]
        rig.now_ms += 1_000
        for attempt in wave:
            rig.refuse(attempt, sent_ms)
    assert rig.trust.lately(rig.now_ms).refused < MANY
    assert not rig.doubts()
    rig.call()
    rig.call(refused=True)
    assert not rig.doubts()


def test_refusals_of_the_first_half_of_a_time_are_no_doubt_of_what_was_learned_from_them() -> None:
    rig = Rig()
    rig.spend(COMPARED_MS, refused_every=8)
    rig.spend(COMPARED_MS)
    assert rig.trust.lately(rig.now_ms).is_refused_much
    assert not rig.doubts()
    rig.spend(4_000, refused_every=8)
    assert rig.doubts()


def test_a_refusal_that_is_known_and_begins_no_event_tests_a_wait() -> None:
    rig = Rig()
    rig.hold(COMPARED_MS)
    for is_event in (False, False, True):
        sent_ms, attempt = rig.now_ms, rig.send()
        rig.now_ms += 10
        rig.refuse(attempt, sent_ms, is_event=is_event)
        rig.hold(5_000)
    lately = rig.trust.lately(rig.now_ms)
    assert (lately.refused, lately.tests) == (3, 1), "before the first one there was no wait"
    sent_ms, attempt = rig.now_ms, rig.send()
    rig.trust.record_refusal(attempt, sent_ms, rig.now_ms, held=False, is_event=False, theirs=True)
    assert rig.trust.lately(rig.now_ms).ours == 2, "one that others explain is left out once"


def test_a_lag_that_is_over_is_no_doubt() -> None:
    """Before: mirrors that had spent little two minutes ago, and now spend all, were tried (seed 92292)."""
    rig = Rig()
    rig.spend(REMEMBERED_MS - LATELY_MS, tokens=250)
    rig.spend(LATELY_MS + 1_000)
    assert BOUND.lags(rig.trust.lately(rig.now_ms, REMEMBERED_MS))
    assert not rig.doubts()
