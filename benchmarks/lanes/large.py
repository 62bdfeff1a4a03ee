"""A request of nearly all that a bucket holds, under a stream of small ones that never ends."""

from dataclasses import replace
from typing import Final

from benchmarks.lanes.findings import Check, Finding
from benchmarks.lanes.played import Played, play, settings_of
from benchmarks.lanes.traffic import BULK, MINUTE_MS, URGENT, Mix, Request

PART: Final = 0.95
REFILL_MS: Final = MINUTE_MS  # of an empty bucket
ALONE_TIMES: Final = 1.10
URGENT_TIMES: Final = 3.0
SHARE: Final = 0.95
TENANT: Final = "large"
_COMES_MS: Final = (MINUTE_MS, 5 * MINUTE_MS)
_MIX: Final = Mix(span_ms=10 * MINUTE_MS)


def measure(seeds: int, *, with_urgent: bool) -> Finding:
    """Measure the longest wait of such requests over the seeds."""
    runs = [_played(seed, with_urgent=with_urgent) for seed in range(1, seeds + 1)]
    waits = [wait for run in runs for wait in _waits_ms(run)]
    most = URGENT_TIMES if with_urgent else ALONE_TIMES
    checks = [
        Check("longest wait, in refills of an empty bucket", max(waits) / REFILL_MS, "times", most=most),
        Check("least used", min(run.share for run in runs), "%", least=SHARE),
        Check("shortest wait", min(waits) / REFILL_MS, "times"),
    ]
    title = f"requests of {PART:.0%} of the capacity, a tenant's of its own, under small ones of the same lane"
    title += ", 10 % urgent" if with_urgent else ", nothing urgent"
    notes = {"seeds": seeds, "waits_s": sorted(round(wait / 1_000, 1) for wait in waits)}
    return Finding("large-urgent" if with_urgent else "large", f"{title}; {seeds} seeds", "virtual", checks, "", notes)


def _played(seed: int, *, with_urgent: bool) -> Played:
    mix = replace(_MIX, seed=seed)
    small = [request for request in mix.requests() if with_urgent or request.lane != URGENT]
    large = [Request(at_ms, BULK, round(PART * mix.tokens_per_minute), TENANT) for at_ms in _COMES_MS]
    requests = sorted([*small, *large], key=lambda request: request.at_ms)
    return play(requests, settings_of(mix.tokens_per_minute), mix.span_ms, seed=seed)


def _waits_ms(run: Played) -> list[float]:
    first = run.first_ms()
    return [
        first.get(number, run.span_ms) - request.at_ms
        for number, request in enumerate(run.requests)
        if request.tenant == TENANT
    ]
