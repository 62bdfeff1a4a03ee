"""Shares of the lower lanes while urgent requests never end, and of bulk while no other lane has requests."""

from typing import Final

from benchmarks.lanes.findings import Check, Finding
from benchmarks.lanes.played import Played, play, settings_of
from benchmarks.lanes.traffic import BULK, URGENT, Mix, Request

POINTS: Final = 0.02
ALONE: Final = 0.98
_SPAN_MS: Final = 5 * 60_000


def saturated() -> Finding:
    """Measure the row in which all lanes wait all the time."""
    settings = settings_of(60_000)
    lanes = list(settings.lanes)
    run = _played(lanes)
    total = sum(run.tokens(lane) for lane in lanes)
    checks = []
    for lane in lanes:
        share, floor = run.tokens(lane) / total, settings.lanes[lane].floor
        bounds = {"least": floor - POINTS, "most": floor + POINTS} if floor else {}
        checks.append(Check(lane, share, "%", **bounds))
    checks.append(Check("used", run.share, "%"))
    title = "every lane waits all the time: what each gets of the tokens, the lower ones their `floor`; 5 min"
    return Finding("floors", title, "virtual", checks)


def alone() -> Finding:
    """Measure the row in which only bulk waits."""
    run = _played([BULK])
    checks = [Check("bulk's share of all that the limit gave", run.share, "%", least=ALONE)]
    return Finding("bulk-alone", "only bulk waits; 5 min", "virtual", checks)


def _played(lanes: list[str]) -> Played:
    """Play these lanes, each with more requests than the whole quota could serve."""
    one = [request for request in Mix(urgent_part=0.0001, span_ms=_SPAN_MS).requests() if request.lane != URGENT]
    requests = [Request(0, lane, request.tokens) for request in one for lane in lanes]
    return play(requests, settings_of(60_000), _SPAN_MS)
