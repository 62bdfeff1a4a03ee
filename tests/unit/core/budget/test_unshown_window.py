"""How a limit of the operator's proves to count by a sliding window, by nothing but admissions and refusals."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from headrace.broker.core.answers.rate_limit_headers import REQUESTS, TOKENS, SideReading
from headrace.broker.core.answers.rate_limit_messages import StatedLimit
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.bucket_set import BucketSet
from headrace.broker.core.budget.limit_settings import LimitBeliefs
from headrace.broker.core.budget.reservation import Reservation
from headrace.broker.core.budget.sent_calls import SENDS_MAX, SentCalls
from headrace.broker.core.budget.unshown_window import FLOWED_PARTS, LATE_MS, SOON_PARTS, UnshownWindow
from tests.unit.core.specimens import verdict

CAPACITY = 60_000
PERIOD_MS = 60_000
CALL = 600
FLOW_MS = CALL + CAPACITY // FLOWED_PARTS  # until a bucket that held nothing can pay a call for certain
ADMITTED, REFUSED = verdict(), verdict(Meaning.RATE_LIMITED)


class Rig:
    """A limit whose tokens an operator states, and calls that are answered at once."""

    def __init__(self, tokens: int | None = CAPACITY) -> None:
        self.sends = SentCalls()
        self.buckets = BucketSet(self.sends)
        if tokens is not None:
            self.buckets.believe(TOKENS, tokens, PERIOD_MS, 0)
        self.window = UnshownWindow(LimitBeliefs("m", tokens, None), self.buckets, self.sends)

    def send(self, at_ms: int, amount: int = CALL, *, held: bool = False) -> Reservation:
        """Send a call."""
        number = self.sends.append(at_ms, amount)
        self.buckets.pay(amount, number, at_ms)
        return Reservation(number, amount, amount, False, at_ms, 0, "chat", 0, held=held)

    def admit(self, at_ms: int, amount: int = CALL, *, told: Verdict = ADMITTED, held: bool = False) -> bool:
        """Send a call, which is admitted; return whether the limit is modelled otherwise from now on."""
        return self.window.observe(self.send(at_ms, amount, held=held), told, at_ms)

    def refuse(self, at_ms: int, amount: int = CALL, *, after_ms: int = 50, told: Verdict = REFUSED) -> bool:
        """Send a call, which is refused."""
        call = self.send(at_ms, amount)
        self.sends.strike(call.number)
        return self.window.observe(call, told, at_ms + after_ms)

    def use_up(self, from_ms: int = 0, *, part: float = 1) -> None:
        """Spend the limit, 10 ms a call."""
        for place in range(round(part * CAPACITY) // CALL):
            assert not self.admit(from_ms + 10 * place)

    def vote(self, from_ms: int = 2_000, *, votes: int = 2, told: Verdict = REFUSED) -> int:
        """Refuse a call, and as many after it as are votes, each after a bucket could pay; return the last instant."""
        for place in range(votes + 1):
            self.refuse(from_ms + place * (FLOW_MS + 50), told=told)
        return from_ms + votes * (FLOW_MS + 50)

    @property
    def refills(self) -> list[Refill]:
        """How the limit is modelled."""
        return [mirror.refill for mirror in self.buckets]


def sliding() -> Rig:
    """Return a limit that has proved to slide at the beginning of its second minute."""
    rig = Rig()
    rig.use_up()
    rig.vote()
    assert rig.admit(PERIOD_MS + 1_500)
    return rig


# ------------------------------------------------------------------ what shows a window


def test_two_refusals_that_a_bucket_contradicts_and_an_admission_show_a_window() -> None:
    rig = Rig()
    rig.use_up()
    rig.vote()
    assert not rig.window.slides
    assert rig.admit(PERIOD_MS + 1_500)
    assert rig.refills == [Refill.SLIDING]
    (mirror,) = rig.buckets
    assert mirror.low(PERIOD_MS + 1_500) > 0, "what was sent a minute ago has expired"
    assert mirror.low(PERIOD_MS + 2_500) > CAPACITY - 2 * CALL


def test_one_vote_is_not_enough() -> None:
    rig = Rig()
    rig.use_up()
    rig.vote(votes=1)
    assert not rig.admit(PERIOD_MS + 1_500)


def test_a_refusal_that_a_bucket_explains_is_no_vote() -> None:
    """What flows in until the next call does not pay it for certain."""
    rig = Rig()
    rig.use_up()
    for place in range(20):
        rig.refuse(2_000 + place * (FLOW_MS + 49))
    assert not rig.admit(PERIOD_MS + 1_500)


def test_what_was_admitted_since_has_left_a_bucket_again() -> None:
    rig = Rig()
    rig.use_up()
    for place in range(6):
        at_ms = 2_000 + place * (FLOW_MS + 50)
        rig.refuse(at_ms)
        rig.admit(at_ms + 60, 1)
    assert not rig.admit(PERIOD_MS + 1_500)


@pytest.mark.parametrize(("part", "shown"), [(0.95, 0), (0.97, 1)])
def test_a_limit_that_ours_do_not_use_up_refuses_for_what_others_spend(part: float, shown: int) -> None:
    rig = Rig()
    rig.use_up(part=part)
    rig.vote()
    assert rig.admit(PERIOD_MS + 1_500) == shown


def test_a_refusal_with_room_in_the_window_takes_votes_back() -> None:
    rig = Rig()
    rig.use_up()
    rig.vote()
    rig.refuse(PERIOD_MS + 900)
    assert not rig.admit(PERIOD_MS + 1_500)
    assert rig.window.is_open


def test_refusals_of_calls_sent_before_one_was_known_are_its_consequence() -> None:
    rig = Rig()
    rig.use_up()
    rig.refuse(2_000, after_ms=9_000)
    for place in range(4):
        rig.refuse(2_001 + place * 2_000)
    assert not rig.admit(PERIOD_MS + 1_500)


def test_an_answer_that_took_long_decides_nothing() -> None:
    """Its call was sent when the limit was hardly used."""
    rig = Rig()
    first = rig.send(0)
    rig.use_up(10, part=0.98)
    last_ms = rig.vote()
    assert not rig.window.observe(first, ADMITTED, last_ms + 1_000)
    assert rig.admit(PERIOD_MS + 1_500), "the next one decides"


def test_charges_may_be_counted_a_little_later() -> None:
    rig = Rig()
    rig.use_up()
    rig.vote()
    assert rig.admit(PERIOD_MS - LATE_MS + 200)


def test_a_call_that_is_smaller_than_the_refused_one_may_have_fitted_all_the_time() -> None:
    rig = Rig()
    rig.use_up(part=0.99)
    for place in range(3):
        rig.refuse(2_000 + place * 2 * FLOW_MS, 2 * CALL)
    assert not rig.admit(20_000, CALL)
    assert rig.window.is_open
    assert rig.admit(PERIOD_MS + 1_500, CALL)


def test_an_admission_long_after_a_window_would_have_room_tells_nothing() -> None:
    """After a pause in traffic, a bucket or a counter that has begun anew admits calls as well. Before, it decided."""
    for at_ms, shown in ((PERIOD_MS + PERIOD_MS // SOON_PARTS, 1), (PERIOD_MS + PERIOD_MS // SOON_PARTS + 1_000, 0)):
        rig = Rig()
        rig.use_up()
        rig.vote()
        assert rig.admit(at_ms) == shown
        assert rig.window.is_open
        assert not rig.admit(at_ms + 10)


# ------------------------------------------------------------------ what disproves one


def test_a_counter_that_begins_anew_is_none() -> None:
    """It admits calls while what was sent in the last period uses the limit up."""
    rig = Rig()
    rig.use_up()
    last_ms = rig.vote()
    assert not rig.admit(last_ms + 1_000, CAPACITY // 30)
    assert not rig.window.is_open
    rig.use_up(PERIOD_MS)
    rig.vote(PERIOD_MS + 2_000)
    assert not rig.admit(2 * PERIOD_MS + 1_500)


def test_what_was_admitted_beyond_the_limit_before_any_refusal_disproves_a_window_too() -> None:
    """A counter that has begun anew between them has admitted it."""
    rig = Rig()
    rig.use_up(part=1.04)
    rig.vote(votes=1)
    assert not rig.window.is_open


def test_a_window_that_refuses_what_it_has_room_for_is_none() -> None:
    rig = sliding()
    assert not rig.refuse(2 * PERIOD_MS)
    assert rig.refuse(2 * PERIOD_MS + 100)
    assert rig.refills == [Refill.BUCKET]
    (mirror,) = rig.buckets
    assert mirror.low(2 * PERIOD_MS + 100) > CAPACITY // 2
    assert not rig.window.is_open


def test_refusals_that_the_window_foresees_do_not_disprove_it() -> None:
    rig = sliding()
    rig.use_up(PERIOD_MS + 2_000)
    rig.vote(PERIOD_MS + 4_000, votes=4)
    assert rig.window.slides


def test_calls_that_are_refused_in_one_wave_contradict_a_window_once() -> None:
    rig = sliding()
    rig.refuse(2 * PERIOD_MS, after_ms=500)
    assert not rig.refuse(2 * PERIOD_MS + 100)
    assert rig.window.slides


def test_an_admission_beyond_it_disproves_a_window() -> None:
    rig = sliding()
    rig.use_up(PERIOD_MS + 2_000)
    assert not rig.admit(PERIOD_MS + 4_000, held=True)
    assert rig.admit(PERIOD_MS + 4_100, CAPACITY // 20, held=True)
    assert rig.refills == [Refill.BUCKET]


def test_only_admissions_that_the_window_forbade_are_examined() -> None:
    """The others cannot be beyond it, and to look back a minute takes time."""
    rig = sliding()
    for place in range(2 * CAPACITY // CALL):
        assert not rig.admit(PERIOD_MS + 3_000 + place)
    assert rig.admit(PERIOD_MS + 4_000, held=True)


# ------------------------------------------------------------------ what tells nothing


def test_calls_that_are_forgotten_tell_nothing() -> None:
    rig = Rig()
    for place in range(2 * SENDS_MAX + 1):
        rig.sends.append(place, 10)
    rig.vote(2 * SENDS_MAX + 10)
    assert not rig.admit(2 * SENDS_MAX + 40_000)
    rig = sliding()
    old = rig.send(PERIOD_MS + 1_600, held=True)
    for place in range(2 * SENDS_MAX + 1):
        rig.sends.append(PERIOD_MS + 1_601 + place, CALL)
    assert not rig.window.observe(old, ADMITTED, PERIOD_MS + 20_000)
    assert rig.window.slides


@pytest.mark.parametrize(
    "told",
    [
        replace(ADMITTED, side_readings=(SideReading("input-tokens", CAPACITY, 0, PERIOD_MS),)),
        verdict(remaining=CAPACITY),
    ],
)
def test_headers_tell_better(told: Verdict) -> None:
    rig = Rig()
    rig.admit(0, told=told)
    rig.use_up(10)
    rig.vote()
    assert not rig.admit(PERIOD_MS + 1_500)
    assert not rig.window.is_open


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (verdict(Meaning.RATE_LIMITED, requested=1, metric=REQUESTS), 0),
        (replace(REFUSED, snapshot=verdict(Meaning.RATE_LIMITED, requested=CALL).snapshot), 1),
        (replace(REFUSED, side_limit=StatedLimit("input-tokens", None, PERIOD_MS, CAPACITY)), 0),
    ],
)
def test_a_refusal_tells_nothing_of_a_limit_that_it_does_not_name(told: Verdict, shown: int) -> None:
    rig = Rig()
    rig.use_up()
    rig.vote(told=told)
    assert rig.admit(PERIOD_MS + 1_500) == shown


def test_an_error_is_no_admission() -> None:
    rig = Rig()
    rig.use_up()
    rig.vote()
    assert not rig.admit(PERIOD_MS + 1_500, told=verdict(Meaning.OVERLOADED))


def test_without_a_figure_of_the_operators_there_is_nothing_to_find() -> None:
    rig = Rig(None)
    rig.use_up()
    rig.vote()
    assert not rig.admit(PERIOD_MS + 1_500)


# ------------------------------------------------------------------ whole servers

Sent = list[tuple[int, int]]
Admits = Callable[[Sent, int, int], bool]


def _slides(sent: Sent, at_ms: int, amount: int) -> bool:
    return sum(taken for sent_ms, taken in sent if sent_ms > at_ms - PERIOD_MS) + amount <= CAPACITY


def _begins_anew(sent: Sent, at_ms: int, amount: int) -> bool:
    begun_ms = (at_ms + 25_000) // PERIOD_MS * PERIOD_MS - 25_000
    return sum(taken for sent_ms, taken in sent if sent_ms >= begun_ms) + amount <= CAPACITY


def _flows(sent: Sent, at_ms: int, amount: int) -> bool:
    level, last_ms = CAPACITY, 0
    for sent_ms, taken in [*sent, (at_ms, amount)]:
        level, last_ms = min(CAPACITY, level + sent_ms - last_ms) - taken, sent_ms
    return level >= 0


@pytest.mark.parametrize(("admits", "found"), [(_slides, True), (_begins_anew, False), (_flows, False)])
@pytest.mark.parametrize("seed", range(12))
def test_servers_of_three_kinds(admits: Admits, found: object, seed: int) -> None:
    """Calls of any size, sent as fast as they are admitted, and tried again every few seconds."""
    chance, rig, sent, at_ms = Random(seed), Rig(), Sent(), 0
    while at_ms < 3 * PERIOD_MS and not rig.window.slides and rig.window.is_open:
        amount = chance.randrange(200, 1_200)
        if admits(sent, at_ms, amount):
            sent.append((at_ms, amount))
            rig.admit(at_ms, amount)
            at_ms += 10
        else:
            rig.refuse(at_ms, amount)
            at_ms += chance.randrange(500, 9_000)
    assert rig.window.slides is found


@pytest.mark.parametrize("admits", [_begins_anew, _flows])
def test_servers_of_other_kinds_seldom_pass_for_a_window_where_traffic_pauses(admits: Admits) -> None:
    """Before: a counter that begins anew did so in more than half of these courses of twelve minutes."""
    found = 0
    for seed in range(20):
        chance, rig, sent, at_ms = Random(seed), Rig(), Sent(), 0
        while at_ms < 12 * PERIOD_MS and not rig.window.slides and rig.window.is_open:
            amount = chance.randrange(200, 1_200)
            if admits(sent, at_ms, amount):
                sent = [*sent, (at_ms, amount)][-400:]
                rig.admit(at_ms, amount)
                at_ms += 10
            else:
                rig.refuse(at_ms, amount)
                at_ms += chance.randrange(500, 9_000) if chance.random() < 0.6 else chance.randrange(30_000, 150_000)
        found += rig.window.slides
    assert found <= 6
