"""The leader's book against a model of Kafka: what the totals topic says is what the results topic holds, once each."""

import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from headrace.broker.spending.book import SpendingBook
from headrace.schemas.outcome import Cost, Timings, Usage
from headrace.schemas.record import Record
from headrace.schemas.spending import SpentOutcome, decode_total

BEGUN = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
LANES = ("urgent", "bulk", None)
SEEDS, STEPS = 80, 60


class BooksAndKafka:
    """Leaders, one after the other, and what Kafka holds.

    Each outcome has a power of two as its charge, so a sum says which outcomes it counts, and that none is twice.

    Attributes:
        late: Outcomes that were published while nothing could be written to the totals topic, and are not in it yet.
        lost: Those that never will be, as the book says: its process has died, or a commit without sums is unknown.
    """

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.numbers, self.tokens = count(), count()
        self.now = BEGUN
        self.waiting: list[SpentOutcome] = []
        self.results: list[SpentOutcome] = []
        self.topic: dict[bytes | None, bytes | None] = {}
        self.lost = self.late = 0
        self.another_process_leads()

    def step(self) -> None:
        steps = {
            self.requests_end: 5,
            self.transaction: 10,
            self.time_passes: 1,
            self.another_process_leads: 1,
            self.leader_is_suspended: 1,
        }
        self.dice.choices(list(steps), list(steps.values()))[0]()

    def another_process_leads(self) -> None:
        """It knows nothing of the one before, whose late sums are lost."""
        self.lost, self.late = self.lost | self.late, 0
        self.book = SpendingBook(lambda: f"series-{next(self.tokens)}")
        self.book.begin()

    def leader_is_suspended(self) -> None:
        """Between two transactions."""
        self.book.begin()

    def time_passes(self) -> None:
        self.now += timedelta(hours=self.dice.choice([0, 0, 1, 2]), minutes=7)

    def requests_end(self) -> None:
        lane, tenant = self.dice.choice(LANES), self.dice.choice(["acme", "bolt", None])
        at = self.dice.choice([None, self.now, self.now, self.now - timedelta(hours=self.dice.randint(1, 5))])
        for number in (next(self.numbers) for _ in range(self.dice.randint(1, 5))):
            self.waiting.append(
                SpentOutcome(
                    status="completed" if number % 4 else "failed",
                    lane=lane,
                    tenant=tenant,
                    model=f"m{number % 3}",
                    attempts=1,
                    charge_tokens=1 << number,
                    usage=Usage(input_tokens=number, output_tokens=1),
                    cost=Cost(micro_usd=number / 8),
                    timings=Timings(finished_at=at),
                )
            )

    def transaction(self) -> None:
        """A batch that fails stays first in line, and is tried again with other neighbours: as bisecting does.

        Some failures end without a promotion that the book is told of; its next `lines` must find out by itself.
        """
        size, written = self.dice.randint(0, 8), self.dice.random() < 0.8
        batch, rest = self.waiting[:size], self.waiting[size:]
        fate = self.dice.choice(["committed", "committed", "aborted", "stored, but not told"])
        lines = self.book.lines(batch, self.now, written=written)
        assert written or not lines
        if fate != "aborted":
            self.topic.update({each.key: each.value for each in lines})
            self.results.extend(batch)
            self.waiting = rest
        if fate == "committed":
            self.book.committed()
            self.late |= 0 if written else mask(batch)
            if written and not self.book.unwritten:
                self.lost |= self.late if self.book.forgotten else 0  # of hours closed before they could be written
                self.late = 0
            return
        if fate == "stored, but not told" and not written:
            self.lost |= mask(batch)
        if self.dice.random() < 0.5:
            self.book.begin()

    def check(self) -> None:
        by_lane: Counter[str] = Counter()
        outcomes = pico_usd = 0
        for key, value in self.topic.items():
            of, _, total = decode_total(Record(key, value))
            by_lane[of.lane] += total.charge_tokens
            outcomes += total.outcomes
            pico_usd += total.pico_usd
        counted, published = by_lane.total(), mask(self.results)
        assert outcomes == counted.bit_count(), "one is counted twice"
        assert not counted & ~published, "one is counted that was never published"
        assert not published & ~counted & ~(self.lost | self.late), "one is missing"
        for lane in LANES:
            assert not by_lane[lane or ""] & ~mask(each for each in self.results if each.lane == lane)
        there = (each for each in self.results if (each.charge_tokens or 0) & counted)
        assert pico_usd == sum(each.cost.pico_usd or 0 for each in there if each.cost)


def mask(outcomes: Iterable[SpentOutcome]) -> int:
    return sum(each.charge_tokens or 0 for each in outcomes)


@pytest.mark.slow
def test_the_topic_counts_each_published_outcome_once_through_lost_answers_and_failovers() -> None:
    for seed in range(SEEDS):
        world = BooksAndKafka(seed)
        for _ in range(STEPS):
            world.step()
        try:
            world.check()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.slow
def test_nothing_is_missing_while_the_topic_can_be_written_and_no_process_dies() -> None:
    """The exceptions above hide nothing: without their causes there are none."""
    for seed in range(SEEDS // 3):
        world = BooksAndKafka(seed)
        for _ in range(STEPS):
            world.step()
            assert world.lost | world.late or mask(world.results) == counted_by(world), f"seed {seed}"


def counted_by(world: BooksAndKafka) -> int:
    return sum(decode_total(Record(*each))[2].charge_tokens for each in world.topic.items())
