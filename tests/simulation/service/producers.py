"""Services that send requests and cancel them: they repeat themselves, reuse ids, send garbage and ask in a hurry."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from headrace.broker.testing.kafka import MemoryKafka
from headrace.schemas import headers as names
from headrace.schemas import topics
from headrace.schemas.dead_letter import Origin
from headrace.schemas.ids import request_digest
from headrace.schemas.instants import to_wire
from headrace.schemas.record import Record
from headrace.schemas.replay_codec import new_id_of
from tests.simulation.service import strangers
from tests.simulation.service.loops import Conductor
from tests.simulation.service.scenario import (
    DEADLY_CALL,
    FLAW_IN_CALLING,
    FLAW_IN_READING,
    LANES,
    MODELS,
    POISON,
    PREFIX,
    TENANTS,
    TIERS,
    WINDOW_S,
    Scenario,
)

GARBAGE = b"{ no json"
KEYS = (b"k1", b"k2")
RUNS_MAX = 2
FORGED = 0.3
"""The share of requests with an id of another one whose own id a producer has chosen, too."""
CANCELLED = 0.3
"""The share of ids with two requests that are cancelled, and of ids that a conflict fails under, where any are."""
MISTAKEN = 0.3
"""The share of replays beside which the other request of the id is replayed, too."""
NAMELESS = 0.3
"""The share of records that end their decoder whose headers do not say whose they are."""
DEADLY_WITHIN_S = 300.0
"""Its three deaths take their time, and a deadline must not come first."""


Plain = tuple[str, Record, str]
"""Topic, record and body of a request as it was first sent."""


@dataclass(slots=True)
class Sent:
    """A record on a lane or on the control topic. `id` is whom it concerns, if that can be read.

    Attributes:
        body: What is asked for, as text; None: it is a cancel, or garbage.
        run: 0, or the count of replays.
        key: The ordering key.
    """

    at_s: float
    topic: str
    partition: int
    offset: int
    id: str | None
    body: str | None
    run: int = 0
    key: str | None = None

    @property
    def is_cancel(self) -> bool:
        """Whether it is a cancel."""
        return self.topic == topics.control_topic(PREFIX)


class Producers:
    """All of them."""

    def __init__(
        self, scenario: Scenario, conductor: Conductor, kafka: MemoryKafka, utc_now: Callable[[], datetime]
    ) -> None:
        self._scenario = scenario
        self._conductor = conductor
        self._kafka = kafka
        self._utc_now = utc_now
        self._chance = Random(f"producers {scenario.seed}")
        self.sent: list[Sent] = []
        self.to_come = 0  # replays and late duplicates
        self._from_s = 0.0
        self._plain: dict[str, Plain] = {}  # ids that stand for one body, and the record of it
        self._contested: dict[str, list[Plain]] = {}  # those that stand for two requests

    def begin(self) -> None:
        """Plan everything that will be sent."""
        chance, faults = self._chance, self._scenario.faults
        for number in range(self._scenario.requests):
            self._submit(f"id-{number}")
        for _ in range(round(self._scenario.requests * faults.garbage)):
            self._later(chance.choice(LANES), None, GARBAGE)
            self._cancel(f"nobody-{chance.randint(0, 9)}")
        if faults.hostile:
            self._harass()
        if faults.deadly:
            request = self._request("deadly")
            request["deadline"] = to_wire(self._utc_now() + timedelta(seconds=self._scenario.span_s + DEADLY_WITHIN_S))
            self._spoilt("standard", "deadly", request, DEADLY_CALL)

    def _harass(self) -> None:
        chance = Random(f"hostile {self._scenario.seed}")
        for each in strangers.drawn(self._scenario.seed):
            topic, body = topics.requests_topic(PREFIX, chance.choice(LANES)), strangers.body_of(each)
            plan = partial(self._append, topic, each.record, each.id, body, is_keyed=False)  # nobody grants a run
            self._conductor.plan(chance.uniform(0, self._scenario.span_s), plan)

    def _submit(self, name: str) -> None:
        lasts_s = self._scenario.span_s - (self._scenario.sent_within_s or 0.0)
        self._from_s = self._chance.uniform(0, lasts_s) if self._scenario.lasts else 0.0
        chance, faults = self._chance, self._scenario.faults
        request, lane = self._request(name), chance.choice(LANES)
        if faults.poison and chance.random() < faults.poison:
            self._spoilt(lane, name, request, POISON)
            return
        if faults.flaw and chance.random() < faults.flaw:
            self._spoilt(lane, name, request, chance.choice((FLAW_IN_READING, FLAW_IN_CALLING)))
            return
        key = chance.choice(KEYS) if lane == "standard" and chance.random() < 0.3 else None
        self._send(lane, name, request, key)
        while chance.random() < faults.duplicate:
            self._send(lane if key is not None else chance.choice(LANES), name, request, key)
        body = json.dumps(request["body"], sort_keys=True)
        record = Record(key, json.dumps(request).encode())  # a replay keeps its key, and its order is its own
        self._plain[name] = topics.requests_topic(PREFIX, lane), record, body
        if chance.random() < faults.conflict:
            self._contested[name] = [self._plain.pop(name), self._contradict(lane, name, request, key)]
        if chance.random() < faults.garbage:
            self._plain.pop(name, None)
            self._contested.pop(name, None)
            self._later(lane, name, json.dumps({"id": name, "body": 7}).encode())
        while chance.random() < faults.cancel:
            self._cancel(name)

    def _request(self, name: str) -> dict[str, Any]:
        chance = self._chance
        text = "word " * chance.choice(self._scenario.words)
        model, messages = chance.choice(MODELS), [{"role": "user", "content": f"{name} {text}"}]
        body: dict[str, Any] = {"model": model, "messages": messages}
        request: dict[str, Any] = {"id": name, "body": body}
        if self._scenario.faults.scarce:
            tier = Random(f"tier {name} {self._scenario.seed}").choice(TIERS)
            body |= {} if tier is None else {"service_tier": tier}
        if (tenant := chance.choice(TENANTS)) is not None:
            request["tenant"] = tenant
        if chance.random() < self._scenario.faults.hasty:
            patience = timedelta(seconds=self._scenario.span_s + chance.uniform(-4, 4))
            request["deadline"] = to_wire(self._utc_now() + patience)
        return request

    def _send(self, lane: str, name: str, request: dict[str, Any], key: bytes | None) -> None:
        self._later(lane, name, json.dumps(request).encode(), json.dumps(request["body"], sort_keys=True), key)

    def _contradict(self, lane: str, name: str, request: dict[str, Any], key: bytes | None) -> Plain:
        """The same id for another request, which is returned.

        Perhaps one with the id that this one is to fail under, and cancels of both ids.
        """
        chance = Random(f"conflict {name} {self._scenario.seed}")
        other, forges = contradicting(request, chance), chance.random() < FORGED
        body, record = json.dumps(other["body"], sort_keys=True), _record(other, key)
        topic = topics.requests_topic(PREFIX, lane)

        def append() -> None:
            place = self._append(topic, record, name, body)
            if forges:
                own = new_id_of(name, place)
                text, forged = json.dumps(request["body"], sort_keys=True), _record(request | {"id": own}, None)
                self._append(topics.requests_topic(PREFIX, "urgent"), forged, own, text)
            self._cancel_contested(name, new_id_of(name, place), chance)

        while True:
            self._conductor.plan(self._instant(), append)
            if chance.random() >= self._scenario.faults.duplicate:
                return topic, record, body

    def _cancel_contested(self, name: str, own: str, chance: Random) -> None:
        """A cancel ends the request that has the id, and cannot end a conflict of it."""
        for each in (name, own):
            if self._scenario.faults.cancel and chance.random() < CANCELLED:
                record = Record(each.encode(), json.dumps({"type": "cancel", "id": each}).encode())
                self._soon(chance, topics.control_topic(PREFIX), record, each, None)

    def _spoilt(self, lane: str, name: str, request: dict[str, Any], text: str) -> None:
        """Of what ends its reader only the headers can say which request waits for an answer."""
        request["body"]["messages"][0]["content"] += text
        nameless = text == POISON and Random(f"nameless {name} {self._scenario.seed}").random() < NAMELESS
        headers = () if nameless else ((names.CE_SUBJECT, name.encode()),)
        record = Record(None, json.dumps(request).encode(), headers)
        body, topic = json.dumps(request["body"], sort_keys=True), topics.requests_topic(PREFIX, lane)
        at_s = self._chance.uniform(0, self._scenario.span_s)
        self._conductor.plan(at_s, lambda: self._append(topic, record, None if nameless else name, body))

    def _cancel(self, name: str) -> None:
        value = json.dumps({"type": "cancel", "id": name}).encode()
        at_s = self._instant()
        record = Record(name.encode(), value)
        self._conductor.plan(at_s, lambda: self._append(topics.control_topic(PREFIX), record, name, None))

    def _later(
        self, lane: str, name: str | None, value: bytes, body: str | None = None, key: bytes | None = None
    ) -> None:
        at_s = self._instant()
        headers = () if key is None else ((names.CE_PARTITIONKEY, key),)
        topic, record = topics.requests_topic(PREFIX, lane), Record(key, value, headers)
        self._conductor.plan(at_s, lambda: self._append(topic, record, name, body))

    def _instant(self) -> float:
        """When a record is sent; in a run that lasts, soon after the first one of its id."""
        within_s = self._scenario.sent_within_s
        if within_s is None:
            return self._chance.uniform(0, self._scenario.span_s)
        return self._from_s + self._chance.uniform(0, within_s)

    def parked(self, failure: Mapping[str, Any]) -> None:
        """In a run that lasts, a duplicate comes when its request has been parked for longer than the window.

        Another request of its id may come while it is parked.
        """
        name, span_s = failure["id"], self._scenario.refused_for_s
        chance = Random(f"conflict while parked {name} {self._scenario.seed}")
        if name in self._plain and failure["run"] == 0 and chance.random() < self._scenario.faults.conflict:
            topic, record, first = self._plain.pop(name)
            other = contradicting(json.loads(record.value or b"{}"), chance)
            again, body = _record(other, record.key), json.dumps(other["body"], sort_keys=True)
            self._contested[name] = [(topic, record, first), (topic, again, body)]
            self._soon(chance, topic, again, name, body)
        if self._scenario.lasts and name in self._plain and failure["run"] == 0 and self._chance.random() < 0.5:
            topic, record, body = self._plain[name]
            after_s = self._chance.uniform(WINDOW_S + 1, span_s - 3)
            self.to_come += 1
            self._conductor.after(after_s, lambda: self._come(topic, record, name, body))

    def answered(self, outcome: Mapping[str, Any]) -> None:
        """An operator may replay what has failed."""
        chance, name, run = self._chance, outcome["id"], outcome["run"] + 1
        if outcome["status"] == "completed" or outcome["reason"] == "cancelled":
            return
        if name not in self._plain:
            self._replay_contested(outcome)
            return
        if run > RUNS_MAX or chance.random() >= self._scenario.faults.replay:
            return
        topic, record, body = self._plain[name]
        again = self._replayed(record, run, chance)
        for _ in range(1 + (chance.random() < self._scenario.faults.duplicate)):
            self._soon(chance, topic, again, name, body, run)

    def _replay_contested(self, outcome: Mapping[str, Any]) -> None:
        """Of an id with two requests its own is replayed, perhaps beside the other; a conflict gets a new id."""
        name, run = outcome.get("submitted_id") or outcome["id"], outcome["run"] + 1
        chance = Random(f"replay of {outcome['id']} {run} {self._scenario.seed}")
        if run > RUNS_MAX or chance.random() >= self._scenario.faults.replay:
            return
        contested = self._contested.get(name, [])
        own = [each for each in contested if _asks(each, outcome)]
        others = [each for each in contested if each not in own]
        for topic, record, body in own:
            if outcome.get("submitted_id"):
                new = new_id_of(name, Origin(topics.dead_letters_topic(PREFIX), 0, int(outcome["id"][-8:], 16)))
                renamed = replace(record, value=json.dumps(json.loads(record.value or b"{}") | {"id": new}).encode())
                self._soon(chance, topic, self._replayed(renamed, 0, chance), new, body)
                continue
            self._soon(chance, topic, self._replayed(record, run, chance), name, body, run)
            if chance.random() < MISTAKEN:
                for _, other, asked in others:
                    self._soon(chance, topic, self._replayed(other, run, chance), name, asked, run)

    def _replayed(self, record: Record, run: int, chance: Random) -> Record:
        """The record of a replay: of that run, with a deadline of its own."""
        deadline = self._utc_now() + timedelta(seconds=chance.choice((5, 30)))
        headers = ((names.RUN, str(run).encode()),) if run else ()
        return replace(record, headers=(*headers, (names.DEADLINE, to_wire(deadline).encode())))

    def _soon(  # noqa: PLR0917 — each is a fact of the record
        self, chance: Random, topic: str, record: Record, name: str, body: str | None, run: int = 0
    ) -> None:
        self.to_come += 1
        self._conductor.after(chance.uniform(0.1, 3), lambda: self._come(topic, record, name, body, run))

    def _come(self, topic: str, record: Record, name: str, body: str | None, run: int = 0) -> None:
        self.to_come -= 1
        self._append(topic, record, name, body, run)

    def _append(
        self, topic: str, record: Record, name: str | None, body: str | None, run: int = 0, *, is_keyed: bool = True
    ) -> Origin:
        numbers = range(len(self._kafka.logs(topic)))
        number = numbers[0] if record.key is not None else self._chance.choice(numbers)
        offset = self._kafka.append(topic, record, partition=number)
        key = dict(record.headers).get(names.CE_PARTITIONKEY) if is_keyed else None
        ordered = None if key is None else key.decode()
        self.sent.append(Sent(self._conductor.now_s, topic, number, offset, name, body, run, ordered))
        return Origin(topic, number, offset)


def contradicting(request: Mapping[str, Any], chance: Random) -> dict[str, Any]:
    """Another request under the same id: of another body, another tenant, or both."""
    kind = chance.randrange(3)
    other = dict(request)
    if kind != 1:
        other["body"] = {**request["body"], "temperature": 1}
    if kind:
        other["tenant"] = chance.choice([each for each in TENANTS if each not in {None, request.get("tenant")}])
    return other


def _asks(plain: Plain, outcome: Mapping[str, Any]) -> bool:
    """Whether an outcome is of that very request."""
    request = json.loads(plain[1].value or b"{}")
    asked = request.get("tenant"), request_digest("chat.completions", request["body"])
    return asked == (outcome.get("tenant"), outcome.get("request_digest"))


def _record(request: Mapping[str, Any], key: bytes | None) -> Record:
    headers = () if key is None else ((names.CE_PARTITIONKEY, key),)
    return Record(key, json.dumps(request).encode(), headers)
