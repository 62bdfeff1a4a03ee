"""Snapshot of both sides at one instant, for the live view and for the plain line."""

from dataclasses import dataclass

from headrace.broker.cli.demo.inside import Inside
from headrace.broker.cli.demo.tally import LeadState, LeadTally
from headrace.broker.simulator.accounting import Stats


@dataclass(frozen=True, slots=True)
class SideNow:
    """One side; `fates` and `urgent` have one entry for each lead, `come` says which leads are available by now."""

    fates: tuple[LeadState, ...]
    urgent: tuple[bool, ...]
    come: tuple[bool, ...]
    throttled: int
    calls: int
    share: float | None
    urgent_waits_s: tuple[float, ...]

    @property
    def answered(self) -> int:
        """Leads that have their e-mail."""
        return self.fates.count(LeadState.ANSWERED)

    @property
    def failed(self) -> int:
        """Leads that were given up."""
        return self.fates.count(LeadState.FAILED)

    @property
    def urgent_come(self) -> int:
        """Urgent leads that are available by now."""
        return sum(urgent and come for urgent, come in zip(self.urgent, self.come, strict=True))


@dataclass(frozen=True, slots=True)
class Moment:
    """Both sides, `elapsed_s` after the start."""

    elapsed_s: float
    naive: SideNow
    headrace: SideNow
    inside: Inside


def side_now(tally: LeadTally, stats: Stats, elapsed_s: float) -> SideNow:
    """Take a snapshot of one side."""
    return SideNow(
        fates=tally.fates(),
        urgent=tuple(job.lead.is_urgent for job in tally.jobs),
        come=tuple(job.at_s <= elapsed_s for job in tally.jobs),
        throttled=stats.throttled,
        calls=stats.calls,
        share=stats.share,
        urgent_waits_s=tally.urgent_waits_s,
    )
