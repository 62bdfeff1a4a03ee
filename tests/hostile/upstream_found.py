"""What a run before a hostile upstream has found, and how a person is told."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass(slots=True)
class Found:
    """What was measured, and every promise that was broken."""

    broken: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    ends: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    good_s: dict[str, list[float]] = field(default_factory=lambda: {"baseline": [], "hostile": []})
    lag_s: float = 0.0
    slowest_s: float = 0.0
    grown_mib: float = 0.0
    served: int = 0
    late: Counter[str] = field(default_factory=Counter)
    starved: float = 0.0
    cost: float = 0.0
    judged: bool = True

    def breaks(self, promise: str, example: str) -> None:
        """A promise was broken, and how."""
        self.broken[promise] += 1
        self.examples.setdefault(promise, example)

    def p95_s(self, phase: str) -> float:
        """The good requests' 95th percentile."""
        taken = sorted(self.good_s[phase])
        return taken[len(taken) * 95 // 100] if taken else 0.0


def told(found: Found) -> str:
    """The summary for a person."""
    lines = [f"{'kind':<32} ends"]
    lines += [f"{kind:<32} {dict(ends)}" for kind, ends in sorted(found.ends.items())]
    lines += [
        f"odd answers: {found.served}; good requests: {len(found.good_s['hostile'])}, p95"
        f" {found.p95_s('hostile') * 1_000:.0f} ms, alone {found.p95_s('baseline') * 1_000:.0f} ms",
        f"the loop stood still for {found.lag_s * 1_000:.0f} ms at most; the longest call took {found.slowest_s:.1f} s;"
        f" memory grew by {found.grown_mib:.0f} MiB",
        f"an odd request took {found.cost:.1f} times the processor time of a good one",
        f"for {found.starved:.0%} of the time other work had the processors while this was ready to run",
    ]
    lines += [
        f"BROKEN {count} times: {promise}; one: {found.examples[promise]}" for promise, count in found.broken.items()
    ]
    if not found.broken:
        lines.append("every promise was kept" + ", BUT THOSE OF TIMES COULD NOT BE JUDGED" * (not found.judged))
    return "\n".join(lines)
