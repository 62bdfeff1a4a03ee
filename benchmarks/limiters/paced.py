"""The best even pace: what a sender gets that knows one rate, chosen in hindsight, and nothing else of a server.

It sends calls, or tokens, evenly, from the first second to the last, and is told only whether each was admitted.
Where it gets little, windows are short for the calls that fit them, or others spend beside it: more can be had only by
knowing when windows begin and when others come.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from benchmarks.limiters.ideal import Charge, Ideal
from benchmarks.limiters.play import (
    Call,
    Played,
    bursts_of,
    calls_of,
    end_of,
    limits_of,
    measured,
    price_of,
    tightest_rate,
)
from headrace.broker.simulator.admission import MINUTE_US
from headrace.broker.simulator.drawn_server import DrawnServer, drawn_server

PARTS: Final = (1, 0.98, 0.95, 0.92, 0.88, 0.84, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3, 0.2)
"""The rates that are tried, in parts of the one that the tightest window allows."""
REFUSED_MAX: Final = 10  # for 1,000 calls
HOPELESS: Final = 0.05  # no rate so much below the best share gets more


@dataclass(frozen=True, slots=True)
class Pace:
    """The best even pace of one server.

    Attributes:
        share: Tokens charged after the first minute, of what the omniscient dispatcher is charged.
        refused_per_1000: 429s for 1,000 calls.
        of_calls: Calls are sent evenly, and not tokens.
    """

    share: float
    refused_per_1000: float
    of_calls: bool


def best_pace(seed: int) -> Pace:
    """Return the best even pace of a seed's server; a share of 0 if each is refused too often."""
    server = drawn_server(seed)
    calls = calls_of(server)
    best = Pace(0.0, 0.0, of_calls=False)
    for of_calls in (False, True):
        for part in PARTS:
            if part < best.share - HOPELESS:
                break
            played = _play(server, calls, part, of_calls=of_calls)
            if played.refused_per_1000 <= REFUSED_MAX and played.share > best.share:
                best = Pace(played.share, played.refused_per_1000, of_calls)
    return best


def _play(server: DrawnServer, calls: list[Call], part: float, *, of_calls: bool) -> Played:
    """Send bulk calls at a part of the rate that the tightest window allows; a refused one comes again in its turn."""
    end_us, price = end_of(server), price_of(server, calls)
    bulk = [number for number, call in enumerate(calls) if call.lane == "bulk"]
    takes: Callable[[Charge], float] = (lambda _: 1.0) if of_calls else (lambda charge: float(charge.tokens))
    sample = [price(number, 0) for number in bulk[:200]]
    per_minute = part * tightest_rate(server, sample) * fmean(map(takes, sample))
    account = Ideal(limits_of(server), 0, bursts_of(server, 0, end_us))
    admitted: list[tuple[int, int]] = []
    refused: list[int] = []
    at_us = 0.0
    while at_us <= end_us and len(admitted) < len(bulk):
        number, now_us = bulk[len(admitted)], int(at_us)
        charge = price(number, now_us)
        if account.admits(now_us, charge):
            admitted.append((now_us, number))
        else:
            refused.append(now_us)
        at_us += takes(charge) * MINUTE_US / per_minute
    return measured(server, calls, admitted, refused, end_us)
