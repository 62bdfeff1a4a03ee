"""What is believed of a limit's refilling, held against the simulator's meters: right in the end, never wrong before.

The simulator shares no code with the core, so each meter is a judge. Calls of any size are sent at any rate; each
takes a way to the meter, is admitted or not, and its answer comes whenever it likes. While the answers leave it open,
nothing is believed, and that is no mistake.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

import pytest

from headrace.broker.core.answers.rate_limit_headers import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    USUAL_PERIODS_MS,
    LimitMetric,
    Reading,
)
from headrace.broker.core.answers.refill_detection import (
    ANSWERS_MIN,
    Refill,
    RefillEvidence,
    RefillPattern,
)
from headrace.broker.simulator.meters.bucket import Bucket
from headrace.broker.simulator.meters.fixed_window import FixedWindow
from headrace.broker.simulator.meters.sliding_window import SlidingWindow
from headrace.broker.simulator.meters.two_windows import TwoWindows
from headrace.broker.simulator.rules import Meter

US: Final = 1_000  # microseconds in a millisecond, for the simulator counts in these
WAY_MAX_MS: Final = 200
SIX_SECONDS: Final = 6 * SECOND_MS
SEEDS: Final = range(25)

Making = Callable[[int, int, int], Meter]  # of limit, period_us and now_us

every_period = pytest.mark.parametrize("period_ms", [SECOND_MS, SIX_SECONDS, MINUTE_MS, DAY_MS])
every_seed = pytest.mark.parametrize("seed", SEEDS)


def bucket(limit: int, period_us: int, now_us: int) -> Meter:
    return Bucket(limit, period_us, period_us, now_us)


def fixed(limit: int, period_us: int, now_us: int) -> Meter:
    return FixedWindow(limit, period_us, period_us, now_us)


@dataclass(frozen=True)
class Answer:
    """What a call sent then heard, and when."""

    sent_ms: int
    heard_ms: int
    reading: Reading


@dataclass
class Heard:
    """What was believed after each answer that told something."""

    beliefs: list[RefillPattern | None] = field(default_factory=list)
    unclear: int = 0  # answers before so many have differed that anything is believed

    @property
    def last(self) -> RefillPattern | None:
        return self.beliefs[-1]

    @property
    def clear(self) -> set[tuple[Refill, int]]:
        """All that was believed once enough answers had differed."""
        return {(each.refill, each.period_ms) for each in self.beliefs[self.unclear :] if each is not None}


def play(made: Making, period_ms: int, seed: int, *, changes: bool = False) -> list[Answer]:
    """Two or three periods' worth of calls, or two hundred, whatever is more; answers as they come in."""
    chance = Random(seed)
    limit = chance.choice([1_000, 90_000, 2_000_000])
    now_ms = chance.randint(0, 3 * period_ms)
    meter = made(limit, period_ms * US, now_ms * US)
    gap_ms = period_ms * chance.choice([0.01, 0.05, 0.3])
    largest = limit * chance.choice([0.01, 0.05])
    latest_ms = chance.choice([0, 500, 5_000, 30_000])
    arrivals = []
    for _ in range(max(200, round(2.5 * period_ms / gap_ms))):
        now_ms += round(chance.expovariate(1 / gap_ms)) if chance.random() < 0.8 else 0
        arrivals.append((now_ms + chance.randint(0, WAY_MAX_MS), now_ms, 1 + round(chance.random() ** 2 * largest)))
    answers = []
    for number, (at_ms, sent_ms, cost) in enumerate(sorted(arrivals)):
        if changes and number == len(arrivals) // 2:
            meter.change(limit * 2)
        meter.refill(at_ms * US)
        if meter.short_by_us(cost) == 0:
            meter.pay(cost)
            level = meter.level()
            reading = Reading(LimitMetric.TOKENS, level.limit, level.remaining, None, level.reset_ms)
            answers.append(Answer(sent_ms, at_ms + chance.randint(0, latest_ms), reading))
    return sorted(answers, key=lambda answer: answer.heard_ms)


def listen(answers: list[Answer]) -> Heard:
    evidence, heard, levels = RefillEvidence(), Heard(), set()
    for answer in answers:
        if not 0 < answer.reading.remaining < answer.reading.capacity:
            assert evidence.observe(answer.reading, answer.sent_ms, answer.heard_ms) is None
            continue
        levels.add(answer.reading.remaining)
        heard.unclear += len(levels) < ANSWERS_MIN
        heard.beliefs.append(evidence.observe(answer.reading, answer.sent_ms, answer.heard_ms))
    return heard


