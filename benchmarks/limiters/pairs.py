"""The figures of a seed over HTTP and in virtual time, as lines and for machines; and whether they agree."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.limiters.play import Played
from benchmarks.limiters.report import TOLERANCE, Promise, figures

POINTS_MAX: Final = 2.0
LATE_P99_MS: Final = 20.0
LATE_MS: Final = 500.0
"""Longest delays of an undisturbed play. On a busy machine plays stood still for half a minute, and p99 was 68 ms."""
HEAD: Final = """\
               share of the ideal in %            429s per 1,000   urgent p95, s   calls   late, ms
server          HTTP  virt range         apart     HTTP   virt     HTTP   virt     HTTP   p99   max  measure it again"""
LEGEND: Final = """\
share: after the first minute; virt: in virtual time, by the seed itself; range: by it and others, which decide
delays and the core's chance; apart: points of HTTP outside the range; urgent: 95th percentile of the wait in seconds;
late: how late the server's event loop woke. With a p99 above 20 ms or a maximum above 500 ms the machine was too busy
for the play to count."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The figures of one seed over HTTP and in virtual time: the same calls in the same span.

    Attributes:
        http: Over HTTP.
        virtual: In virtual time, by the seed itself.
        by_other_seeds: The same with other delays and another chance of the core.
        late_p99_ms: The 99th percentile of the delays of the server's event loop, over HTTP.
        late_max_ms: The longest of them.
    """

    http: Played
    virtual: Played
    by_other_seeds: Sequence[Played]
    late_p99_ms: float
    late_max_ms: float

    @property
    def points(self) -> float:
        """Share over HTTP less the share in virtual time, in per cent of the ideal."""
        return 100 * (self.http.share - self.virtual.share)

    @property
    def is_disturbed(self) -> bool:
        """Whether the machine had too much to do for the play to count."""
        return self.late_p99_ms > LATE_P99_MS or self.late_max_ms > LATE_MS

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest share in virtual time."""
        shares = [each.share for each in (self.virtual, *self.by_other_seeds)]
        return min(shares), max(shares)

    @property
    def apart(self) -> float:
        """Points of the share over HTTP below (negative) or above the range of virtual time; 0 within it."""
        lowest, highest = self.range
        return 100 * (min(0.0, self.http.share - lowest) + max(0.0, self.http.share - highest))


def line(pair: Pair) -> str:
    """Return the row of a pair."""
    http, virtual, (lowest, highest) = pair.http, pair.virtual, pair.range
    return (
        f"random:{http.seed:<7} {100 * http.share:5.1f} {100 * virtual.share:5.1f} "
        f"{f'{100 * lowest:.1f}-{100 * highest:.1f}':13} {pair.apart:+5.1f}   "
        f"{http.refused_per_1000:6.1f} {virtual.refused_per_1000:6.1f}   {http.urgent_p95_s:6.2f} "
        f"{virtual.urgent_p95_s:6.2f}   {http.calls:6} {pair.late_p99_ms:5.0f} {pair.late_max_ms:5.0f}  "
        f"make bench-limiters-http ONLY={http.seed}"
    )


def agreement(pairs: Sequence[Pair]) -> Promise:
    """Return the promise that shares over HTTP are those of virtual time; disturbed plays show nothing of it."""
    counted = [pair for pair in pairs if not pair.is_disturbed]
    farthest = max((abs(pair.apart) for pair in counted), default=0.0)
    near = sum(abs(pair.points) <= POINTS_MAX for pair in counted)
    sentence = (
        f"points outside the range of virtual time, farthest of {len(counted)} servers (at most {POINTS_MAX:g}); "
        f"{near} are as near to the play by their own seed"
    )
    if len(counted) < len(pairs):
        sentence += f"; {len(pairs) - len(counted)} do not count, since the machine was too busy"
    return Promise(sentence, f"{farthest:.2f}", bool(counted) and farthest <= POINTS_MAX + TOLERANCE)


def pairs_as_json(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return all figures."""
    return {
        "promises": [asdict(agreement(pairs))],
        "seeds": [
            {
                "seed": pair.http.seed,
                "points": round(pair.points, 3),
                "apart": round(pair.apart, 3),
                "late_p99_ms": pair.late_p99_ms,
                "late_max_ms": pair.late_max_ms,
                "http": figures(pair.http),
                "virtual": figures(pair.virtual),
                "by_other_seeds": [figures(each) for each in pair.by_other_seeds],
            }
            for pair in pairs
        ],
    }
