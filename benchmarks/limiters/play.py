"""One seed: its server, its calls, what the dispatcher got of it, and what the omniscient one would have got."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import fmean
from typing import Final

from benchmarks.limiters.ideal import Charge, CountedLimit, Ideal
from benchmarks.limits.calls import Asked, drawn_call
from benchmarks.limits.oracle import Burst, Kind, Limit
from headrace.broker.planner.arrivals import Arrival, chat_sizes
from headrace.broker.planner.engine import VirtualRun
from headrace.broker.planner.stage import Stage, Times
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.admission import MINUTE_US, SECOND_US, Metric
from headrace.broker.simulator.behaviours import enforcement, profiles
from headrace.broker.simulator.drawn_server import DrawnServer, drawn_server
from headrace.broker.simulator.foreign import ForeignClient
from headrace.broker.simulator.pricing import ChatLaw, Endpoint, charge_at, settlement_of
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.virtual import Ask, VirtualUpstream, Visit

MODEL: Final = "gpt-4o-mini"
SPAN_S: Final = 360
FIRST_S: Final = 60
URGENT_PART: Final = 0.1
INFLIGHT_MAX: Final = 4_000
KNOWN: Final = 0.7
"""How often the operator writes the limits of a minute where headers state them."""
WAY_MS: Final = (2.0, 40.0)
COMMIT_MS: Final = 12.0
_CALLS_MAX: Final = 40_000
_STORM: Final = 5_000
_LOOK_MS: Final = 250
_KINDS: Final = {
    enforcement.Kind.BUCKET: Kind.BUCKET,
    enforcement.Kind.FIXED: Kind.FIXED,
    enforcement.Kind.SLIDING: Kind.SLIDING,
    enforcement.Kind.TWO: Kind.TWO,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its arrival in milliseconds, its lane, and what it asks."""

    at_ms: int
    lane: str
    asked: Asked


@dataclass(frozen=True, slots=True)
class Played:
    """The figures of one seed, of the time after the first minute.

    Attributes:
        seed: Of the server and its calls.
        share: Tokens charged, of what the omniscient dispatcher is charged from the same state in the same time.
        refused: 429s.
        calls: Calls admitted.
        first_refused: 429s of the first minute.
        urgent_p95_s: Of the waits of urgent calls from arrival to admission.
        ideal_p95_s: The same of the omniscient dispatcher.
        tells_all: The server states every limit exactly.
    """

    seed: int
    share: float
    refused: int
    calls: int
    first_refused: int
    urgent_p95_s: float
    ideal_p95_s: float
    tells_all: bool

    @property
    def refused_per_1000(self) -> float:
        """429s for 1,000 calls admitted."""
        return self.refused * 1_000 / max(1, self.calls)


@dataclass(slots=True)
class _Witness:
    """What the server admitted and refused; instants are microseconds, numbers those of calls."""

    admitted: list[tuple[int, int]] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)


class _Server(VirtualUpstream):
    def __init__(self, settings: UpstreamSettings) -> None:
        super().__init__(settings)
        self.record = _Witness()

    def arrive(self, ask: Ask, now_us: int) -> Visit:
        visit = super().arrive(ask, now_us)
        if visit.status == 429:
            self.record.refused.append(now_us)
        else:
            self.record.admitted.append((now_us, number_of(ask.id)))
        return visit


def play(seed: int) -> Played:
    """Play a seed."""
    server = drawn_server(seed)
    return play_calls(server, calls_of(server), end_of(server))


