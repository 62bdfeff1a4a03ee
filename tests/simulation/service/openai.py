"""The OpenAI of all processes: the simulated one in virtual time, and the list of everything that reached it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, NamedTuple

from headrace.broker.simulator.pricing import Endpoint, size_of
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.virtual import Ask, VirtualAnswer, VirtualUpstream
from headrace.broker.testing.upstream import Asked, Said, Silence
from tests.simulation.service.scenario import MODELS, SCARCE_TIER, Scenario
from tests.simulation.service.strangers import is_strange

HANGS_S = 10_000.0
TIMES_OUT_S = 60.0
"""`openai.timeout_s` of all processes: a call without an answer has failed then, unless its deadline came first."""


class Blamed(NamedTuple):
    """An answer that refuses the account, whatever the request."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]

    def told(self) -> VirtualAnswer:
        """As the simulated OpenAI says it."""
        return VirtualAnswer(self.status, self.headers, self.body)


MISTAKES = (
    Blamed(401, {"error": {"message": "Incorrect API key provided.", "code": "invalid_api_key"}}, {}),
    Blamed(429, {"error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}}, {}),
    Blamed(429, {"error": {"message": "Your account has no credit.", "code": "credit_balance_exhausted"}}, {}),
)
"""A wrong key, a spend limit, an empty account."""


STRANGER = "no such page here"
STRANGERS = (
    Blamed(404, {"detail": STRANGER}, {"Content-Type": "application/json"}),
    Blamed(404, {"error": {"message": f"Invalid URL: {STRANGER}", "type": "invalid_request_error"}}, {}),
    Blamed(404, {"error": STRANGER}, {"Content-Type": "text/html"}),
    Blamed(405, {"message": STRANGER}, {"Content-Type": "application/json"}),
)
"""What another server answers to every call, whatever the model."""

NO_CAPACITY = Blamed(429, {"error": {"message": "Resource Unavailable", "code": "resource_unavailable"}}, {})
"""A service tier has no capacity; no token is taken for that."""

DEEP = "[" * 300
NO_ANSWERS = ("", "null", "[]", "7", "<html>", '{"choices": [', '{"n": NaN}', DEEP, f'{{"a": {DEEP}{"]" * 300}}}')
"""What may come with a 200 and is no answer."""


@dataclass(frozen=True, slots=True)
class Sending:
    """A call leaves: when, the last instant for which Redis has told its caller that the lease is its, and until when
    that and the last commit let it call. `believed_s`: until when its caller believes so.
    """

    at_s: float
    held_s: float
    trusted_s: float
    believed_s: float = -math.inf


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
        trusted_s: Until when that and the last commit let its caller call.
        believed_s: Until when its caller believed so.
        heard_s: When its answer was heard; None: never.
        scarce: Whether it was refused because its service tier had no capacity.
    """

    sent_s: float
    at_s: float
    process: str
    id: str
    body: str
    status: int | None
    held_s: float = -math.inf
    trusted_s: float = math.inf
    believed_s: float = -math.inf
    heard_s: float | None = None
    scarce: bool = False


def _elsewhere(scenario: Scenario) -> tuple[float, float] | None:
    """From when to when another server answers: from the beginning on, or later, for both models at once."""
    if not scenario.faults.elsewhere:
        return None
    chance = Random(f"elsewhere {scenario.seed}")
    began_s = chance.choice((0.0, chance.uniform(0, scenario.span_s)))
    return began_s, began_s + chance.choice((1.0, 4.0, 12.0))


def _mistake(scenario: Scenario) -> tuple[float, float] | None:
    """From when to when every call is refused for what only an operator can mend."""
    if not scenario.faults.mistake:
        return None
    chance = Random(f"mistake {scenario.seed}")
    began_s = chance.uniform(0, scenario.span_s)
    return began_s, began_s + chance.choice((1.0, 4.0, 12.0))


def _scarcity(scenario: Scenario) -> tuple[float, float] | None:
    """From when to when a service tier is short of capacity."""
    if not scenario.faults.scarce:
        return None
    chance = Random(f"scarcity {scenario.seed}")
    began_s = chance.choice((0.0, chance.uniform(0, scenario.span_s)))
    return began_s, began_s + chance.choice((2.0, 12.0, 60.0))


class OpenAI:
    """One account. It goes on with a call whose caller has died.

    Attributes:
        begun: Every call: when which process began it, and for which id; cancelled at once, it has not arrived.
        flawed: Calls that ended before they left.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._faults = scenario.faults
        self._chance = Random(f"openai {scenario.seed}")
        usual = UpstreamSettings(
            tokens_per_minute=scenario.tokens_per_minute,
            requests_per_minute=scenario.requests_per_minute,
            latency_s=scenario.latency_s,
            error_rate=scenario.faults.call_fails,
            long_429_rate=scenario.faults.call_refused_for_long,
            long_429_s=scenario.refused_for_s,
            seed=scenario.seed,
        )
        slower = replace(usual, long_429_s=scenario.last_model_refused_for_s or scenario.refused_for_s)
        self._upstreams = {model: VirtualUpstream(slower if model == MODELS[-1] else usual) for model in MODELS}
        self.is_calm = False
        self._mistake = _mistake(scenario)
        self._elsewhere = _elsewhere(scenario)
        self._scarcity = _scarcity(scenario)
        self._scarce = Random(f"scarce {scenario.seed}")
        self._stranger = Random(f"stranger {scenario.seed}").choice(STRANGERS)
        self._oddly = Random(f"oddly {scenario.seed}")
        self._blamed = Random(f"blamed {scenario.seed}").choice(MISTAKES)
        self.arrivals: list[Arrival] = []
        self.begun: list[tuple[float, str, str]] = []
        self.flawed: list[tuple[float, str, str]] = []

    def asked(self, asked: Asked, process: str, sent: Sending, now_s: float) -> Said | Silence:
        """What a call that arrives now will be told, and when."""
        body = dict(asked.body)
        model = str(body.get("model"))
        priced = {"model": model, "messages": []} if is_strange(asked.request_id) else body
        ask = Ask(asked.request_id, model, size_of(Endpoint.CHAT, priced), output_tokens=20)
        if self._has_no_capacity(body, now_s):
            self._note(asked, process, sent, now_s, NO_CAPACITY.status)
            self.arrivals[-1].scarce = True
            return Said(NO_CAPACITY.status, dict(NO_CAPACITY.body), {}, 0.1)
        upstream = self._upstreams[model]
        visit = upstream.arrive(ask, round(now_s * 1_000_000))
        told = upstream.end(visit)
        if self._mistake is not None and self._mistake[0] <= now_s < self._mistake[1]:
            told, visit.ends_us = self._blamed.told(), round((now_s + 0.1) * 1_000_000)
        if self._elsewhere is not None and self._elsewhere[0] <= now_s < self._elsewhere[1]:
            told, visit.ends_us = self._stranger.told(), round((now_s + 0.1) * 1_000_000)
        after_s = visit.ends_us / 1_000_000 - now_s
        hangs = not self.is_calm and self._chance.random() < self._faults.call_unanswered
        self._note(asked, process, sent, now_s, None if hangs else told.status)
        if hangs:
            return Silence("timeout", TIMES_OUT_S)
        if told.status is None:
            return Silence("connection", after_s)
        answer: dict[str, Any] | str = told.body if isinstance(told.body, str) else dict(told.body)
        if told.status == 200 and isinstance(answer, dict):
            answer |= {"model": model, "choices": [{"message": {"content": f"Answer {len(self.arrivals)}."}}]}
            if not self.is_calm and self._oddly.random() < self._faults.answered_oddly:
                self.arrivals[-1].status = None
                answer = self._oddly.choice(NO_ANSWERS)
        return Said(told.status, answer, dict(told.headers), after_s)

    def _has_no_capacity(self, body: Mapping[str, Any], now_s: float) -> bool:
        """Whether a call of a service tier is refused now, whatever its limit has left."""
        if self._scarcity is None or body.get("service_tier") != SCARCE_TIER:
            return False
        return self._scarcity[0] <= now_s < self._scarcity[1] and self._scarce.random() < self._faults.scarce

    def _note(self, asked: Asked, process: str, sent: Sending, now_s: float, status: int | None) -> None:
        text = json.dumps(dict(asked.body), sort_keys=True)
        self.arrivals.append(
            Arrival(
                sent.at_s, now_s, process, asked.request_id, text, status, sent.held_s, sent.trusted_s, sent.believed_s
            )
        )
