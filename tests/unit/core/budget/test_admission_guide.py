"""What is followed, the mirrors or a measured rate: at the guide of one limit with the buckets of its own."""

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, HOUR_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.achievement import COMPARED_MS
from headrace.broker.core.budget.admission_guide import GUESS, AdmissionGuide
from headrace.broker.core.budget.bucket_mirror import Mirror
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.burst_ramp import OPENING_CALLS, OPENING_MS
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.limit_settings import LimitBeliefs
from headrace.broker.core.budget.mirror_list import AnyMirror
from headrace.broker.core.budget.mirror_trust import LATELY_MS
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.side_limits import SideLimits
from headrace.broker.core.budget.sliding_sum import SlidingSum
from headrace.broker.core.budget.trial import IN_VAIN, SETTLES_MS, TRIED_MS
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.units import PPM
from tests.unit.core.budgets import SETTINGS, UNKNOWN
from tests.unit.core.specimens import verdict

RATE = 60_000
REFUSED = verdict(Meaning.RATE_LIMITED)


class Rig:
    """A guide, the buckets that it compares with, and a clock. Calls are answered after 10 ms."""

    prices: Prices | None = None

    def __init__(self, settings: LimitBeliefs = SETTINGS, *, known: bool = True, tokens: int | None = RATE) -> None:
        self.sends = sends = SentCalls()
        self.buckets, self.charged, self.now_ms = BucketSet(sends), SlidingSum(), 0
        if tokens is not None:
            self.buckets.believe(LimitMetric.TOKENS, tokens, MINUTE_MS, 0)
        self.guide = AdmissionGuide(settings, self.buckets, SideLimits(sends), self.charged, 0, known=known)
        self.count = 0

    def ask(
        self,
        mirrored_in_ms: int = 0,
        reserved_ppm: int = 0,
        *,
        paid: int = 400,
        believed: bool = True,
        only_mirrors: bool = True,
    ) -> int:
        """Return in how many milliseconds a call may be sent that the mirrors allow in so many."""
        mirrored_ms = self.now_ms + mirrored_in_ms
        return (
            self.guide.payable_at(
                mirrored_ms, paid, self.prices, self.now_ms, reserved_ppm, believed=believed, only_mirrors=only_mirrors
            )
            - self.now_ms
        )

    def send(self, paid: int = 400) -> Reservation:
        self.count += 1
        self.guide.record_send(self.count, paid, self.now_ms)
        return Reservation(self.count, paid, paid, False, self.now_ms, 0, "", 0, 0, self.guide.mirrors_hold_back)

    def end(self, call: Reservation, told: Verdict = verdict()) -> None:  # noqa: B008 — a value
        self.guide.record_end(call.number, call, told, self.now_ms)

    def call(self, told: Verdict = verdict(), *, paid: int = 400) -> None:  # noqa: B008 — a value
        call = self.send(paid)
        self.now_ms += 10
        self.end(call, told)

    def doubt(self) -> None:
        """Mirrors that hold calls back although the limit's bucket is full, and so a trial."""
        self.ask(COMPARED_MS)
        self.now_ms += COMPARED_MS
        for mirror in self.buckets.of(LimitMetric.TOKENS):
            mirror.pay(2 * mirror.capacity, 0, self.now_ms)
        assert self.guide.compare(400, self.now_ms)

    def spend(self, for_ms: int, *, paid: int = 400, refused_every: int = 0) -> None:
        """A call each 400 ms, held back until then."""
        until_ms = self.now_ms + for_ms
        while self.now_ms < until_ms:
            self.call(REFUSED if refused_every and self.count % refused_every == 1 else verdict(), paid=paid)
            self.ask(390)
            self.now_ms += 390


# ------------------------------------------------------------------ while the mirrors are right


def test_as_a_rule_the_mirrors_are_followed_at_once() -> None:
    rig = Rig()
    assert (rig.ask(), rig.guide.mirrors_hold_back, rig.guide.is_free) == (0, False, True)
    assert (rig.ask(250), rig.guide.mirrors_hold_back, rig.guide.is_free) == (250, True, False)
    assert (rig.guide.measures, rig.guide.measures_since_ms, rig.guide.rate) == (False, None, None)
    assert rig.guide.proven_rate is None


