from headrace.broker.core.bounds import CREDIT_CHARGES_MAX, NEARING_SWEPT_ABOVE
from headrace.broker.core.lanes.nearing import DeadlineBoost
from headrace.broker.core.ticket import Ticket
from tests.unit.core.specimens import candidate, ticket

LIFT_PPM = 100_000  # a tenth


def near(deadline_ms: int = 1_000, charge: int = 100) -> Ticket:
    made = ticket(candidate(deadline_ms=deadline_ms, charge=charge))
    made.queued = True
    return made


def of(*tickets: Ticket) -> DeadlineBoost:
    made = DeadlineBoost(LIFT_PPM)
    for each in tickets:
        made.add(each)
    return made


def test_the_nearest_deadline_is_first_and_who_has_left_or_is_late_is_none() -> None:
    called, late, far, nearest = near(1), near(2), near(50), near(40)
    called.queued, late.late = False, True
    nearing = of(called, late, far, nearest)
    assert nearing.head() is nearest
    assert len(nearing) == 2
    nearest.queued = False
    assert nearing.head() is far


def test_a_lift_is_earned_by_what_those_above_are_served_and_paid_for() -> None:
    (ticket_,) = (near(charge=100),)
    nearing = of(ticket_)
    nearing.earn(990)
    assert nearing.lifted() is None
    nearing.earn(10)
    assert nearing.lifted() is ticket_
    nearing.pay(100)
    assert nearing.lifted() is None
    assert nearing.credit_ppm_tokens == 0


def test_there_is_no_debt_and_no_more_credit_than_a_few_charges() -> None:
    nearing = of(near(charge=100))
    nearing.pay(100)
    assert nearing.credit_ppm_tokens == 0
    for _ in range(100):
        nearing.earn(100)
    assert nearing.credit_ppm_tokens == CREDIT_CHARGES_MAX * 100 * 1_000_000
    nearing.earn(1_000)
    assert nearing.credit_ppm_tokens == (CREDIT_CHARGES_MAX + 1) * 100 * 1_000_000, "a larger charge bounds it higher"


def test_while_nobody_is_near_nothing_is_earned_and_what_was_left_is_lost() -> None:
    ticket_ = near()
    nearing = of(ticket_)
    nearing.earn(500)
    ticket_.queued = False
    nearing.earn(500)
    assert nearing.credit_ppm_tokens == 0
    assert nearing.lifted() is None


def test_those_that_no_longer_wait_are_forgotten_though_no_other_look_drops_them() -> None:
    stays = near(9_000)
    nearing = of(stays)
    for _ in range(10 * NEARING_SWEPT_ABOVE):
        gone = near()
        nearing.add(gone)
        gone.queued = False
        nearing.add(stays)  # it was called again, and waits once more
    assert len(nearing) <= NEARING_SWEPT_ABOVE + 2
    assert nearing.head() is stays