def play_calls(server: DrawnServer, calls: Sequence[Call], end_us: int, random_seed: int | None = None) -> Played:
    """Play these calls against a server until an instant; `random_seed` is that of delays and of the core's chance."""
    upstream = _Server(upstream_of(server))
    arrivals = [_arrival(number, call) for number, call in enumerate(calls)]
    stage = Stage.of(operator_settings(server))
    run = VirtualRun(
        stage,
        upstream,
        arrivals,
        Times(way_ms=WAY_MS, commit_ms=COMMIT_MS, seed=server.seed if random_seed is None else random_seed),
    )
    record = upstream.record
    while run.now_ms < end_us // 1_000 and not is_storm(len(record.refused), len(record.admitted)):
        if run.advance(min(run.now_ms + _LOOK_MS, end_us // 1_000)):
            break
    return measured(server, calls, record.admitted, record.refused, end_us)


def is_storm(refused: int, admitted: int) -> bool:
    """Return whether refusals are a storm, at which a play ends."""
    return refused >= _STORM + 5 * admitted


def measured(
    server: DrawnServer, calls: Sequence[Call], admitted: Sequence[tuple[int, int]], refused: Sequence[int], end_us: int
) -> Played:
    """Return the figures of a record: instants and numbers of admitted calls, and instants of 429s."""
    start_us = admitted[0][0] if admitted else 0
    split_us = start_us + FIRST_S * SECOND_US
    price = price_of(server, calls)
    bulk = [number for number, call in enumerate(calls) if call.lane == "bulk"]
    urgent = [(call.at_ms * 1_000, number) for number, call in enumerate(calls) if call.lane == "urgent"]
    later = Ideal(limits_of(server), 0, bursts_of(server, start_us, end_us))
    gained, before = 0, 0
    for at_us, number in admitted:
        charge = price(number, at_us)
        if at_us <= split_us:
            later.replay(at_us, charge)
            before += 1
        elif at_us <= end_us:
            gained += charge.tokens
    ideal_tokens, _ = later.serve(
        lambda place, now_us: price(bulk[(before + place) % len(bulk)], now_us),
        [(at_us, _priced(price, number)) for at_us, number in urgent if at_us > split_us],
        end_us,
    )
    whole = Ideal(limits_of(server), 0, bursts_of(server, start_us, end_us))
    asked = [(at_us, _priced(price, number)) for at_us, number in urgent if at_us <= end_us]
    _, ideal_waits = whole.serve(lambda place, now_us: price(bulk[place % len(bulk)], now_us), asked, end_us)
    came = {number: at_us for at_us, number in reversed(admitted)}
    early = sum(1 for at_us, _ in asked if at_us <= split_us)
    waits = [came.get(number, end_us) - at_us for at_us, number in urgent if split_us < at_us <= end_us]
    return Played(
        seed=server.seed,
        share=gained / max(1, ideal_tokens),
        refused=sum(split_us < at_us <= end_us for at_us in refused),
        calls=sum(split_us < at_us <= end_us for at_us, _ in admitted),
        first_refused=sum(at_us <= split_us for at_us in refused),
        urgent_p95_s=percentile(sorted(waits), 95) / SECOND_US,
        ideal_p95_s=percentile(sorted(ideal_waits[early:]), 95) / SECOND_US,
        tells_all=server.tells_all,
    )


def upstream_of(server: DrawnServer) -> UpstreamSettings:
    """Return the settings of the simulated server."""
    return UpstreamSettings(
        tokens_per_minute=server.tokens_per_minute,
        requests_per_minute=server.requests_per_minute,
        behaviours=server.behaviours,
        seed=server.seed,
    )


def operator_settings(server: DrawnServer) -> Settings:
    """Return what an operator would write: the limits of a minute or nothing, where headers state them."""
    silent = any(isinstance(each, profiles.NoHeaders | profiles.AzureUnlimited) for each in server.behaviours)
    limit: dict[str, object] = {"models": [MODEL]}
    if silent or Random(f"operator/{server.seed}").random() < KNOWN:
        limit["tokens_per_minute"] = server.tokens_per_minute
        counted = [each for each in _windows(server) if each.shown and each.counts is Metric.REQUESTS]
        if counted:
            limit["requests_per_minute"] = server.requests_per_minute
    return Settings.model_validate({"limits": {MODEL: limit}, "dispatcher": {"inflight_max": INFLIGHT_MAX}})


def calls_of(server: DrawnServer, span_s: int = SPAN_S) -> list[Call]:
    """Return bulk for longer than the run, whatever law is in force, and urgent calls for a tenth of the quota."""
    chance = Random(f"calls/{server.seed}")
    sample = [_call(chance, 0, "bulk") for _ in range(400)]
    price = price_of(server, sample)
    input_tokens = fmean(price(number, 0).input_tokens for number in range(len(sample)))
    starts = [
        0,
        *(round(each.from_s * SECOND_US) for each in server.behaviours if isinstance(each, enforcement.ChargeLaw)),
    ]
    means = [fmean(price(number, at_us).tokens for number in range(len(sample))) for at_us in starts]
    per_minute, burst = _rate_of(server, min(means), input_tokens)
    count = min(_CALLS_MAX, round(1.15 * (per_minute * span_s / 60 + burst)) + 20)
    per_minute, _ = _rate_of(server, means[0], input_tokens)
    calls = [_call(chance, 0, "bulk") for _ in range(count)]
    at_ms = chance.expovariate(per_minute * URGENT_PART / 60_000)
    while at_ms < span_s * 1_000:
        calls.append(_call(chance, int(at_ms), "urgent"))
        at_ms += chance.expovariate(per_minute * URGENT_PART / 60_000)
    return calls


def id_of(number: int) -> str:
    """Return the id of the call of a number; the records of simulated servers have the number."""
    return f"call-{number + 1}"


def number_of(call_id: str) -> int:
    """Return the number of the call of an id, of HTTP or of virtual time."""
    return int(call_id.rpartition("-")[2]) - 1


def tightest_rate(server: DrawnServer, charges: Sequence[Charge]) -> float:
    """Return the calls a minute, like those of these charges, that the tightest short window allows."""
    tokens, input_tokens = (fmean(column) for column in zip(*charges, strict=True))
    return _rate_of(server, tokens, input_tokens)[0]


def _rate_of(server: DrawnServer, tokens: float, input_tokens: float) -> tuple[float, float]:
    """Return the calls a minute that the tightest short window allows, and those that all may allow at once."""
    rates, bursts = [], []
    for window in _windows(server):
        counts_requests = window.counts is Metric.REQUESTS
        per_minute = server.requests_per_minute if counts_requests else server.tokens_per_minute
        cost = 1.0 if counts_requests else tokens
        if window.counts is Metric.INPUT_TOKENS:
            cost = input_tokens * (1 - window.cached)
        rates.append(per_minute * window.factor / cost if window.seconds <= 60 else float("inf"))
        bursts.append(per_minute * window.factor * window.seconds / 60 / cost)
    return min(rates), min(bursts)


def _call(chance: Random, at_ms: int, lane: str) -> Call:
    return Call(at_ms, lane, drawn_call(chance, lane))


def _arrival(number: int, call: Call) -> Arrival:
    asked = call.asked
    size, sized = chat_sizes(asked.text_bytes, answer_max=asked.answer_max)
    return Arrival(call.at_ms, call.lane, MODEL, size, sized, partition=number, output_tokens=asked.output_tokens)


def price_of(server: DrawnServer, calls: Sequence[Call]) -> Callable[[int, int], Charge]:
    """Return the charge of the call of a number at an instant; what is settled at its end is charged with the rest."""
    laws = [(0, ChatLaw.CHAT_2025)]
    factor = 1.0
    for played in server.behaviours:
        if isinstance(played, enforcement.ChargeLaw):
            laws.append((round(played.from_s * SECOND_US), played.law))
        elif isinstance(played, enforcement.ChargeFactor):
            factor = played.factor
    laws.sort(key=lambda entry: entry[0])
    known: dict[tuple[int, ChatLaw], Charge] = {}

    def price(number: int, now_us: int) -> Charge:
        law = [law for from_us, law in laws if from_us <= now_us][-1]
        charge = known.get((number, law))
        if charge is None:
            asked = calls[number].asked
            size = asked.size
            tokens = _scaled(charge_at(Endpoint.CHAT, size, law), factor)
            tokens += _scaled(settlement_of(Endpoint.CHAT, size, asked.output_tokens, law), factor)
            charge = known[number, law] = Charge(tokens, size.input_tokens)
        return charge

    return price


def limits_of(server: DrawnServer) -> list[CountedLimit]:
    """Return the limits as the omniscient dispatcher takes them."""
    limits = []
    for window in _windows(server):
        requests = window.counts is Metric.REQUESTS
        per_minute = server.requests_per_minute if requests else server.tokens_per_minute
        period_us = round(window.seconds * SECOND_US)
        per_period = max(1, round(per_minute * window.factor * period_us / MINUTE_US))
        mark_us = -round(window.mark_s * SECOND_US)
        limit = Limit(_KINDS[window.kind], str(window.counts), per_period, period_us, period_us, mark_us)
        limits.append(CountedLimit(limit, 1 - window.cached))
    return limits


def bursts_of(server: DrawnServer, first_us: int, end_us: int) -> list[Burst]:
    """Return the calls of other clients, drawn as the simulator draws them."""
    bursts = []
    for number, played in enumerate(server.behaviours):
        if isinstance(played, enforcement.Foreign):
            client = ForeignClient(played, server.tokens_per_minute, f"{server.seed}//{number}", 0)
            at_us = client.next_us(first_us)
            while at_us is not None and at_us <= end_us:
                bursts.append(Burst(at_us, client.tokens, client.requests, client.insists))
                at_us = client.next_us(at_us)
    return bursts


def end_of(server: DrawnServer, span_s: int = SPAN_S) -> int:
    """Return when the run ends, in microseconds: just before a window of a minute begins, if there is one."""
    for window in _windows(server):
        if window.kind is enforcement.Kind.FIXED and window.seconds == 60:
            return span_s * SECOND_US - round(window.mark_s * SECOND_US) - 1
    return span_s * SECOND_US


def _windows(server: DrawnServer) -> list[enforcement.EnforcedWindow]:
    return [played for played in server.behaviours if isinstance(played, enforcement.EnforcedWindow)]


def _priced(price: Callable[[int, int], Charge], number: int) -> Callable[[int], Charge]:
    return lambda now_us: price(number, now_us)


def _scaled(tokens: int, factor: float) -> int:
    return tokens if factor == 1.0 or not tokens else max(1, round(tokens * factor))


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the value below which that part lies; 0 where there is none."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0
