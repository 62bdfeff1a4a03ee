"""Distributions over seeds, the promises of these, and the worst seeds with what they are."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.limiters.paced import Pace
from benchmarks.limiters.play import Played, percentile
from headrace.broker.simulator.behaviours.catalogue import spelled
from headrace.broker.simulator.drawn_server import drawn_server

WORST: Final = 10
LOW: Final = 0.93  # below this share, the best even pace tells what could have been had
REACHED: Final = 0.03
TOLERANCE: Final = 0.000_01


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise: a sentence, what was measured, and whether it is kept."""

    sentence: str
    measured: str
    kept: bool


def promises(played: Sequence[Played]) -> list[Promise]:
    """Return every promise with its figure."""
    shares = sorted(each.share for each in played)
    refused = sorted(each.refused_per_1000 for each in played)
    beyond_s = sorted(each.urgent_p95_s - each.ideal_p95_s for each in played)
    late = sorted(each.urgent_p95_s - (2 * each.ideal_p95_s + 1) for each in played)
    exact = [each for each in played if each.tells_all]
    exact_refused = sorted(each.refused_per_1000 for each in exact)
    made = [
        _least("share of the ideal, median", percentile(shares, 50), 0.97),
        _least("share of the ideal, 5th percentile", percentile(shares, 5), 0.93),
        _least("share of the ideal, worst", shares[0], 0.80),
        _most("429s per 1,000 calls, median", percentile(refused, 50), 1),
        _most("429s per 1,000 calls, 95th percentile", percentile(refused, 95), 10),
        _most("urgent p95 beyond the ideal's in s, median", percentile(beyond_s, 50), 0.25),
        _most("urgent p95 beyond twice the ideal's and 1 s, 95th percentile", percentile(late, 95), 0),
    ]
    if exact:
        made += [
            _least("where all is told: share, median", percentile(sorted(each.share for each in exact), 50), 0.98),
            _most("where all is told: 429s, median", percentile(exact_refused, 50), 1),
        ]
    return made


def beside_pace(played: Sequence[Played], paces: Mapping[int, Pace]) -> str:
    """Return in a sentence how the worst stand beside the best even pace."""
    below = [each for each in played if each.seed in paces]
    reached = sum(each.share >= paces[each.seed].share - REACHED for each in below)
    shares = sorted(paces[each.seed].share for each in below)
    return (
        f"{len(below)} of {len(played)} servers are below {LOW:.0%}. The best even pace, chosen in hindsight, gets "
        f"{percentile(shares, 50):.1%} of the ideal there in the median, {percentile(shares, 5):.1%} at the 5th "
        f"percentile; {reached} of them get as much, or within {100 * REACHED:.0f} points."
    )


def worst(played: Sequence[Played], count: int = WORST) -> list[Played]:
    """Return the seeds that fall farthest short, by share and by refusals."""
    return sorted(played, key=lambda each: each.share - each.refused_per_1000 / 1_000)[:count]


def line(each: Played, pace: Pace | None = None) -> str:
    """Return the row of one seed, with the server that it is, and the best even pace."""
    server = drawn_server(each.seed)
    plays = " ".join(f"--behaviour {spelled(played)}" for played in server.behaviours)
    return (
        f"random:{each.seed:<7} {100 * each.share:5.1f} {'' if pace is None else f'{100 * pace.share:.1f}':>5} "
        f"{each.refused_per_1000:7.1f} {each.first_refused:5} "
        f"{each.urgent_p95_s:7.2f} {each.ideal_p95_s:7.2f} {each.calls:6} {'all' if each.tells_all else '':3} "
        f"{server.tokens_per_minute:7} {plays}"
    )


HEAD: Final = "server         share  pace    429s first  urgent   ideal  calls told  tokens what it plays"
LEGEND: Final = """\
share: tokens charged after the first minute, in % of what an omniscient dispatcher gets from the same state; pace: the
same of the best even pace, chosen in hindsight, with at most 10 429s for 1,000 calls;
429s: for 1,000 calls admitted, after the first minute; first: how many in it; urgent, ideal: 95th percentile of the
wait of an urgent call in seconds, here and of the omniscient dispatcher; told: every limit is stated exactly."""


def as_json(played: Sequence[Played], paces: Mapping[int, Pace]) -> dict[str, Any]:
    """Return all figures."""
    return {
        "paces": {seed: asdict(pace) for seed, pace in paces.items()},
        "promises": [asdict(promise) for promise in promises(played)],
        "seeds": [figures(each) for each in played],
    }


def figures(each: Played) -> dict[str, Any]:
    """Return the figures of one seed."""
    return asdict(each) | {"refused_per_1000": round(each.refused_per_1000, 3)}


def _least(sentence: str, measured: float, least: float) -> Promise:
    return Promise(f"{sentence} (at least {least:g})", f"{measured:.4f}", measured >= least - TOLERANCE)


def _most(sentence: str, measured: float, most: float) -> Promise:
    return Promise(f"{sentence} (at most {most:g})", f"{measured:.3f}", measured <= most + TOLERANCE)