def test_a_refusal_begins_to_measure_and_is_not_followed_where_tokens_are_stated() -> None:
    rig = Rig()
    rig.call()
    assert rig.guide._rate is None
    rig.call(REFUSED)
    assert rig.guide._rate is not None
    assert rig.guide._rate.rate == RATE * 1_000, "it begins at what is stated"
    assert (rig.guide.measures, rig.guide.rate) == (False, None)
    assert rig.guide.ramps(rig.now_ms)


def test_bursts_begin_small_where_no_predecessor_has_called_whatever_the_first_answer_shows() -> None:
    """Before: one that stated the limit of a minute and the level of a second cost 530 refusals in the next instant."""
    rig = Rig(known=False)
    assert rig.guide.ramps(0)
    for _ in range(OPENING_CALLS):
        rig.send()
    assert rig.ask() > 0
    assert rig.ask(believed=False) == 0, "the first calls have a rule of their own"
    assert not Rig(known=True).guide.ramps(0)
    rig = Rig(known=False)
    rig.call(verdict(remaining=9_000))
    assert rig.guide.ramps(rig.now_ms)
    assert not rig.guide.ramps(rig.now_ms + OPENING_MS)


def test_what_is_missing_counts_as_taken_while_the_mirrors_are_followed() -> None:
    rig = Rig()
    rig.buckets.missing.add(40, 0)
    rig.now_ms = 5 * MINUTE_MS
    rig.call()
    assert rig.buckets.missing.taken == 40


# ------------------------------------------------------------------ where nothing states a limit


def test_where_nothing_is_stated_a_rate_is_followed_from_the_first_refusal_on() -> None:
    rig = Rig(UNKNOWN, tokens=None)
    rig.call()
    assert rig.ask() == 0
    rig.call(REFUSED)
    assert (rig.guide.measures, rig.guide.measures_since_ms) == (True, None)
    assert rig.guide.rate == GUESS
    assert rig.ask(30_000) < 30_000
    assert (rig.guide.is_free, rig.guide.proven_rate) == (False, None)


def test_a_guess_is_no_lower_than_what_the_last_minute_was_charged() -> None:
    rig = Rig(UNKNOWN, tokens=None)
    rig.charged.pay(5 * GUESS, 0)
    rig.call(REFUSED)
    assert rig.guide.rate == 5 * GUESS


def test_what_is_stated_later_is_followed_and_measured_again_when_it_is_undone() -> None:
    rig = Rig(UNKNOWN, tokens=None)
    rig.call(REFUSED)
    rig.buckets.believe(LimitMetric.TOKENS, RATE, MINUTE_MS, rig.now_ms)
    assert not rig.guide.measures
    assert rig.ask(30_000) == 30_000
    rig.buckets.disown(RATE, None, 1, rig.now_ms)
    assert rig.guide.measures


def test_a_rate_that_began_at_a_statement_begins_anew_when_that_is_undone() -> None:
    rig = Rig(UNKNOWN, tokens=1_000)
    rig.call(REFUSED)
    rig.buckets.disown(1_000, None, 1, rig.now_ms)
    assert rig.guide.rate == 1_000
    rig.ask()
    assert rig.guide.rate == GUESS


@pytest.mark.parametrize(
    ("mirror", "rate"),
    [
        (FixedWindowMirror(LimitMetric.TOKENS, 600_000, HOUR_MS, HOUR_MS, 600_000), GUESS),
        (FixedWindowMirror(LimitMetric.TOKENS, 30_000, MINUTE_MS, MINUTE_MS, 30_000), 30_000),
        (Mirror(LimitMetric.TOKENS, 600_000, HOUR_MS, 0), 10_000),
    ],
)
def test_a_window_of_an_hour_states_no_rate_since_it_may_be_spent_at_once(mirror: AnyMirror, rate: int) -> None:
    """Before: a rate began at that of an hour, and took minutes to come to that of the minute."""
    rig = Rig(UNKNOWN, tokens=None)
    rig.buckets._mirrors.add(mirror)
    rig.call(REFUSED)
    assert rig.guide._rate is not None
    assert rig.guide._rate.rate == rate * 1_000


