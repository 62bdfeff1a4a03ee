"""The state of each lead on one side, while it runs: read by the live view, written by that side alone."""

from collections.abc import Sequence
from enum import Enum, auto

from headrace.broker.cli.demo.timetable import Job


class LeadState(Enum):
    """State of a lead."""

    WAITING = auto()
    ANSWERED = auto()
    FAILED = auto()


class LeadTally:
    """The states of all leads; times are seconds after the start. A decided lead stays decided."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = tuple(jobs)
        self._job_of = {job.id: job for job in jobs}
        self._fate_of = {job.id: LeadState.WAITING for job in jobs}
        self._urgent_waits_s: list[float] = []
        self.decided_last_s = 0.0

    def answer(self, job_id: str, at_s: float) -> None:
        """Record that a lead was answered. An id that is unknown, or decided, changes nothing."""
        if self._decide(job_id, LeadState.ANSWERED, at_s) and self._job_of[job_id].lead.is_urgent:
            self._urgent_waits_s.append(at_s - self._job_of[job_id].at_s)

    def fail(self, job_id: str, at_s: float) -> None:
        """Record that a lead was given up."""
        self._decide(job_id, LeadState.FAILED, at_s)

    def fates(self) -> tuple[LeadState, ...]:
        """Return one state for each job, in the order of the jobs."""
        return tuple(self._fate_of.values())

    def count(self, fate: LeadState) -> int:
        """Count the leads in this state."""
        return sum(found is fate for found in self._fate_of.values())

    @property
    def urgent_waits_s(self) -> tuple[float, ...]:
        """From the moment an urgent lead became available to its answer, in the order of the answers."""
        return tuple(self._urgent_waits_s)

    @property
    def is_complete(self) -> bool:
        """Whether no lead waits."""
        return self.count(LeadState.WAITING) == 0

    def _decide(self, job_id: str, fate: LeadState, at_s: float) -> bool:
        if self._fate_of.get(job_id) is not LeadState.WAITING:
            return False
        self._fate_of[job_id] = fate
        self.decided_last_s = max(self.decided_last_s, at_s)
        return True
