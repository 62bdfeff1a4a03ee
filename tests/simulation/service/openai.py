"""The OpenAI of all processes: the simulated one in virtual time, and the list of everything that reached it."""

import json
import math
from dataclasses import dataclass
from random import Random
from typing import Any

from broker.simulator.pricing import Endpoint, size_of
from broker.simulator.settings import UpstreamSettings
from broker.simulator.virtual import Ask, VirtualUpstream
from broker.testing.upstream import Asked, Said, Silence
from tests.simulation.service.scenario import Scenario

HANGS_S = 10_000.0


@dataclass(frozen=True, slots=True)
class Sending:
    """A call leaves: when, and the last instant for which Redis has told its caller that the lease is its."""

    at_s: float
    held_s: float


@dataclass(slots=True)
class Arrival:
    """A call that reached OpenAI.

    Attributes:
        sent_s: When it was sent.
        at_s: When it arrived.
        process: Who made it.
        id: Whose request it is.
        body: What was asked, as text.
        status: How it was or will be answered; None: not at all.
        held_s: The last instant for which Redis has told its caller that the lease is its.
    """

    sent_s: float
    at_s: float
    process: str
    id: str
    body: str
    status: int | None
    held_s: float = -math.inf


class OpenAI:
    """One account. It goes on with a call whose caller has died."""

    def __init__(self, scenario: Scenario) -> None:
        self._faults = scenario.faults
        self._chance = Random(f"openai {scenario.seed}")
        settings = UpstreamSettings(
            tokens_per_minute=scenario.tokens_per_minute,
            requests_per_minute=scenario.requests_per_minute,
            latency_s=scenario.latency_s,
            error_rate=scenario.faults.call_fails,
            long_429_rate=scenario.faults.call_refused_for_long,
            long_429_s=4.0,
            seed=scenario.seed,
        )
        self._upstream = VirtualUpstream(settings)
        self.is_calm = False
        self.arrivals: list[Arrival] = []

    def asked(self, asked: Asked, process: str, sent: Sending, now_s: float) -> Said | Silence:
        """What a call that arrives now will be told, and when."""
        body = dict(asked.body)
        model = str(body.get("model"))
        ask = Ask(asked.request_id, model, size_of(Endpoint.CHAT, body), output_tokens=20)
        visit = self._upstream.arrive(ask, round(now_s * 1_000_000))
        told = self._upstream.end(visit)
        after_s = visit.ends_us / 1_000_000 - now_s
        hangs = not self.is_calm and self._chance.random() < self._faults.call_unanswered
        status = None if hangs else told.status
        text = json.dumps(body, sort_keys=True)
        self.arrivals.append(Arrival(sent.at_s, now_s, process, asked.request_id, text, status, sent.held_s))
        if hangs:
            return Silence("timeout", HANGS_S)
        if told.status is None:
            return Silence("connection", after_s)
        answer: dict[str, Any] | str = told.body if isinstance(told.body, str) else dict(told.body)
        if told.status == 200 and isinstance(answer, dict):
            answer |= {"model": model, "choices": [{"message": {"content": f"Answer {len(self.arrivals)}."}}]}
        return Said(told.status, answer, dict(told.headers), after_s)
