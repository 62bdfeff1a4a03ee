"""One of two models is shut, up to an hour, and its requests stand first in every lane: the other one must not notice.

The whole core in virtual time, with two limits, three lanes, a Kafka that commits in 20 ms, an intake that reads 5,000
records a second, and a retrier.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from itertools import count

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS, LimitMetric, Reading
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.commands import Batch, Call, Complete, Park, Publish
from headrace.broker.core.config import LaneRule
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.events import Answered, Committed, Event, Promoted, Renewed, Taken
from headrace.broker.core.identity.dedupe import Identity
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.requests.registry import Want
from headrace.broker.core.ticket import Candidate, LanePartition, Source, TicketNumber
from tests.long_proofs import with_long
from tests.unit.core.specimens import rules

SHARES = (("urgent", 1, 50_000, 0), ("standard", 2, 0, 100_000), ("bulk", 3, 0, 50_000))
HOUR_MS = 3_600_000
TOKENS = 150_000
CHARGE = 500
COMMIT_MS, CALL_MS, READ_MS, READ_MAX, IDLE_MS = 20, 2_000, 30, 50, 200
PARTITIONS = 2
SHUT, OPEN = "shut", "open"

Answer = Callable[[str, int], Verdict]
"""What a call of a limit is answered with, at an instant."""


def well(remaining: int | None = None) -> Verdict:
    readings = () if remaining is None else (Reading(LimitMetric.TOKENS, TOKENS, remaining, MINUTE_MS),)
    return Verdict(Meaning.OK, False, None, readings, None, False, "")  # not retryable, counts for nothing


def failed(meaning: Meaning, wait_ms: int | None = None) -> Verdict:
    return Verdict(meaning, True, wait_ms, (), None, False, "No.")  # retryable, counts for nothing


class World:
    """Two limits, and lanes in which `first` requests of the shut one stand before those of the open one."""

    def __init__(self, answer: Answer, *, first: int, buffer_max: int = 2_000) -> None:
        lanes = tuple(LaneRule(*share, buffer_max, 32 << 20) for share in SHARES)
        self.core = Dispatch(rules(lanes=lanes, ids_max=2_000_000), make_budget=self._budget, dice=lambda: 0.5)
        self.now_ms = 0
        self.answer = answer
        self.deadline_ms = 96 * HOUR_MS
        self.charged: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.parks: Counter[bytes] = Counter()
        self.parked: set[str] = set()  # limits
        self.due: list[int] = []
        self.done: Counter[str] = Counter()
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._places = [LanePartition(rule.name, number) for rule in lanes for number in range(PARTITIONS)]
        self._logs: dict[LanePartition, list[Candidate]] = {place: [] for place in self._places}
        self._read = dict.fromkeys(self._places, 0)
        self._content: dict[TicketNumber, tuple[LanePartition, Candidate]] = {}
        self._numbers, self._ids = count(1), count(1)
        self._turns = {rule.name: 0 for rule in lanes}
        self._wake: int | None = None
        for place in self._places:
            for _ in range(first // PARTITIONS):
                self._logs[place].append(self._request(SHUT))

    def _budget(self, limit: str, now_ms: int, checkpoint: Checkpoint | None) -> Budget:
        budget = Budget(LimitBeliefs(limit, TOKENS, None), now_ms, checkpoint)
        budget.believed = True
        return budget

    def _request(self, limit: str) -> Candidate:
        identity = Identity(next(self._ids).to_bytes(16, "big"), 0, b"finger..")
        return Candidate(identity, 0, limit, limit, Prices.flat(CHARGE), self.deadline_ms)

    # ------------------------------------------------------------------ time

    def run(self, until_ms: int) -> None:
        """Let it happen."""
        if not self.core.term:
            self.core.on(Promoted({place: PartitionProgress(0) for place in self._places}, 1, 1_700_000_000_000), 0)
            self._renew()
            for lane in self._turns:
                self._later(0, lambda lane=lane: self._intake(lane))  # type: ignore[misc]  # mypy knows no default of a lambda
            self._turn()
        while self._agenda and self._agenda[0][0] <= until_ms:
            self.now_ms, _, act = heapq.heappop(self._agenda)
            act()
        self.now_ms = until_ms

    def _later(self, after_ms: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now_ms + after_ms, next(self._order), act))

    def _renew(self) -> None:
        self.core.on(Renewed(self.now_ms), self.now_ms)
        self._later(400, self._renew)

    def _post(self, event: Event) -> None:
        self.core.on(event, self.now_ms)
        self._turn()

    def _turn(self) -> None:
        for command in self.core.commands(self.now_ms):
            match command:
                case Call():
                    self._call(command)
                case Publish():
                    self._later(COMMIT_MS, lambda batch=command.batch: self._commit(batch, self.now_ms - COMMIT_MS))  # type: ignore[misc]  # as above
                case _:
                    pass
        wake_ms = self.core.wake_at()
        if wake_ms is not None and wake_ms != self._wake:
            self._wake = wake_ms
            self._later(max(0, wake_ms - self.now_ms), self._turn)

    # ------------------------------------------------------------------ Kafka, OpenAI, the retrier

    def _intake(self, lane: str) -> None:
        """Fifty records of one partition, the partitions in turn."""
        self._turns[lane] += 1
        place = LanePartition(lane, self._turns[lane] % PARTITIONS)
        room = min(READ_MAX, self.core.room(place))
        for _ in range(room):
            offset = self._read[place]
            source = Source(place, offset)
            if self.core.want(source) is Want.FULL:
                break
            log = self._logs[place]
            if offset == len(log):
                log.append(self._request(OPEN))
            self._read[place] += 1
            number = TicketNumber(next(self._numbers))
            self._content[number] = place, log[offset]
            self.core.on(Taken(number, source, 1_700_000_000_000, 2_000, log[offset]), self.now_ms)
        self._turn()
        self._later(READ_MS if room else IDLE_MS, lambda: self._intake(lane))

    def _call(self, command: Call) -> None:
        limit = self._content[command.number][1].limit
        self.calls[limit] += 1
        verdict = self.answer(limit, self.now_ms)
        if verdict.meaning is Meaning.OK:
            self.charged[limit] += CHARGE
        self._later(CALL_MS, lambda: self._post(Answered(command.call, verdict, 1_000)))

    def _commit(self, batch: Batch, begun_ms: int) -> None:
        for settlement in batch.settlements:
            place, candidate = self._content.pop(settlement.number)
            self.done[type(settlement.decision).__name__] += 1
            if isinstance(settlement.decision, Park):
                self._park(place, candidate, settlement.decision)
            else:
                assert isinstance(settlement.decision, Complete)
        self._post(Committed(batch.serial, begun_ms))

    def _park(self, place: LanePartition, candidate: Candidate, park: Park) -> None:
        assert self.now_ms - COMMIT_MS < park.not_before_ms < candidate.deadline_ms
        self.parks[candidate.identity.id_hash] += 1
        self.parked.add(candidate.limit)
        self.due.append(park.not_before_ms)
        again = Candidate(
            candidate.identity,
            park.attempts + 1,
            candidate.model,
            candidate.limit,
            candidate.prices,
            candidate.deadline_ms,
        )
        self._later(park.not_before_ms - self.now_ms, lambda: self._logs[place].append(again))

    # ------------------------------------------------------------------ what came of it

    def utilisation(self, limit: str, span_ms: int) -> float:
        """Of what its bucket could give: full at the start, and its refill since."""
        return self.charged[limit] / (TOKENS + TOKENS * span_ms / MINUTE_MS)


def paused_until(end_ms: int) -> Answer:
    """A limit that says at each call to wait for this instant."""

    def answer(limit: str, now_ms: int) -> Verdict:
        return well() if limit == OPEN or now_ms >= end_ms else failed(Meaning.RATE_LIMITED, end_ms - now_ms)

    return answer


@pytest.mark.parametrize(
    ("span_ms", "first"), [(HOUR_MS // 4, 5_000), pytest.param(HOUR_MS, 50_000, marks=pytest.mark.long)]
)
@pytest.mark.timeout(120)
def test_a_model_that_is_shut_with_thousands_of_requests_first_in_every_lane_leaves_the_other_its_quota(
    span_ms: int, first: int
) -> None:
    world = World(paused_until(span_ms), first=first)
    world.run(span_ms)
    assert world.utilisation(OPEN, span_ms) >= 0.95
    assert max(world.parks.values()) == 1
    assert world.calls[SHUT] < 500, "those that were on their way before the first answer, and no more"
    before = world.charged[SHUT]
    world.run(span_ms + 600_000)
    assert world.charged[SHUT] - before >= 0.95 * TOKENS * 10, "and serves its own once it is open"


@pytest.mark.parametrize("meaning", with_long([Meaning.AUTH, Meaning.OVERLOADED], 1))
@pytest.mark.timeout(120)
def test_a_model_whose_calls_all_fail_leaves_the_other_its_quota_and_goes_round_a_few_times(meaning: Meaning) -> None:
    span_ms = HOUR_MS // 2
    world = World(lambda limit, _: failed(meaning) if limit == SHUT else well(), first=1_000, buffer_max=200)
    world.run(span_ms)
    assert world.utilisation(OPEN, span_ms) >= 0.90, "an account must be blamed for a minute before anybody leaves"
    assert world.parked == {SHUT}
    assert world.core.limits.limit_queues()[SHUT].lanes.waiting() == 3 * 100, "half a buffer of each lane stays"
    assert 3 * 900 <= len(world.parks) <= 3 * 900 + 10, "and few change places with one that is called as a probe"
    assert 2 <= max(world.parks.values()) <= 6, "each round is as long as all before it"
    assert world.calls[SHUT] < 700
