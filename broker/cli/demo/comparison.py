"""The results of the two sides in numbers, and whether Headrace kept its promise."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace.broker.cli.demo.tally import LeadState, LeadTally
from headrace.broker.simulator.accounting import Stats
from headrace.broker.simulator.naive import NaiveReport


@dataclass(frozen=True, slots=True)
class SideResult:
    """Results of one side.

    Attributes:
        leads: The number of leads.
        answered: The number of leads with their e-mail.
        failed: The number of leads that were given up.
        throttled: 429s, by the simulator's books.
        calls: HTTP calls, by the simulator's books.
        charged_tokens: Tokens that the simulator took from its bucket.
        share: `charged_tokens` / (capacity + rate x time from the first admission to the last); None without one.
        elapsed_s: From the start until the last lead was decided.
        urgent: The number of urgent leads.
        urgent_waits_s: From the moment an urgent lead was available to its answer; an unanswered lead has none.
    """

    leads: int
    answered: int
    failed: int
    throttled: int
    calls: int
    charged_tokens: int
    share: float | None
    elapsed_s: float
    urgent: int
    urgent_waits_s: tuple[float, ...]

    @property
    def wait_median_s(self) -> float | None:
        """The median wait of the urgent leads that were answered."""
        return statistics.median(self.urgent_waits_s) if self.urgent_waits_s else None

    @property
    def wait_p95_s(self) -> float | None:
        """The wait that 95 % of them did not exceed, by nearest rank: a wait that was really measured."""
        return nearest_rank(self.urgent_waits_s, 0.95) if self.urgent_waits_s else None

    def as_json(self) -> dict[str, Any]:
        """Return the results for `--json`: seconds and tokens; numbers that do not exist are null."""
        return {
            "answered": self.answered,
            "failed": self.failed,
            "throttled": self.throttled,
            "calls": self.calls,
            "seconds": round(self.elapsed_s, 1),
            "charged_tokens": self.charged_tokens,
            "share": _rounded(self.share, 4),
            "urgent": {
                "leads": self.urgent,
                "answered": len(self.urgent_waits_s),
                "wait_median_s": _rounded(self.wait_median_s, 2),
                "wait_p95_s": _rounded(self.wait_p95_s, 2),
            },
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Results of both sides."""

    naive: SideResult
    headrace: SideResult

    @property
    def kept(self) -> bool:
        """Whether Headrace answered every lead and failed none."""
        return self.headrace.answered == self.headrace.leads and self.headrace.failed == 0


def naive_result(tally: LeadTally, report: NaiveReport, stats: Stats) -> SideResult:
    """Combine the workers' own report with the books."""
    return _result(tally, stats, report.answered, report.failed, report.urgent_waits_s)


def headrace_result(tally: LeadTally, stats: Stats) -> SideResult:
    """Combine what the reader of the results saw with the books."""
    return _result(tally, stats, tally.count(LeadState.ANSWERED), tally.count(LeadState.FAILED), tally.urgent_waits_s)


def nearest_rank(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` that `share` of them do not exceed.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("no value has a rank")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _result(tally: LeadTally, stats: Stats, answered: int, failed: int, waits_s: tuple[float, ...]) -> SideResult:
    return SideResult(
        leads=len(tally.jobs),
        answered=answered,
        failed=failed,
        throttled=stats.throttled,
        calls=stats.calls,
        charged_tokens=stats.charged_tokens,
        share=stats.share,
        elapsed_s=tally.decided_last_s,
        urgent=sum(job.lead.is_urgent for job in tally.jobs),
        urgent_waits_s=waits_s,
    )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
