"""A run in virtual time, and the simulated OpenAI's view of it: each call's request, arrival and charge."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from benchmarks.lanes.traffic import Request
from headrace.broker.core.ticket import Candidate
from headrace.broker.planner.arrivals import Arrival
from headrace.broker.planner.engine import VirtualRun
from headrace.broker.planner.stage import Stage, Times
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.behaviours.catalogue import parsed
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.virtual import Ask, VirtualUpstream, Visit

REQUESTS_PER_MINUTE = 30_000  # never the bound


class Call(NamedTuple):
    """A call as OpenAI saw it: its request's place in the order of arrival, its instant, and if it was admitted."""

    number: int
    at_us: int
    admitted: bool


class Witness(VirtualUpstream):
    """The simulated OpenAI with a record of every call."""

    def __init__(self, settings: UpstreamSettings) -> None:
        super().__init__(settings)
        self.calls: list[Call] = []

    def arrive(self, ask: Ask, now_us: int) -> Visit:
        """Answer as the simulator does, and record the call. A request's id is its number, from 1."""
        visit = super().arrive(ask, now_us)
        self.calls.append(Call(int(ask.id) - 1, now_us, visit.status != 429))
        return visit


class Played(NamedTuple):
    """Result of a run, until its end."""

    requests: Sequence[Request]
    calls: Sequence[Call]
    share: float
    refused: int
    span_ms: int

    def first_ms(self) -> dict[int, float]:
        """Return when the first call of each request came to OpenAI, by the request's place."""
        first: dict[int, float] = {}
        for call in self.calls:
            first.setdefault(call.number, call.at_us / 1_000)
        return first

    def waits_ms(self, lane: str) -> list[float]:
        """Return the waits from arrival to the first call; a request that was never called has waited to the end."""
        first = self.first_ms()
        return [
            first.get(number, self.span_ms) - request.at_ms
            for number, request in enumerate(self.requests)
            if request.lane == lane
        ]

    def tokens(self, lane: str) -> int:
        """Return the tokens charged for the admitted calls of a lane."""
        admitted = (self.requests[call.number] for call in self.calls if call.admitted)
        return sum(request.tokens for request in admitted if request.lane == lane)


def settings_of(tokens_per_minute: int, **groups: Any) -> Settings:
    """Return what an operator would write: the limit as it is known, and what a row changes of the defaults."""
    limit = {"tokens_per_minute": tokens_per_minute, "requests_per_minute": REQUESTS_PER_MINUTE}
    return Settings.model_validate({"limits": {"gpt-4o-mini": limit}, **groups})


ONE_LANE: Mapping[str, Any] = {"all": {"order": 1}}
"""First in, first out: the lanes of the rival."""


def play(
    requests: Sequence[Request],
    settings: Settings,
    span_ms: int,
    *,
    behaviours: Sequence[str] = (),
    seed: int = 1,
) -> Played:
    """Play a run up to `span_ms`. With a single lane all requests are put there."""
    lanes = list(settings.lanes)
    only = lanes[0] if len(lanes) == 1 else None
    (limit,) = settings.limits.values()
    assert limit.tokens_per_minute is not None
    upstream = Witness(
        UpstreamSettings(
            tokens_per_minute=limit.tokens_per_minute,
            requests_per_minute=REQUESTS_PER_MINUTE,
            behaviours=tuple(parsed(name) for name in behaviours),
            seed=seed,
        )
    )
    arrivals = [request.arrival(number, only) for number, request in enumerate(requests)]
    run = VirtualRun(_with_tenants(settings, requests), upstream, arrivals, Times(seed=seed))
    run.advance(span_ms)
    books = upstream.books(run.now_us)
    return Played(requests, upstream.calls, books.share or 0.0, books.throttled, span_ms)


def _with_tenants(settings: Settings, requests: Sequence[Request]) -> Stage:
    """Return the stage of a run in which requests have tenants."""
    stage = Stage.of(settings)

    def recognise(arrival: Arrival, number: int, attempt: int, failures: int) -> Candidate:
        made = stage.recognise(arrival, number, attempt, failures)
        return replace(made, tenant=requests[number - 1].tenant)

    return replace(stage, recognise=recognise)