def test_the_operators_figure_is_where_a_rate_begins() -> None:
    rig = Rig(LimitBeliefs("m", tokens=30_000, requests=None, period_ms=2 * MINUTE_MS), tokens=None)
    rig.call(REFUSED)
    assert rig.guide.rate == 15_000
    rig.now_ms += 20_000
    assert rig.ask() == 0
    rig.send(paid=15_000)
    rig.now_ms += 10_000
    assert rig.ask() > 0, "it is paced, and does not begin anew when it is asked: before it did"


# ------------------------------------------------------------------ trials


def test_mirrors_in_doubt_are_not_followed_and_what_was_missing_is_taken_by_none() -> None:
    rig = Rig()
    rig.buckets.missing.add(40, 0)
    rig.doubt()
    assert (rig.guide.measures, rig.guide.measures_since_ms, rig.guide.rate) == (True, rig.now_ms, RATE)
    assert rig.ask(30_000) < 1_000
    rig.buckets.missing.add(2, rig.now_ms)
    rig.call()
    rig.buckets.missing.settle(rig.now_ms + 10 * MINUTE_MS)
    assert (rig.buckets.missing.total, rig.buckets.missing.taken) == (42, 0)
    assert not rig.guide.compare(400, rig.now_ms), "there is a trial"


@pytest.mark.parametrize(("refused_every", "rate"), [(0, 120_000), (3, RATE)])
def test_a_trial_begins_no_lower_than_what_was_achieved_without_refusals(refused_every: int, rate: int) -> None:
    rig = Rig(SETTINGS, tokens=10 * RATE)
    rig.call(verdict(remaining=9 * RATE))
    rig.spend(MINUTE_MS, paid=800, refused_every=refused_every)
    for mirror in rig.buckets.of(LimitMetric.TOKENS):
        mirror.pay(20 * RATE, 0, rig.now_ms)
    assert rig.guide.compare(400, rig.now_ms)
    assert rig.guide.rate is not None
    assert abs(rig.guide.rate - rate) < 2_000


def test_a_limit_of_calls_alone_is_compared_and_measured_in_tokens() -> None:
    rig = Rig(UNKNOWN, tokens=None)
    rig.buckets.believe(LimitMetric.REQUESTS, 600, MINUTE_MS, 0)
    for mirror in rig.buckets:
        mirror.pay(1_200, 0, 0)
    rig.ask(COMPARED_MS)
    rig.now_ms += COMPARED_MS
    assert rig.guide.compare(400, rig.now_ms)
    assert (rig.guide.rate, rig.guide.measures_since_ms) == (GUESS, rig.now_ms)


def test_without_any_bucket_no_wait_is_a_doubt_and_a_refusal_begins_to_measure_without_a_trial() -> None:
    rig = Rig(UNKNOWN, tokens=None)
    rig.ask(COMPARED_MS)
    rig.now_ms += COMPARED_MS
    assert not rig.guide.compare(400, rig.now_ms)
    assert not rig.guide.measures
    rig.call(REFUSED)
    assert (rig.guide.measures, rig.guide.measures_since_ms) == (True, None)
    assert not rig.guide.compare(400, rig.now_ms)


def test_only_a_rate_that_has_won_its_trial_is_handed_on() -> None:
    """Before: a successor followed for good what a trial had not shown to be better."""
    rig = Rig()
    rig.doubt()
    assert rig.guide.proven_rate is None
    rig.spend(SETTLES_MS + TRIED_MS + 5_000)
    assert rig.guide.measures
    assert rig.guide.proven_rate == rig.guide.rate is not None


def test_a_trial_that_is_refused_throughout_ends() -> None:
    rig = Rig()
    rig.doubt()
    for _ in range(IN_VAIN):
        assert rig.guide.measures
        rig.now_ms += rig.ask()
        rig.call(REFUSED)
        rig.now_ms += 20_000
    assert not rig.guide.measures


def test_a_limit_of_a_day_counts_as_such_while_it_holds_back() -> None:
    rig = Rig(UNKNOWN, tokens=None)
    rig.buckets.believe(LimitMetric.TOKENS, 10_000_000, DAY_MS, 0)
    (mirror,) = rig.buckets
    mirror.pay(10_000_000 - 200, 0, 0)
    rig.now_ms += 1_000
    rig.ask(LATELY_MS)
    rig.now_ms += LATELY_MS
    rig.call()
    assert rig.guide._trust.lately(rig.now_ms).waited_ms == 0


