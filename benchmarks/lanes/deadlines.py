"""Random deadlines, at times more than can be met: how many are missed that an omniscient scheduler meets.

A request that waits until its deadline may be called just before it, and cut off in the middle: paid for nothing. So
the row with more work than quota is the one that shows a difference.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from benchmarks.lanes import omniscient
from benchmarks.lanes.findings import Check, Finding
from benchmarks.lanes.played import Call, Witness, settings_of
from benchmarks.lanes.traffic import BULK, MINUTE_MS, MODEL, URGENT, Request
from headrace.broker.core.commands import Complete, Decision, Fail
from headrace.broker.planner.engine import VirtualRun
from headrace.broker.planner.stage import Stage, Times
from headrace.broker.settings.lanes import LANE_DEFAULTS
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.virtual import Ask, VirtualUpstream

MANY: Final = 100_000
MISSED: Final = 0.01
SAID_WITHIN_MS: Final = 400.0
_TOKENS_PER_MINUTE: Final = 1_000_000
_LANES: Final = {URGENT: (0.2, (100, 300)), "standard": (0.3, (200, 600)), BULK: (0.5, (200, 600))}
_ALLOWED_MS: Final = (5_000, 120_000)
LATENCY_S: Final = (1.0, 4.0)
_PER_MS: Final = _TOKENS_PER_MINUTE / MINUTE_MS
_SLACK: Final = 200 * _PER_MS  # tokens on their way, and of requests with slightly less time than the longest call
_LONG_MS: Final = (3_500.0, 4_020.0)  # the dispatcher's estimate of a long call lies between these
_WAY_MS: Final = 5
_COMMITTED_MS: Final = 60  # a decision waits for others of its transaction, and for the commit
_DRAWN: Final = 500
_STRETCH_MS: Final = 60_000  # in which requests come at one rate


@dataclass(frozen=True, slots=True)
class Scene:
    """The demand: a random part of each minute's tokens, between the two in `load`.

    `within` is the share that may be missed of what the omniscient scheduler meets. Where every scheduler misses many,
    which ones it misses depends on what only the omniscient one knows, and the number of those answered is what counts.
    """

    name: str
    title: str
    load: tuple[float, float]
    within: float | None = None


SCENES: Final = (
    Scene("deadlines", "50 to 150 % of the quota asked for, another part each minute", (0.5, 1.5), within=MISSED),
    Scene("deadlines-busy", "50 to 170 % of the quota asked for, another part each minute", (0.5, 1.7)),
    Scene("deadlines-over", "130 % of the quota asked for all the time", (1.3, 1.3)),
)


class Ends:
    """A watcher that records the end of each request, by its place in the order of arrival."""

    def __init__(self) -> None:
        self.decisions: dict[int, tuple[Decision, int]] = {}

    def arrived(self, lane: str, now_ms: int) -> None:
        """See `RunObserver`."""

    def called(self, lane: str, charge: int, waited_ms: int | None, now_ms: int) -> None:
        """See `RunObserver`."""

    def settled(self, number: int, decision: Decision, now_ms: int) -> None:
        """See `RunObserver`."""
        self.decisions[number - 1] = decision, now_ms


def requests_of(scene: Scene, many: int, seed: int) -> list[Request]:
    """Draw requests: Poisson in each lane, at a rate that changes every minute; the time allowed is log-uniform."""
    chance = Random(f"deadlines/{seed}")
    shortest, longest = map(math.log, _ALLOWED_MS)
    parts = {lane: part * _TOKENS_PER_MINUTE / MINUTE_MS / (sum(size) / 2) for lane, (part, size) in _LANES.items()}
    lanes, weights = list(parts), list(parts.values())
    made: list[Request] = []
    at_ms, load, changes_ms = 0.0, chance.uniform(*scene.load), _STRETCH_MS
    while len(made) < many:
        at_ms += chance.expovariate(load * sum(weights))
        if at_ms >= changes_ms:
            load, changes_ms = chance.uniform(*scene.load), changes_ms + _STRETCH_MS
        (lane,) = chance.choices(lanes, weights)
        deadline_ms = int(at_ms + math.exp(chance.uniform(shortest, longest)))
        made.append(Request(int(at_ms), lane, chance.randint(*_LANES[lane][1]), deadline_ms=deadline_ms))
    return made


def measure(scene: Scene, many: int = MANY, seed: int = 1) -> Finding:
    """Measure one row."""
    requests = requests_of(scene, many, seed)
    ideal, choosing = (_ideal(requests, seed, choosing=each) for each in (False, True))
    ends, calls = _played(requests, seed)
    answered = {number for number, (decision, _) in ends.decisions.items() if isinstance(decision, Complete)}
    in_vain = sum(requests[call.number].tokens for call in calls if call.number not in answered)
    expired = sum(call.at_us / 1_000 > requests[call.number].deadline_ms + _WAY_MS for call in calls)
    told = Told(requests, calls, {number: at_ms for number, (_, at_ms) in ends.decisions.items()})
    never_called = sorted(ends.decisions.keys() - {call.number for call in calls})
    drawn = Random(seed).sample(never_called, k=min(_DRAWN, len(never_called)))
    missed = len(ideal.keys() - answered) / len(ideal)
    checks = [
        Check("missed of those that an omniscient scheduler meets", missed, "%", most=scene.within),
        Check("answered, relative to the omniscient scheduler", len(answered) / len(ideal), "%", least=1 - MISSED),
        Check("called after their deadline", expired, "", most=0.0),
        Check("failed later than provable", sum(map(told.late, drawn)), f"of {len(drawn)}", most=0.0),
        Check("failed early without proof", sum(map(told.early, drawn)), f"of {len(drawn)}", most=0.0),
        Check("answered in time", len(answered) / many, "%"),
        Check("in time by the omniscient scheduler", len(ideal) / many, "%"),
        Check("in time by one that also gives up the largest", len(choosing) / many, "%"),
        Check("paid in vain", in_vain / sum(requests[call.number].tokens for call in calls), "%"),
    ]
    reasons = Counter(decision.reason for decision, _ in ends.decisions.values() if isinstance(decision, Fail))
    title = f"{many:,} deadlines at random, {scene.title}"
    return Finding(scene.name, title, "virtual", checks, "", {"failed": reasons})


class Told:
    """When each miss was reported, and when it could be proved: computed a second time, from the simulator's books.

    Before a request come those of its lane with nearer deadlines, and if it has less time left than calls take, all
    that have more. The tokens for them are those in the bucket and those that flow in until the deadline.
    """

    def __init__(self, requests: Sequence[Request], calls: Sequence[Call], settled_ms: Mapping[int, int]) -> None:
        self._requests, self._settled_ms = requests, settled_ms
        self._levels = list(_levels(requests, calls))
        first = {call.number: call.at_us / 1_000 for call in reversed(calls)}
        self._waits: dict[str, list[tuple[Request, float]]] = {lane: [] for lane in _LANES}
        for number, request in enumerate(requests):
            self._waits[request.lane].append((request, first.get(number, settled_ms[number])))

    def late(self, number: int) -> bool:
        """Return whether the miss was certain long before it was reported."""
        at_ms = self._settled_ms[number] - SAID_WITHIN_MS
        return at_ms > self._requests[number].at_ms and self._missing(number, at_ms, *_LONG_MS) > _SLACK

    def early(self, number: int) -> bool:
        """Return whether the miss was reported before its deadline without being certain."""
        committed_ms = self._settled_ms[number]
        if committed_ms - _COMMITTED_MS >= self._requests[number].deadline_ms:
            return False
        between_ms = (committed_ms - _COMMITTED_MS, committed_ms)  # the decision was made between these
        return all(self._missing(number, at_ms, *reversed(_LONG_MS)) < -_SLACK for at_ms in between_ms)

    def _missing(self, number: int, at_ms: float, own_ms: float, others_ms: float) -> float:
        """Return how many tokens are missing for its turn; its own call takes `own_ms`, and others `others_ms`."""
        own = self._requests[number]
        is_late = _late_ms(own, own_ms) <= at_ms
        ahead = sum(
            other.tokens
            for other, until_ms in self._waits[own.lane]
            if other.at_ms <= at_ms < until_ms
            and _late_ms(other, others_ms) > at_ms
            and (is_late or other.deadline_ms < own.deadline_ms)
        )
        place = bisect_right(self._levels, (at_ms, math.inf)) - 1
        since_ms, level = self._levels[place]
        level = min(_TOKENS_PER_MINUTE, level + (at_ms - since_ms) * _PER_MS)
        return ahead + own.tokens - level - (own.deadline_ms - at_ms) * _PER_MS


def _late_ms(request: Request, call_ms: float) -> float:
    """Return from when on its time left is less than such a call takes, or than three quarters of what it had."""
    return request.deadline_ms - min(call_ms, (request.deadline_ms - request.at_ms) * 3 / 4)


def _levels(requests: Sequence[Request], calls: Sequence[Call]) -> Iterator[tuple[float, float]]:
    """Yield the level of the bucket after each call, and at first."""
    since_ms, level = 0.0, float(_TOKENS_PER_MINUTE)
    yield since_ms, level
    for call in calls:
        at_ms = call.at_us / 1_000
        level = min(_TOKENS_PER_MINUTE, level + (at_ms - since_ms) * _PER_MS)
        level -= requests[call.number].tokens if call.admitted else 0
        since_ms = at_ms
        yield since_ms, level


def _upstream(seed: int, tokens_per_minute: int = _TOKENS_PER_MINUTE) -> UpstreamSettings:
    return UpstreamSettings(tokens_per_minute, requests_per_minute=1_000_000, latency_s=LATENCY_S, seed=seed)


def _ideal(requests: Sequence[Request], seed: int, *, choosing: bool) -> dict[int, int]:
    """Schedule omnisciently; the duration of each call comes from a simulated OpenAI that refuses none."""
    oracle = VirtualUpstream(_upstream(seed, 1 << 50))
    wanted: dict[str, list[omniscient.Wanted]] = {lane: [] for lane in _LANES}
    for number, request in enumerate(requests):
        visit = oracle.arrive(Ask(str(number + 1), MODEL, request.sizes()[1]), 0)
        assert visit.status == 200
        call_ms = visit.ends_us / 1_000
        wanted[request.lane].append(
            omniscient.Wanted(number, request.at_ms, request.tokens, call_ms, request.deadline_ms)
        )
    return omniscient.met(list(wanted.values()), _TOKENS_PER_MINUTE, _TOKENS_PER_MINUTE, choosing=choosing)


def _played(requests: Sequence[Request], seed: int) -> tuple[Ends, Sequence[Call]]:
    ends, upstream = Ends(), Witness(_upstream(seed))
    settings = settings_of(_TOKENS_PER_MINUTE, **_SETTINGS)
    arrivals = [request.arrival(number) for number, request in enumerate(requests)]
    VirtualRun(Stage.of(settings), upstream, arrivals, Times(seed=seed), watcher=ends).finish()
    return ends, upstream.calls


_SETTINGS: Final[dict[str, Any]] = {
    "dispatcher": {"inflight_max": 2_000},
    "lanes": {lane: {**LANE_DEFAULTS[lane], "buffer_max": 20_000} for lane in _LANES},  # all of it is taken
}
