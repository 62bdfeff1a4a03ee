"""How a limit of the operator's proves to count by a sliding window, by nothing but admissions and refusals."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from headrace.broker.core.answers.rate_limit_headers import REQUESTS, TOKENS, LimitMetric, SideReading
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.limit_settings import LimitBeliefs
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.sent_calls import SENDS_MAX, SentCalls
from headrace.broker.core.budget.unshown_window import FLOWED_PARTS, LATE_MS, UnshownWindow, UnshownWindows
from tests.unit.core.specimens import verdict

CAPACITY = 60_000
PERIOD_MS = 60_000
CALL = 600
FLOW_MS = CALL + CAPACITY // FLOWED_PARTS  # until a bucket that held nothing can pay a call for certain


class Window:
    """One window, and calls that are answered at once."""

    def __init__(self, metric: LimitMetric = TOKENS, capacity: int = CAPACITY) -> None:
        self.sends = SentCalls()
        self.window = UnshownWindow(metric, capacity, PERIOD_MS, self.sends)

    def admit(self, at_ms: int, amount: int = CALL) -> None:
        """Send a call, which is admitted."""
        self.window.record_admission(self.sends.append(at_ms, amount), amount, at_ms)

    def refuse(self, at_ms: int, amount: int = CALL, after_ms: int = 50) -> None:
        """Send a call, which is refused."""
        number = self.sends.append(at_ms, amount)
        self.sends.strike(number)
        self.window.record_refusal(number, amount, at_ms, at_ms + after_ms)

    def use_up(self, from_ms: int = 0, part: float = 1) -> None:
        """Spend the limit, 10 ms a call."""
        for place in range(round(part * CAPACITY) // CALL):
            self.admit(from_ms + 10 * place)

    def vote(self, from_ms: int = 2_000, votes: int = 2) -> int:
        """Refuse a call, and as many after it as are votes, each after a bucket could pay; return the last instant."""
        for place in range(votes + 1):
            self.refuse(from_ms + place * (FLOW_MS + 50))
        return from_ms + votes * (FLOW_MS + 50)


def test_two_refusals_that_a_bucket_contradicts_and_an_admission_show_a_window() -> None:
    world = Window()
    world.use_up()
    world.vote()
    assert world.window.awaits_admission
    assert not world.window.slides
    world.admit(PERIOD_MS + 20)
    assert world.window.slides


def test_one_vote_is_not_enough() -> None:
    world = Window()
    world.use_up()
    world.vote(votes=1)
    assert not world.window.awaits_admission
    world.admit(PERIOD_MS + 20)
    assert not world.window.slides


def test_a_refusal_that_a_bucket_explains_is_no_vote() -> None:
    """What flows in until the next call does not pay it for certain."""
    world = Window()
    world.use_up()
    for place in range(20):
        world.refuse(2_000 + place * (FLOW_MS + 49))
    assert not world.window.awaits_admission


def test_what_was_admitted_since_has_left_a_bucket_again() -> None:
    world = Window()
    world.use_up()
    for place in range(6):
        at_ms = 2_000 + place * (FLOW_MS + 50)
        world.refuse(at_ms)
        world.admit(at_ms + 60, 1)
    assert not world.window.awaits_admission


@pytest.mark.parametrize(("part", "votes"), [(0.95, 0), (0.97, 1)])
def test_a_limit_that_ours_do_not_use_up_refuses_for_what_others_spend(part: float, votes: int) -> None:
    world = Window()
    world.use_up(part=part)
    world.vote()
    assert world.window.awaits_admission is bool(votes)


def test_a_refusal_with_room_in_the_window_takes_votes_back() -> None:
    world = Window()
    world.use_up()
    world.vote()
    world.refuse(PERIOD_MS + 900)
    assert not world.window.awaits_admission
    assert world.window.is_open


def test_refusals_of_calls_sent_before_one_was_known_are_its_consequence() -> None:
    world = Window()
    world.use_up()
    world.refuse(2_000, after_ms=9_000)
    for place in range(4):
        world.refuse(2_001 + place * 2_000)
    assert not world.window.awaits_admission


def test_a_counter_that_begins_anew_is_none() -> None:
    """It admits calls while what was sent in the last period uses the limit up."""
    world = Window()
    world.use_up()
    last_ms = world.vote()
    world.admit(last_ms + 1_000, CAPACITY // 30)
    assert not world.window.is_open
    world.vote(PERIOD_MS)
    assert not world.window.awaits_admission


def test_an_answer_that_took_long_decides_nothing() -> None:
    """Its call was sent when the limit was hardly used."""
    world = Window()
    first = world.sends.append(0, CALL)
    world.use_up(10, part=0.98)
    world.vote()
    world.window.record_admission(first, CALL, 0)
    assert world.window.awaits_admission
    assert not world.window.slides


def test_charges_may_be_counted_a_little_later() -> None:
    world = Window()
    world.use_up()
    world.vote()
    world.admit(PERIOD_MS - LATE_MS + 200)
    assert world.window.slides


def test_a_window_that_refuses_what_it_has_room_for_is_none() -> None:
    world = Window()
    world.use_up()
    world.vote()
    world.admit(PERIOD_MS + 20)
    world.refuse(2 * PERIOD_MS)
    assert world.window.slides
    world.refuse(2 * PERIOD_MS + 100)
    assert not world.window.slides
    assert not world.window.is_open


def test_refusals_that_the_window_foresees_do_not_disprove_it() -> None:
    world = Window()
    world.use_up()
    world.vote()
    world.admit(PERIOD_MS + 20)
    world.use_up(PERIOD_MS + 2_000)
    world.vote(PERIOD_MS + 4_000, votes=4)
    assert world.window.slides


def test_an_admission_beyond_it_disproves_a_window() -> None:
    world = Window()
    world.use_up()
    world.vote()
    world.admit(PERIOD_MS + 1_500)
    world.use_up(PERIOD_MS + 2_000)
    assert world.window.slides
    world.admit(PERIOD_MS + 4_000, CAPACITY // 20)
    assert not world.window.slides


def test_calls_that_are_forgotten_tell_nothing() -> None:
    world = Window()
    for place in range(2 * SENDS_MAX + 1):
        world.sends.append(place, 10)
    world.refuse(2 * SENDS_MAX + 10)
    world.refuse(2 * SENDS_MAX + 9_000)
    world.window.record_admission(3, CALL, 3)
    world.vote(2 * SENDS_MAX + 20_000)
    assert world.window.is_open
    assert not world.window.awaits_admission


def test_calls_have_windows_as_well() -> None:
    world = Window(REQUESTS, 100)
    for place in range(100):
        world.sends.append(10 * place, CALL)
    for place in range(3):
        number = world.sends.append(2_000 + 5_000 * place, CALL)
        world.sends.strike(number)
        world.window.record_refusal(number, 1, 2_000 + 5_000 * place, 2_050 + 5_000 * place)
    assert world.window.awaits_admission


def _slides(times_ms: list[tuple[int, int]], at_ms: int, amount: int) -> bool:
    return sum(taken for sent_ms, taken in times_ms if sent_ms > at_ms - PERIOD_MS) + amount <= CAPACITY


def _begins_anew(times_ms: list[tuple[int, int]], at_ms: int, amount: int) -> bool:
    begun_ms = (at_ms + 25_000) // PERIOD_MS * PERIOD_MS - 25_000
    return sum(taken for sent_ms, taken in times_ms if sent_ms >= begun_ms) + amount <= CAPACITY


def _flows(times_ms: list[tuple[int, int]], at_ms: int, amount: int) -> bool:
    level, last_ms = CAPACITY, 0
    for sent_ms, taken in [*times_ms, (at_ms, amount)]:
        level, last_ms = min(CAPACITY, level + sent_ms - last_ms) - taken, sent_ms
    return level >= 0


Admits = Callable[[list[tuple[int, int]], int, int], bool]


@pytest.mark.parametrize(("admits", "found"), [(_slides, True), (_begins_anew, False), (_flows, False)])
@pytest.mark.parametrize("seed", range(12))
def test_servers_of_three_kinds(admits: Admits, found: object, seed: int) -> None:
    """Calls of any size, sent as fast as they are admitted, and tried again every few seconds."""
    chance, world, taken, at_ms = Random(seed), Window(), list[tuple[int, int]](), 0
    while at_ms < 3 * PERIOD_MS and not world.window.slides and world.window.is_open:
        amount = chance.randrange(200, 1_200)
        if admits(taken, at_ms, amount):
            taken.append((at_ms, amount))
            world.admit(at_ms, amount)
            at_ms += 10
        else:
            world.refuse(at_ms, amount)
            at_ms += chance.randrange(500, 9_000)
    assert world.window.slides is found


# ---------------------------------------------------------------- the limits of an operator


class Limits:
    """What an operator states of one limit, and calls of 600 tokens that are answered in 50 ms."""

    def __init__(self, tokens: int | None = CAPACITY, requests: int | None = None) -> None:
        settings = LimitBeliefs("m", tokens, requests)
        self.sends = SentCalls()
        self.buckets = BucketSet(self.sends)
        for metric, capacity in ((TOKENS, tokens), (REQUESTS, requests)):
            if capacity is not None:
                self.buckets.believe(metric, capacity, PERIOD_MS, 0)
        self.windows = UnshownWindows(settings, self.buckets, self.sends)

    def answer(self, at_ms: int, told: Verdict, *, held: bool = False) -> bool:
        """Send a call; return whether its answer lets a limit be modelled otherwise."""
        number = self.sends.append(at_ms, CALL)
        self.buckets.pay(CALL, number, at_ms)
        if told.meaning is Meaning.RATE_LIMITED:
            self.sends.strike(number)
        call = Reservation(number, CALL, CALL, False, at_ms, 0, "chat", 0, held=held)
        return self.windows.observe(call, told, at_ms + 50)

    def slide(self, refused: Verdict | None = None) -> bool:
        """Use the tokens up, be refused three times, and send one call a minute later."""
        for place in range(CAPACITY // CALL):
            assert not self.answer(10 * place, verdict())
        for place in range(3):
            assert not self.answer(2_000 + place * (FLOW_MS + 50), refused or verdict(Meaning.RATE_LIMITED))
        return self.answer(PERIOD_MS + 2_000, verdict())

    def refills(self) -> list[Refill]:
        """How limits are modelled."""
        return [mirror.refill for mirror in self.buckets]


def test_a_limit_that_no_header_shows_is_modelled_as_a_window_once_it_is_one() -> None:
    limits = Limits()
    assert limits.slide()
    assert limits.refills() == [Refill.SLIDING]
    assert limits.buckets.remodelled == 1
    (mirror,) = limits.buckets
    assert CAPACITY - 2 * CALL < mirror.low(PERIOD_MS + 2_000) < CAPACITY


def test_it_is_a_bucket_again_once_that_is_disproved() -> None:
    limits = Limits()
    limits.slide()
    assert not limits.answer(PERIOD_MS + 4_000, verdict(Meaning.RATE_LIMITED))
    assert limits.answer(PERIOD_MS + 5_000, verdict(Meaning.RATE_LIMITED))
    assert limits.refills() == [Refill.BUCKET]
    (mirror,) = limits.buckets
    assert mirror.low(PERIOD_MS + 5_000) > CAPACITY // 2


def test_only_admissions_that_the_window_forbade_are_examined() -> None:
    limits = Limits()
    limits.slide()
    for place in range(2 * CAPACITY // CALL):
        assert not limits.answer(PERIOD_MS + 3_000 + place, verdict())
    assert limits.answer(PERIOD_MS + 4_000, verdict(), held=True)
    assert limits.refills() == [Refill.BUCKET]


def test_headers_that_show_the_limit_tell_better() -> None:
    limits = Limits()
    limits.answer(0, verdict(remaining=CAPACITY - CALL))
    assert not limits.slide()


def test_a_refusal_tells_nothing_of_a_limit_that_it_does_not_name() -> None:
    limits = Limits()
    named = verdict(Meaning.RATE_LIMITED, requested=1, metric=REQUESTS)
    assert not limits.slide(named)
    sides = (SideReading("input-tokens", CAPACITY, 0, PERIOD_MS),)
    assert not Limits().slide(replace(verdict(Meaning.RATE_LIMITED), side_readings=sides))


def test_a_refusal_that_names_the_limit_tells() -> None:
    named = verdict(Meaning.RATE_LIMITED, requested=CALL)
    assert Limits().slide(named)


def test_calls_are_modelled_by_themselves() -> None:
    limits = Limits(10 * CAPACITY, CAPACITY // CALL)
    assert limits.slide()
    assert limits.refills() == [Refill.BUCKET, Refill.SLIDING]


def test_without_a_limit_of_the_operators_there_is_nothing_to_find() -> None:
    assert not Limits(None).slide()