# ------------------------------------------------------------------ what else holds back


def test_no_trial_begins_while_an_overloaded_server_has_asked_to_wait() -> None:
    rig = Rig()
    rig.call(verdict(Meaning.OVERLOADED, wait_ms=5 * MINUTE_MS))
    until_ms = rig.guide.rests_until_ms
    assert until_ms == rig.now_ms + 5 * MINUTE_MS
    for mirror in rig.buckets:
        mirror.pay(6 * RATE, 0, rig.now_ms)
    while rig.now_ms < until_ms:
        assert rig.ask(1_000) == 1_000
        rig.now_ms = min(until_ms, rig.now_ms + 1_000)
        assert not rig.guide.compare(400, rig.now_ms)
    rig.ask(1_000)
    rig.now_ms += 1_000
    assert not rig.guide.compare(400, rig.now_ms), "nor for that wait, when it is over"


def test_a_measured_rate_waits_for_an_overloaded_server_too() -> None:
    rig = Rig()
    rig.doubt()
    rig.call(verdict(Meaning.OVERLOADED, wait_ms=9_000))
    rig.call(verdict(Meaning.OVERLOADED, wait_ms=100))
    assert rig.ask() == 9_000 - 10
    rig.call(verdict(Meaning.OVERLOADED))
    assert rig.ask() == 9_000 - 20


def test_what_is_held_back_by_something_else_does_not_count() -> None:
    rig = Rig()
    for mirror in rig.buckets:
        mirror.pay(9 * RATE, 0, 0)
    for _ in range(10):
        rig.ask(COMPARED_MS, only_mirrors=False)
        rig.now_ms += COMPARED_MS
        assert not rig.guide.compare(400, rig.now_ms)


# ------------------------------------------------------------------ a predecessor's rate


def test_a_predecessors_rate_is_followed_and_not_raised_to_what_is_stated() -> None:
    """Before: the first call raised it to the stated rate."""
    rig = Rig()
    rig.guide.inherit(20_000, 0)
    assert (rig.guide.measures, rig.guide.measures_since_ms, rig.guide.rate) == (True, 0, 20_000)
    assert rig.guide.proven_rate == 20_000
    for _ in range(50):
        rig.now_ms += rig.ask()
        rig.call()
    before = rig.guide.proven_rate
    assert before is not None
    assert 20_000 <= before < 21_000
    rig.now_ms += rig.ask()
    rig.call(REFUSED)
    after = rig.guide.proven_rate
    assert after is not None
    assert after < before


def test_a_predecessors_rate_is_followed_where_no_tokens_are_stated() -> None:
    """Before: it began anew at a guess."""
    rig = Rig(UNKNOWN, tokens=None)
    rig.guide.inherit(20_000, 0)
    for _ in range(9):
        rig.now_ms += rig.ask()
        rig.call()
    assert rig.guide.rate == 20_000


# ------------------------------------------------------------------ prices and losses


def test_other_prices_change_the_rate_with_them() -> None:
    rig = Rig()
    rig.guide.reprice(PPM // 2)
    rig.doubt()
    rig.guide.reprice(PPM)
    assert rig.guide.rate == RATE
    rig.guide.reprice(PPM // 2)
    assert rig.guide.rate == RATE, "it is what is stated, and stays so"
    assert rig.guide._rate is not None
    rig.guide._rate.rate //= 2
    rig.guide.reprice(PPM // 2)
    assert rig.guide.rate == RATE // 4


@pytest.mark.parametrize("measures", [False, True])
def test_calls_that_end_without_an_answer_are_forgotten(measures: bool) -> None:  # noqa: FBT001
    rig = Rig()
    if measures:
        rig.doubt()
    for sent in (True, False):
        rig.ask(10)
        call = rig.send()
        rig.now_ms += 10
        rig.guide.record_loss(call.number, sent=sent)
    rig.ask(10)
    rig.end(rig.send(), verdict(Meaning.UPSTREAM_ERROR))
    assert not rig.guide._trust._counted
    assert rig.guide._rate is None or not rig.guide._rate._sent


# ------------------------------------------------------------------ stated waits
