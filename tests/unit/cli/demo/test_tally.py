"""What is decided stays decided, and only urgent leads have a wait."""

from headrace.broker.cli.demo.tally import LeadState, LeadTally
from tests.unit.cli.demo.leads_of import jobs_of


def test_at_first_every_lead_waits() -> None:
    tally = LeadTally(jobs_of("bulk", "urgent"))
    assert tally.fates() == (LeadState.WAITING, LeadState.WAITING)
    assert not tally.is_complete


def test_an_urgent_lead_waits_from_the_moment_it_is_there() -> None:
    tally = LeadTally(jobs_of("bulk", "urgent"))
    tally.answer("lead-0-email", 5.0)
    tally.answer("lead-1-email", 10.5)
    assert tally.urgent_waits_s == (2.5,)
    assert tally.is_complete
    assert tally.decided_last_s == 10.5


def test_a_lead_that_failed_has_no_wait() -> None:
    tally = LeadTally(jobs_of("urgent"))
    tally.fail("lead-0-email", 9.0)
    assert (tally.count(LeadState.FAILED), tally.urgent_waits_s) == (1, ())


def test_the_second_verdict_changes_nothing() -> None:
    tally = LeadTally(jobs_of("urgent"))
    tally.answer("lead-0-email", 9.0)
    tally.fail("lead-0-email", 12.0)
    tally.answer("lead-0-email", 12.0)
    assert tally.fates() == (LeadState.ANSWERED,)
    assert (tally.urgent_waits_s, tally.decided_last_s) == ((1.0,), 9.0)


def test_the_outcome_of_somebody_elses_request_is_none_of_ours() -> None:
    tally = LeadTally(jobs_of("bulk"))
    tally.answer("another", 1.0)
    assert tally.count(LeadState.ANSWERED) == 0
    assert tally.decided_last_s == 0
