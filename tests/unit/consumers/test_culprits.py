"""What is known of records whose transactions fail, over all stretches of one retrier."""

from headrace.broker.clock import WallClock
from headrace.broker.core.setback import Setback
from headrace.broker.errors import ProducerDead
from headrace.consumers.retries.culprits import Culprits, Place

PLACES: list[Place] = [(0, offset) for offset in range(8)]
REFUSED, DENIED = (ProducerDead("No.", setback=setback) for setback in (Setback.REFUSED, Setback.DENIED))


def culprits() -> Culprits:
    return Culprits(200, WallClock(lambda: 0.0))


def test_what_fails_is_halved_and_what_passes_is_doubted_no_more() -> None:
    known = culprits()
    known.failed(PLACES, REFUSED)
    assert known.count_max == 4
    known.passed(PLACES[:4])
    assert known.count_max == 2


def test_a_record_that_is_refused_alone_is_counted_until_it_passes() -> None:
    known = culprits()
    for _ in range(2):
        known.failed(PLACES[:1], REFUSED)
    assert [known.refusals(place) for place in PLACES[:2]] == [1, 0]
    known.passed(PLACES[1:])
    assert known.refusals(PLACES[0]) == 1
    known.passed(PLACES[:1])
    assert known.refusals(PLACES[0]) == 0


def test_a_right_that_is_missing_blames_nothing() -> None:
    known = culprits()
    for _ in range(3):
        known.failed(PLACES, DENIED)
    assert known.count_max == 200
