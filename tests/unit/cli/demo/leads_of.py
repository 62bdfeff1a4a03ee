"""Leads and jobs that a test states in a word."""

from headrace.broker.cli.demo.leads import Lead
from headrace.broker.cli.demo.timetable import Job, timetable


def lead(number: int, urgency: str = "bulk", *, language: str = "en", note: str = "Wants pricing.") -> Lead:
    return Lead(
        lead_id=str(number),
        created_at="2026-02-02T08:05:41Z",
        company=f"Company {number}",
        contact_name=f"Person {number}",
        role="CEO",
        industry="Software",
        country="IE",
        language=language,
        source="web form",
        urgency=urgency,
        note=note,
    )


def jobs_of(*urgencies: str) -> tuple[Job, ...]:
    """Their ids are lead-0-email and so on, in the order given."""
    return timetable([lead(number, urgency) for number, urgency in enumerate(urgencies)], urgent_every_s=8)
