"""Arrival times of the leads: the campaign at once, the urgent ones one after the other while it runs.

Both sides get the same timetable. The bulk and standard leads are there from the first second, as after an import; an
urgent one comes every few seconds from then on, as from a web form.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from headrace.broker.cli.demo.leads import Lead
from headrace.broker.cli.demo.prompt import body_for, request_id

URGENT_EVERY_S: Final = 8.0


@dataclass(frozen=True, slots=True)
class Job:
    """One lead's request; `at_s` is when it becomes available, in seconds after the start."""

    lead: Lead
    id: str
    body: Mapping[str, Any]
    at_s: float


def timetable(leads: Sequence[Lead], *, urgent_every_s: float = URGENT_EVERY_S) -> tuple[Job, ...]:
    """Return the jobs in the order in which they become available."""
    jobs = list(_jobs(leads, urgent_every_s))
    return tuple(sorted(jobs, key=lambda job: job.at_s))  # stable: the campaign keeps the order of its file


def _jobs(leads: Sequence[Lead], urgent_every_s: float) -> Iterator[Job]:
    urgent = 0
    for lead in leads:
        urgent += lead.is_urgent
        at_s = urgent * urgent_every_s if lead.is_urgent else 0.0
        yield Job(lead, request_id(lead), body_for(lead), at_s)
