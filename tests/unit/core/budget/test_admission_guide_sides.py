"""Whether mirrors are doubted where a limit of input tokens holds calls back, at the guide of one limit."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import DAY_MS, HOUR_MS, MINUTE_MS, LimitMetric
from headrace.broker.core.budget.admission_guide import GUESS, AdmissionGuide
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.burst_ramp import TAPERED_MS
from headrace.broker.core.budget.fixed_window import FixedWindowMirror
from headrace.broker.core.budget.level_bounds import LevelBounds
from headrace.broker.core.budget.limit_settings import LimitBeliefs
from headrace.broker.core.budget.mirror_trust import LATELY_MS
from headrace.broker.core.budget.rate_control import SILENCE_MS
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.sent_calls import SentCalls
from headrace.broker.core.budget.side_limits import SideLimits
from headrace.broker.core.budget.sliding_window import SlidingWindowMirror
from headrace.broker.core.units import PPM
from tests.unit.core.budget.test_admission_guide import RATE, REFUSED, Rig
from tests.unit.core.budget.test_side_limits import carries, shows
from tests.unit.core.budgets import SETTINGS, UNKNOWN

CARRIED = 4_000  # input tokens of a call of 400 tokens
CALL = carries(CARRIED)


class SideRig(Rig):
    """A guide beside a limit of input tokens. Its calls pay that, and the bucket of tokens stays full."""

    def __init__(self, *levels: LevelBounds) -> None:
        super().__init__()
        self.prices = CALL
        sends = SentCalls()
        self.sends, self.sides, self.buckets = sends, SideLimits(sends), BucketSet(sends)
        self.buckets.believe(LimitMetric.TOKENS, RATE, MINUTE_MS, 0)
        self.sides.inherit(levels, 0)
        self.guide = AdmissionGuide(SETTINGS, self.buckets, self.sides, self.charged, 0, known=True)

    def show(self, capacity: int, left: int = 0, reset: str = "60s") -> None:
        """Send a call whose answer states what is left; by default all is used."""
        call = self.send()
        call = replace(call, number=self.sends.count - 1)
        self.sides.record_answer(call, shows("input-tokens", capacity, left, reset), self.now_ms)
        self.end(replace(call, number=self.count))

    def send(self, paid: int = 400) -> Reservation:
        number = self.sends.append(self.now_ms, paid, None, CALL)
        self.sides.record_send(CALL, number, None, self.now_ms)
        return super().send(paid)

    def doubts(self, every_ms: int, minutes: int = 5, *, others_spend: bool = False) -> bool:
        """Whether the mirrors are doubted that let a call through so often, and hold each back until then."""
        for _ in range(minutes * MINUTE_MS // every_ms):
            for mirror in self.buckets if others_spend else ():
                mirror.pay(2 * mirror.low(self.now_ms), 0, self.now_ms)
            self.call()
            self.ask(every_ms - 10)
            self.now_ms += every_ms - 10
            if self.guide.compare(400, self.now_ms, CALL):
                return True
        return False


class InputRig(SideRig):
    """The same before a server that limits input alone; what calls are charged in tokens is 400."""

    def __init__(self, *levels: LevelBounds, operator: LimitBeliefs = UNKNOWN) -> None:
        """`operator`: the limit as the operator states it."""
        super().__init__(*levels)
        self.buckets = BucketSet(self.sends)
        self.guide = AdmissionGuide(operator, self.buckets, self.sides, self.charged, 0, known=True)

    @property
    def rate(self) -> int:
        """The measured rate that the first refusal begins, in tokens a minute."""
        self.call(REFUSED)
        assert self.guide._rate is not None
        return self.guide._rate.rate // 1_000


def of_input(capacity: int, period_ms: int = MINUTE_MS, left: int = 0) -> LevelBounds:
    return LevelBounds(LimitMetric.TOKENS, left, left, capacity, period_ms, kind="input-tokens")


def test_mirrors_that_spend_a_tenth_of_the_tokens_are_doubted_unless_a_limit_of_input_explains_it() -> None:
    """A call of 400 tokens carries 4,000 of input, of which as many are admitted a minute as tokens."""
    assert SideRig().doubts(4_000)
    rig = SideRig()
    rig.show(15 * CARRIED)
    assert not rig.doubts(4_000)


def test_input_that_is_spent_explains_tokens_that_are_left_though_these_are_what_is_waited_for() -> None:
    rig = SideRig()
    rig.show(15 * CARRIED)
    assert not rig.doubts(4_000, others_spend=True)
    assert SideRig().doubts(4_000, others_spend=True)
    rig = SideRig()
    rig.show(150 * CARRIED)
    assert rig.doubts(4_000, others_spend=True), "a tenth of it is spent"


def test_more_is_searched_beyond_a_limit_of_input_that_no_header_states() -> None:
    assert SideRig(of_input(15 * CARRIED)).doubts(4_000)


def test_mirrors_that_spend_a_tenth_of_the_input_that_holds_them_back_are_doubted() -> None:
    assert SideRig(of_input(150 * CARRIED)).doubts(4_000)


@pytest.mark.parametrize("period_ms", [MINUTE_MS, DAY_MS])
def test_a_limit_of_input_that_holds_nothing_back_explains_no_tokens_that_are_left(period_ms: int) -> None:
    held = of_input(10**9, period_ms, left=10**9)
    assert SideRig(held).doubts(4_000)


@pytest.mark.parametrize("left", [3 * CARRIED, 20 * CARRIED])
def test_towards_the_end_of_a_window_of_input_no_more_than_half_of_what_is_left_is_unanswered(left: int) -> None:
    rig = SideRig()
    assert rig.ask() == 0, "no window is known yet"
    for number in range(4):
        rig.now_ms = 10_000 * number
        rig.show(40 * CARRIED, left + (3 - number) * CARRIED, f"{60_000 - rig.now_ms}ms")
    rig.now_ms += 5_000
    assert rig.ask() == 0
    rig.send()
    rig.now_ms += 50
    assert rig.ask() == (SILENCE_MS - 50 if left == 3 * CARRIED else 0)


def test_a_window_of_input_that_is_spent_holds_back_no_call_that_takes_nothing_of_it() -> None:
    """Before: urgent text waited 19 s where a window of images was spent, since each call counted as a mean one."""
    rig = SideRig()
    for number in range(4):
        rig.now_ms = 10_000 * number
        rig.show(40 * CARRIED, 2_000 + (3 - number) * CARRIED, f"{60_000 - rig.now_ms}ms")
    rig.now_ms += 5_000
    rig.ask()
    rig.send()
    assert rig.ask() > 0
    assert not rig.sides.any_spent(carries(0), MINUTE_MS, rig.now_ms)
    assert rig.sides.any_spent(CALL, MINUTE_MS, rig.now_ms)
    rig.prices = carries(0)
    assert rig.ask() == 0


def test_a_days_limit_of_input_counts_as_such_while_it_holds_back() -> None:
    for period_ms, waited_ms in ((DAY_MS, 0), (MINUTE_MS, LATELY_MS)):
        rig = SideRig(of_input(10**7, period_ms))
        rig.now_ms += 1_000
        rig.sides.inherit((of_input(10**7, period_ms),), rig.now_ms)
        rig.ask(LATELY_MS)
        rig.now_ms += LATELY_MS
        rig.call()
        assert rig.guide._trust.lately(rig.now_ms).waited_ms == waited_ms


@pytest.mark.parametrize(
    ("reserved_ppm", "left", "spent"), [(0, 3_000, False), (300_000, 3_000, True), (700_000, 10_000, False)]
)
def test_a_days_limit_of_input_is_spent_for_a_call_if_only_the_reserve_is_left(
    reserved_ppm: int,
    left: int,
    spent: bool,  # noqa: FBT001
) -> None:
    rig = SideRig(of_input(10 * CARRIED, DAY_MS, left=left * 4))
    assert rig.sides.any_spent(CALL, HOUR_MS, 0, reserved_ppm) is spent
    rig.send()
    bound = next(bound for _, bound, _ in rig.sides.bounds(CALL, reserved_ppm, 0))
    assert bound.needs_ms == DAY_MS // 10 + DAY_MS * reserved_ppm // PPM


def test_windows_of_input_keep_a_reserve_in_tokens_of_calls_like_the_last_ones() -> None:
    rig = SideRig(of_input(10 * CARRIED))
    rig.sides._limits["input-tokens"].buckets._mirrors.keep(lambda _: False)
    window = FixedWindowMirror(LimitMetric.TOKENS, 40 * CARRIED, MINUTE_MS, 5_000, 3 * CARRIED)
    rig.sides._limits["input-tokens"].buckets._mirrors.add(window)
    rig.send()
    for kept_ppm, spendable in ((0, 12_000), (250_000, 12_000), (500_000, 8_000)):
        ((_, bound, _),) = rig.sides.bounds(CALL, 250_000 if kept_ppm else 0, 0, kept_ppm)
        assert (bound.per_minute, bound.spendable) == (16_000, spendable if kept_ppm else 16_000)


def test_a_days_limit_of_input_that_holds_nothing_back_explains_nothing_though_much_of_it_is_spent() -> None:
    a_day = 15 * CARRIED * DAY_MS // MINUTE_MS
    assert SideRig(of_input(a_day, DAY_MS, left=a_day)).doubts(4_000)


def test_mirrors_are_judged_by_what_they_achieved_at_the_present_size_of_a_limit_of_input() -> None:
    for raised in (False, True):
        rig = SideRig(of_input(150 * CARRIED))
        assert not rig.guide.compare(400, rig.now_ms, CALL), "what sizes there are is known from now on"
        for _ in range(2 * MINUTE_MS // 4_000):
            rig.call()
            rig.ask(3_990)
            rig.now_ms += 3_990
        if raised:
            rig.sides.inherit((of_input(300 * CARRIED),), rig.now_ms)
        assert rig.guide.compare(400, rig.now_ms, CALL) is not raised


def test_more_is_searched_beyond_a_limit_of_input_that_is_the_only_one() -> None:
    for left in (0, 15 * CARRIED):
        rig = SideRig(of_input(15 * CARRIED, left=left))
        rig.buckets.drop_unshown(RATE, MINUTE_MS)
        assert rig.doubts(4_000)


def test_what_holds_a_call_back_longest_is_judged_first_and_with_the_reserve_it_must_leave() -> None:
    """Input of ten seconds is missing beside the reserve, and tokens of half a minute."""
    rig = SideRig(of_input(15 * CARRIED, left=12 * CARRIED + CARRIED))
    rig.send()
    for mirror in rig.buckets:
        mirror.pay(RATE // 2, 0, 0)
    bounds, _ = rig.guide._bounds(400, CALL, 900_000, 0)
    assert bounds[0].per_minute == RATE


@pytest.mark.parametrize(("period_ms", "waits"), [(TAPERED_MS, True), (TAPERED_MS - 1, False)])
def test_the_end_of_a_short_window_of_input_is_near_all_the_time_and_bounds_nothing(
    period_ms: int,
    waits: bool,  # noqa: FBT001
) -> None:
    rig = SideRig(of_input(10**6, left=10**6))
    rig.buckets._mirrors.add(FixedWindowMirror(LimitMetric.TOKENS, RATE, MINUTE_MS, 30_000, RATE))
    window = FixedWindowMirror(LimitMetric.TOKENS, 40 * CARRIED, period_ms, 5_000, 3 * CARRIED)
    rig.sides._limits["input-tokens"].buckets._mirrors.add(window)
    assert rig.ask() == 0
    rig.send()
    assert (rig.ask() > 0) is waits


@pytest.mark.parametrize(("period_ms", "counts"), [(TAPERED_MS, False), (TAPERED_MS + 1, True)])
def test_a_sliding_window_of_input_that_is_spent_evenly_makes_no_burst_begin_small(
    period_ms: int,
    counts: bool,  # noqa: FBT001
) -> None:
    rig = SideRig(of_input(10**6, left=10**6))
    buckets = rig.sides._limits["input-tokens"].buckets
    buckets._mirrors.add(SlidingWindowMirror(LimitMetric.TOKENS, RATE, period_ms, 0, SentCalls()))
    assert rig.sides.any_window(TAPERED_MS) is counts


def test_a_limit_of_input_that_headers_show_states_a_rate_where_none_of_tokens_does() -> None:
    """Before, a guess took its place, and a storm at the start left a tenth of the rate for minutes (seed 90011)."""
    rig = InputRig()
    for _ in range(8):
        rig.show(1_000 * CARRIED)
        rig.now_ms += 60
    assert rig.rate == 1_000 * 400


def test_of_two_limits_of_input_the_stricter_one_states_the_rate() -> None:
    rig = InputRig()
    for number in range(16):
        rig.show((1_000, 900)[number % 2] * CARRIED)
        rig.now_ms += 60
    assert rig.rate == 900 * 400


@pytest.mark.parametrize("period_ms", [MINUTE_MS, DAY_MS])
def test_a_limit_of_input_that_no_header_shows_states_none(period_ms: int) -> None:
    assert InputRig(of_input(1_000 * CARRIED, period_ms)).rate == GUESS


def test_nor_does_one_of_a_day() -> None:
    rig = InputRig()
    for _ in range(8):
        rig.show(1_000 * CARRIED, reset="86400s")
        rig.now_ms += 60
    assert [period_ms for *_, period_ms in rig.sides.capacities()] == [DAY_MS]
    assert rig.rate == GUESS


def test_what_was_achieved_bounds_what_a_limit_of_input_states() -> None:
    """A period that is mistaken may make any rate of a size."""
    rig = InputRig()
    for _ in range(8):
        rig.show(1_000 * CARRIED)
        rig.now_ms += 60
    rig.guide._credible = 123_456
    assert rig.rate == 123_456


def test_a_limit_of_input_that_headers_show_states_the_rate_though_the_operator_states_tokens() -> None:
    """Calls of 400 tokens carry 4,000: by what the operator states, a tenth of the limit would be used."""
    rig = InputRig(operator=SETTINGS)
    for _ in range(8):
        rig.show(200 * CARRIED)
        rig.now_ms += 60
    assert rig.rate == pytest.approx(200 * 400, rel=0.01)


def test_the_operators_tokens_state_it_where_a_bucket_of_tokens_is_believed_or_no_header_shows_one_of_input() -> None:
    rig = InputRig(operator=SETTINGS)
    for _ in range(8):
        rig.show(200 * CARRIED)
        rig.now_ms += 60
    rig.buckets.believe(LimitMetric.TOKENS, 10 * RATE, MINUTE_MS, rig.now_ms)
    assert rig.rate == RATE
    assert InputRig(of_input(1_000 * CARRIED), operator=SETTINGS).rate == RATE
