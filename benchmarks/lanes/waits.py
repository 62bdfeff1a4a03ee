"""Waits of urgent requests while bulk takes all that is left, over many seeds, beside a single queue."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Final

from benchmarks.lanes.findings import Check, Finding, quantile
from benchmarks.lanes.played import ONE_LANE, Played, play, settings_of
from benchmarks.lanes.traffic import URGENT, Mix
from headrace.broker.settings.whole import Settings

P95_MS: Final = 250.0
P99_MS: Final = 500.0
SHARE: Final = 0.98


@dataclass(frozen=True, slots=True)
class Scene:
    """One kind of quota and of requests."""

    name: str
    title: str
    mix: Mix = field(default_factory=Mix)
    behaviours: tuple[str, ...] = ()


SCENES: Final = (
    Scene("urgent-minute", "a bucket of a minute, 10 % urgent, bulk takes the rest"),
    Scene("urgent-6s", "the same, in buckets of 6 s", behaviours=("bucket-6s",)),
    Scene("urgent-20x", "the same as the first, bulk requests 20 times as large", Mix(bulk_tokens=(2_000, 6_000))),
)


def measure(scene: Scene, seeds: int) -> Finding:
    """Measure one row: the worst and the median over the seeds."""
    settings = settings_of(scene.mix.tokens_per_minute)
    runs = [_played(scene, settings, seed) for seed in range(1, seeds + 1)]
    waits = [run.waits_ms(URGENT) for run in runs]
    p95, p99 = ([quantile(each, part) for each in waits] for part in (0.95, 0.99))
    shares = [run.share for run in runs]
    checks = [
        Check("worst p95", max(p95), "ms", most=P95_MS),
        Check("worst p99", max(p99), "ms", most=P99_MS),
        Check("least used", min(shares), "%", least=SHARE),
        Check("median p95", median(p95), "ms"),
        Check("median p99", median(p99), "ms"),
        Check("median used", median(shares), "%"),
    ]
    notes = {
        "seeds": seeds,
        "urgent": sum(map(len, waits)),
        "longest_ms": round(max(map(max, waits))),
        "refused": sum(run.refused for run in runs),
        "seeds_missing": sum(
            one > P95_MS or two > P99_MS or share < SHARE for one, two, share in zip(p95, p99, shares, strict=True)
        ),
    }
    return Finding(scene.name, f"{scene.title}; {seeds} seeds", "virtual", checks, _rival(scene, seeds), notes)


def _rival(scene: Scene, seeds: int) -> str:
    """Play the same requests in a single lane."""
    settings = settings_of(scene.mix.tokens_per_minute, lanes=ONE_LANE)
    runs = [_played(scene, settings, seed) for seed in range(1, min(seeds, RIVAL_SEEDS) + 1)]
    return f"one queue: {fifo_words(runs)}"


RIVAL_SEEDS: Final = 3


def fifo_words(runs: Sequence[Played]) -> str:
    """Describe the result of a single queue."""
    waits = [wait for run in runs for wait in run.waits_ms(URGENT)]
    return (
        f"median {quantile(waits, 0.5) / 1_000:,.0f} s, p99 above {quantile(waits, 0.99) / 1_000:,.0f} s, "
        f"used {min(run.share for run in runs):.1%}"
    )


def _played(scene: Scene, settings: Settings, seed: int) -> Played:
    mix = replace(scene.mix, seed=seed)
    return play(mix.requests(), settings, mix.span_ms, behaviours=scene.behaviours, seed=seed)
