"""OpenAI: the simulator's own limiter, which shares no code with the core, behind a network that loses answers.

Answers carry the headers and texts of the recorded ones, so that the machine reads them as it would read real ones.
"""

from dataclasses import dataclass
from enum import Enum
from random import Random

from headrace.broker.core.answers.verdict import Answer, Meaning, Verdict, judge
from headrace.broker.simulator.admission import Admitted, HeaderTriple, Metric, Refusal
from headrace.broker.simulator.limiter import Limiter
from headrace.broker.simulator.rules import Limits
from tests.simulation.kafka import Request
from tests.simulation.scenario import Scenario

PATIENCE_MS = 10_000
"""After so long the caller gives up on an answer."""

ACCOUNT_TROUBLE_MS = 3_000


class Ending(Enum):
    """How a call went, as the server knows it."""

    SERVED = "served"
    FAILED = "failed"
    UNANSWERED = "unanswered"
    REFUSED = "refused"
    TOO_LARGE = "too large"
    UNKNOWN_KEY = "unknown key"
    NO_CAPACITY = "no capacity"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a caller hears, when, and what the answer weighs."""

    ending: Ending
    verdict: Verdict
    after_ms: int
    size: int


class Upstream:
    """One account with a limit a model."""

    def __init__(self, scenario: Scenario, chance: Random) -> None:
        self._faults = scenario.faults
        self._chance = chance
        self._bytes_max = scenario.answer_bytes_max
        limits = Limits(scenario.tokens_per_minute, scenario.requests_per_minute)
        self._limiter = Limiter(limits)
        self._trouble_until_ms = 0
        self._scarcity, self._scarce_until_ms = scenario.scarcity, scenario.scarce_until_ms
        self._scarce = Random(f"scarce {scenario.seed}")

    def call(self, request: Request, now_ms: int) -> Reply:
        """A call arrives; time is the server's."""
        chance, faults = self._chance, self._faults
        if chance.random() < faults.account:
            self._trouble_until_ms = now_ms + ACCOUNT_TROUBLE_MS
        if now_ms < self._trouble_until_ms:
            answer = Answer(401, {}, "invalid_api_key", "invalid_request_error", None, "Incorrect API key provided.")
            return Reply(Ending.UNKNOWN_KEY, judge(answer), 20, 0)
        if now_ms < self._scarce_until_ms and self._scarce.random() < self._scarcity.get(request.tier, 0.0):
            answer = Answer(429, {}, "resource_unavailable", None, None, "Resource Unavailable")
            return Reply(Ending.NO_CAPACITY, judge(answer), 20, 0)
        admitted = self._limiter.admit(request.model, request.charge, now_ms * 1_000)
        if isinstance(admitted, Refusal):
            ending = Ending.TOO_LARGE if admitted.wait_ms is None else Ending.REFUSED
            return Reply(ending, judge(_refusal(request, admitted)), chance.randint(5, 50), 0)
        return self._served(admitted)

    def _served(self, admitted: Admitted) -> Reply:
        chance, faults = self._chance, self._faults
        latency_ms = chance.randint(50, 1_500)
        if chance.random() < faults.call_slow:
            latency_ms = chance.randint(2_000, 9_000)
        if chance.random() < faults.call_unanswered:
            lost = Answer(None, {}, "timeout", None, None, "")
            return Reply(Ending.UNANSWERED, judge(lost), PATIENCE_MS, 0)
        headers = _headers(admitted)
        if chance.random() < faults.call_fails:
            status = chance.choice((500, 502, 503))
            return Reply(Ending.FAILED, judge(Answer(status, headers, None, None, None, "")), latency_ms, 0)
        verdict = judge(Answer(200, headers, None, None, None, ""))
        assert verdict.meaning is Meaning.OK
        return Reply(Ending.SERVED, verdict, latency_ms, chance.randint(200, self._bytes_max))


def _headers(admitted: Admitted) -> dict[str, str]:
    headers: dict[str, str] = {}
    for metric, level in admitted.levels.items():
        headers |= _triple(metric, level)
    return headers


def _triple(metric: Metric, level: HeaderTriple) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{metric}": str(level.limit),
        f"x-ratelimit-remaining-{metric}": str(level.remaining),
        f"x-ratelimit-reset-{metric}": f"{level.reset_ms}ms",
    }


def _refusal(request: Request, refused: Refusal) -> Answer:
    numbers = f"Limit {refused.limit}, "
    if refused.wait_ms is None:
        text = (
            f"Request too large for {request.model} in organization org-x on {refused.metric} per min (TPM): "
            f"{numbers}Requested {refused.requested}."
        )
    else:
        text = (
            f"Rate limit reached for {request.model} in organization org-x on {refused.metric} per min (TPM): "
            f"{numbers}Used {refused.used}, Requested {refused.requested}. "
            f"Please try again in {max(1, refused.wait_ms)}ms."
        )
    return Answer(429, {}, "rate_limit_exceeded", str(refused.metric), None, text)
