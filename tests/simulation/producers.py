"""Whoever writes: services that send requests and cancel them, the retrier that puts parked ones back, and replays.

Services repeat themselves, reuse ids, send rubbish and ask too late. The retrier and the operator follow from what is
stored in Kafka and from nothing else.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from headrace.broker.core.commands import Fail, Park
from headrace.broker.core.ticket import CONTROL, LanePartition
from tests.simulation.agenda import Agenda
from tests.simulation.kafka import Content, Kafka, LaneRecord, Request, Rubbish, Transaction, Wish
from tests.simulation.process import WALL_MS
from tests.simulation.scenario import KEYS, MINUTE_MS, TENANTS, Scenario

RUNS_MAX = 2
OTHER_BODY = "else"


class Producers:
    """All of them."""

    def __init__(
        self, scenario: Scenario, agenda: Agenda, kafka: Kafka, chance: Random, arrived: Callable[[LaneRecord], None]
    ) -> None:
        self._scenario = scenario
        self._agenda = agenda
        self._kafka = kafka
        self._chance = chance
        self._sharing = Random(f"sharing {scenario.seed}")
        self._tiers = Random(f"tier of a request {scenario.seed}")
        self._arrived = arrived

    def begin(self) -> None:
        """Plan everything that services will send."""
        for number in range(self._scenario.requests):
            self._submit(f"id{number}")
        for number in range(round(self._scenario.requests * self._scenario.faults.garbage / 4)):
            self._later(Rubbish(None, "bytes"))
            self._cancel(f"nobody{number}")

    def _submit(self, name: str) -> None:
        chance, faults = self._chance, self._scenario.faults
        request = self._request(name)
        self._later(request)
        while chance.random() < faults.duplicate:
            self._later(request)
        if chance.random() < faults.conflict:
            self._later(replace(request, body=OTHER_BODY))
        if chance.random() < faults.garbage:
            rubbish = Rubbish(name, "bytes")
            self._later(rubbish)
            if chance.random() < faults.duplicate:
                self._later(rubbish)
        while chance.random() < faults.cancel:
            self._cancel(name)

    def _cancel(self, name: str) -> None:
        """Before its request, while it is under way, or when it is answered."""
        content = Rubbish(None, "bytes") if self._chance.random() < self._scenario.faults.garbage else Wish(name)
        at_ms = self._chance.randint(0, self._scenario.span_ms)
        self._agenda.plan(at_ms, lambda: self._append(content, CONTROL))

    def _request(self, name: str) -> Request:
        chance, scenario = self._chance, self._scenario
        faults = scenario.faults
        estimate = chance.randint(50, 3_000)
        if chance.random() < faults.oversized:
            estimate = scenario.tokens_per_minute + chance.choice((1, -10))
        charge = estimate
        if chance.random() < faults.misjudged:
            charge = max(1, estimate * chance.choice((5, 8, 12, 20)) // 10)
        patience_ms = chance.randint(4, 10) * MINUTE_MS
        if chance.random() < faults.hasty:
            patience_ms = chance.randint(0, 5_000)
        return Request(
            name=name,
            run=0,
            attempt=0,
            failures=0,
            body="body",
            model=chance.choice(scenario.models),
            estimate=estimate,
            charge=charge,
            deadline_ms=WALL_MS + patience_ms,  # from when it is sent; see _later
            size=chance.randint(100, 6_000),
            refused=chance.random() < faults.refused,
            tenant=self._sharing.choice(TENANTS),
            order=self._sharing.choice(KEYS) if self._sharing.random() < scenario.keyed else "",
            tier=self._tiers.choice(tuple(scenario.scarcity)) if scenario.scarcity else "",
        )

    def _later(self, content: Request | Rubbish) -> None:
        at_ms = self._chance.randint(0, self._scenario.span_ms)
        if isinstance(content, Request):
            content = replace(content, deadline_ms=content.deadline_ms + at_ms)
        self._agenda.plan(at_ms, lambda: self._append(content, None))

    def _append(self, content: Content, lane: str | None) -> None:
        lanes = {lane} if lane is not None else {rule.name for rule in self._scenario.rules.lanes}
        places = [place for place in self._kafka.logs if place.lane in lanes]
        gap = self._chance.random() < self._scenario.faults.marker
        now_ms = WALL_MS + self._agenda.now_ms
        place = self._chance.choice(places)
        if isinstance(content, Request) and content.order:  # all of a key stand in one partition of a lane
            place = LanePartition(place.lane, KEYS.index(content.order) % self._scenario.partitions)
        self._arrived(self._kafka.append(place, content, now_ms, gap=gap))

    def stored(self, transaction: Transaction) -> None:
        """A transaction can be read."""
        for each in transaction.settled:
            if each.record is None or not isinstance(each.record.content, Request):
                continue
            lane = each.source.partition
            if isinstance(each.decision, Park):
                self._put_back(
                    each.record.content, each.decision, lane, each.decision.not_before_ms - transaction.clock_ms
                )
            elif isinstance(each.decision, Fail) and each.decision.reason != "cancelled":  # it has no dead letter
                self._maybe_replay(each.record.content, lane)

    def _put_back(self, request: Request, park: Park, place: LanePartition, due_ms: int) -> None:
        due_ms = min(due_ms, request.deadline_ms - WALL_MS) + self._chance.randint(0, 50)
        if self._chance.random() < 2 * self._scenario.faults.cancel:
            at_ms = self._chance.randint(self._agenda.now_ms, max(self._agenda.now_ms, due_ms + 50))
            self._agenda.plan(at_ms, lambda: self._append(Wish(request.name), CONTROL))
        copy = replace(request, attempt=park.attempts + 1, failures=park.failures)
        self._agenda.plan(due_ms, lambda: self._append(copy, place.lane))

    def _maybe_replay(self, request: Request, place: LanePartition) -> None:
        if request.run >= RUNS_MAX or self._chance.random() >= self._scenario.faults.replay:
            return
        at_ms = self._agenda.now_ms + self._chance.randint(100, 10_000)
        deadline_ms = WALL_MS + at_ms + self._chance.randint(1, 5) * MINUTE_MS
        again = replace(request, run=request.run + 1, attempt=0, failures=0, deadline_ms=deadline_ms)
        self._agenda.plan(at_ms, lambda: self._append(again, place.lane))
        if self._chance.random() < self._scenario.faults.duplicate:
            twice_ms = at_ms + self._chance.randint(0, 5_000)
            self._agenda.plan(twice_ms, lambda: self._append(again, None))
