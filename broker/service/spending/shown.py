"""What `/status` says of tokens and money: the present hour, the one before, and 25 hours, by each kind of name."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from headrace.broker.clock import WallClock
from headrace.broker.service.spending.bookkeeping import Bookkeeping
from headrace.broker.service.spending.follower import SpendingFollower
from headrace.broker.spending.sizes import quantile
from headrace.broker.spending.sums import NAMED, SpendingSums
from headrace.broker.spending.window import SummedBy, largest
from headrace.schemas.instants import to_wire
from headrace.schemas.money import micro_usd_of
from headrace.schemas.spending import HOUR_S

NAMES_SHOWN: Final = 10
NAME_CHARS_MAX: Final = 100
FRESH_MS: Final = 5_000
"""Age at which sums that have changed are put together anew; a status is asked for each second."""
SPANS: Final[Mapping[str, tuple[int, int]]] = {"this_hour": (0, 0), "last_hour": (1, 1), "last_25_hours": (24, 0)}
"""By name: the first hour and the last one, counted back from the present."""


class _KeptSpans(NamedTuple):
    """Spans that were put together at an instant, of a version of the window."""

    hour: int
    version: int
    at_ms: int
    spans: dict[str, Any]


class SpendingShown:
    """Maker of the block `spending` of a status."""

    def __init__(
        self, follower: SpendingFollower | None, bookkeeping: Bookkeeping, clock: WallClock, *, costs_enabled: bool
    ) -> None:
        """`costs_enabled`: this process's outcomes have costs."""
        self._costs_enabled = costs_enabled
        self._follower = follower
        self._bookkeeping = bookkeeping
        self._clock = clock
        self._kept: _KeptSpans | None = None

    def shown(self) -> dict[str, Any]:
        """Return the state of the topic, and the sums of each span."""
        topic = self._bookkeeping.shown()
        if self._follower is None:
            return {"topic": topic}
        window = self._follower.window
        return {
            "topic": topic,
            "costs_enabled": self._costs_enabled,
            "caught_up": self._follower.is_caught_up,
            "unreadable": window.unreadable,
            "too_late": window.too_late,
            **self._spans(self._follower),
        }

    def _spans(self, follower: SpendingFollower) -> dict[str, Any]:
        hour, now_ms = self._clock.utc_ms() // (HOUR_S * 1_000), self._clock.now_ms()
        version, kept = follower.window.version, self._kept
        if kept is not None and kept.hour == hour and (kept.version == version or now_ms - kept.at_ms < FRESH_MS):
            return kept.spans
        spans = {
            name: {"since": _instant(hour - first), **_span(follower.window.summed(hour - first, hour - last))}
            for name, (first, last) in SPANS.items()
        }
        self._kept = _KeptSpans(hour, version, now_ms, spans)
        return spans


def _instant(hour: int) -> str:
    return to_wire(datetime.fromtimestamp(hour * HOUR_S, UTC))


def _span(summed: SummedBy) -> dict[str, Any]:
    by = {kind: {name: figures(sums) for name, sums in _cut(summed.by[kind]).items()} for kind in NAMED}
    return {**figures(summed.everything), "by": by}


def _cut(named: Mapping[str, SpendingSums]) -> Mapping[str, SpendingSums]:
    """Return the largest with their names cut; those that are the same then have one sum."""
    found: dict[str, SpendingSums] = {}
    for name, sums in largest(named, NAMES_SHOWN).items():
        found.setdefault(name[:NAME_CHARS_MAX], SpendingSums()).add_total(sums)
    return found


def figures(sums: SpendingSums) -> dict[str, Any]:
    """Return what is said of some sums, in outcomes, calls, tokens and millionths of a dollar."""
    return {
        "outcomes": sums.outcomes,
        "calls": sums.calls,
        "charge_tokens": sums.charge_tokens,
        "input_tokens": sums.input_tokens,
        "output_tokens": sums.output_tokens,
        "cached_share": None if sums.cached_share is None else round(sums.cached_share, 3),
        "micro_usd": micro_usd_of(sums.pico_usd),
        "unpriced": sums.unpriced,
        "without_cost": sums.without_cost,
        "tokens_mean": None if sums.tokens_mean is None else round(sums.tokens_mean, 1),
        "tokens_p50": quantile(sums.sizes, 0.5),
        "tokens_p95": quantile(sums.sizes, 0.95),
    }
