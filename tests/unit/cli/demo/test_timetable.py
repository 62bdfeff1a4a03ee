"""Bulk first, urgent ones spread over the run."""

from headrace.broker.cli.demo.leads import read_leads
from headrace.broker.cli.demo.timetable import timetable
from tests.unit.cli.demo.leads_of import jobs_of


def test_the_campaign_is_there_at_once_and_in_the_order_of_its_file() -> None:
    jobs = jobs_of("bulk", "urgent", "standard", "urgent", "bulk")
    assert [job.id for job in jobs if job.at_s == 0] == ["lead-0-email", "lead-2-email", "lead-4-email"]


def test_urgent_leads_come_one_after_the_other() -> None:
    jobs = jobs_of("urgent", "bulk", "urgent", "urgent")
    assert [(job.id, job.at_s) for job in jobs[1:]] == [
        ("lead-0-email", 8),
        ("lead-2-email", 16),
        ("lead-3-email", 24),
    ]


def test_by_default_ten_urgent_leads_come_until_second_80() -> None:
    times = [job.at_s for job in timetable(read_leads(60)) if job.lead.is_urgent]
    assert times == [8 * number for number in range(1, 11)]