def only_buckets_of_usual_periods(heard: Heard) -> bool:
    early = [each for each in heard.beliefs[: heard.unclear] if each is not None]
    return all(each.refill is Refill.BUCKET and each.period_ms in USUAL_PERIODS_MS for each in early)


def right(believed: RefillPattern | None, refill: Refill, period_ms: int) -> bool:
    """Exactly that period if it is a usual one, else one that differs by what rounding explains."""
    if believed is None or believed.refill is not refill:
        return False
    if period_ms in USUAL_PERIODS_MS:
        return believed.period_ms == period_ms
    return abs(believed.period_ms - period_ms) * 40 <= period_ms


@pytest.mark.slow
@every_period
@every_seed
def test_a_bucket_is_told_with_its_period_and_never_taken_for_anything_else(period_ms: int, seed: int) -> None:
    heard = listen(play(bucket, period_ms, seed))
    assert right(heard.last, Refill.BUCKET, period_ms)
    assert all(each is None or right(each, Refill.BUCKET, period_ms) for each in heard.beliefs)


@pytest.mark.slow
@every_period
@every_seed
def test_a_sliding_window_is_told_with_its_period_and_never_taken_for_anything_else(period_ms: int, seed: int) -> None:
    heard = listen(play(SlidingWindow, period_ms, seed))
    assert heard.last == RefillPattern(Refill.SLIDING, period_ms, loose=period_ms == SECOND_MS)
    assert heard.clear == {(Refill.SLIDING, period_ms)}
    assert only_buckets_of_usual_periods(heard)


@pytest.mark.parametrize("period_ms", [MINUTE_MS, HOUR_MS, DAY_MS])
@every_seed
def test_a_fixed_window_is_told_and_never_taken_for_anything_else_or_longer(period_ms: int, seed: int) -> None:
    heard = listen(play(fixed, period_ms, seed))
    assert heard.last is not None
    assert (heard.last.refill, heard.last.period_ms) == (Refill.FIXED, period_ms)
    assert {refill for refill, _ in heard.clear} == {Refill.FIXED}
    assert max(believed_ms for _, believed_ms in heard.clear) == period_ms
    assert only_buckets_of_usual_periods(heard)


@every_seed
def test_a_fixed_window_is_believed_to_end_when_it_does_or_later_by_as_much_as_an_answer_takes(seed: int) -> None:
    answers = play(fixed, MINUTE_MS, seed)  # the meter's marks are whole minutes
    believed = [each for each in listen(answers).beliefs if each is not None and each.refill is Refill.FIXED]
    longest_ms = max(answer.heard_ms - answer.sent_ms for answer in answers)
    latest = [each.mark_ms % MINUTE_MS for each in believed if each.spread_ms is None]
    assert max(latest, default=0) <= longest_ms + 1 < MINUTE_MS - 1


@every_seed
def test_the_end_that_the_sending_of_calls_shows_is_no_further_off_than_an_answer_takes(seed: int) -> None:
    """A call is on its way when it begins, so a window may end that much sooner by the sending of calls."""
    answers = play(fixed, MINUTE_MS, seed)
    longest_ms = max(answer.heard_ms - answer.sent_ms for answer in answers)
    for each in listen(answers).beliefs:
        if each is not None and each.period_ms == MINUTE_MS and each.spread_ms is not None:
            late_ms = each.mark_ms % MINUTE_MS
            assert min(late_ms, MINUTE_MS - late_ms) <= longest_ms + 1


@every_seed
def test_two_counters_that_are_weighed_look_like_a_fixed_window_at_most_until_a_level_has_risen(seed: int) -> None:
    heard = listen(play(TwoWindows, MINUTE_MS, seed))
    assert {refill for refill, _ in heard.clear} <= {Refill.FIXED, Refill.TWO}
    assert max((believed_ms for _, believed_ms in heard.clear), default=0) <= MINUTE_MS


@pytest.mark.parametrize("made", [bucket, SlidingWindow])
@every_seed
def test_a_limit_that_changes_refills_as_before(made: Making, seed: int) -> None:
    refill = Refill.BUCKET if made is bucket else Refill.SLIDING
    heard = listen(play(made, MINUTE_MS, seed, changes=True))
    assert heard.last == RefillPattern(refill, MINUTE_MS)


def believed_after(answers: list[Answer]) -> Iterator[int]:
    evidence = RefillEvidence()
    for number, answer in enumerate(answers, start=1):
        if evidence.observe(answer.reading, answer.sent_ms, answer.heard_ms) is not None:
            yield number


def test_a_usual_bucket_is_mostly_told_by_its_first_answer() -> None:
    first = [next(believed_after(play(bucket, MINUTE_MS, seed))) for seed in range(200)]
    assert sum(number == 1 for number in first) > 100
    assert max(first) <= 40
