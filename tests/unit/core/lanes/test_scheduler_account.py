from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.breaker import ACCOUNT_REST_MS
from headrace.broker.core.lanes.scheduler import Scheduler
from headrace.broker.core.ticket import Blame, Blamed
from tests.unit.core.blaming import ended
from tests.unit.core.desks import call, enqueued, limits


def blamed(made: Scheduler, limit: str = "gpt", meaning: Meaning = Meaning.QUOTA) -> None:
    """An answer of that limit blames the account."""
    made.account.observe(made.limit_queue(limit, 0).budget, ended(meaning), 0)


def test_an_account_in_trouble_rests_every_limit_and_wakes_for_its_probe() -> None:
    made = limits()
    enqueued(made, "a")
    enqueued(made, "b")
    blamed(made, "a")
    assert next(made.payable(0), None) is None
    assert made.wake_at() == ACCOUNT_REST_MS


def test_an_account_nobody_waits_for_wakes_nobody() -> None:
    made = limits()
    blamed(made)
    assert next(made.payable(0), None) is None
    assert made.wake_at() is None


def test_the_probe_of_an_account_is_the_cheapest_of_all_that_wait() -> None:
    made = limits()
    blamed(made, "c")
    for limit, charge in (("a", 900), ("b", 500), ("b", 300), ("a", 20), ("b", 20)):
        enqueued(made, limit, charge)
    for expected in (20, 20, 300):
        probe = next(made.payable(ACCOUNT_REST_MS), None)
        assert probe is not None
        assert probe.charge == expected
        made.withdraw(probe, 0)


def test_a_limit_that_has_not_blamed_the_account_is_probed_before_one_that_has() -> None:
    made = limits()
    blamed(made, "a")
    enqueued(made, "a", 10)
    dear = enqueued(made, "b", 900)
    assert next(made.payable(ACCOUNT_REST_MS), None) is dear


def test_a_probe_that_failed_lets_others_go_first_whatever_their_limit() -> None:
    made = limits()
    blamed(made, "c")
    poison, dear = enqueued(made, "a", 1), enqueued(made, "b", 900)
    poison.calls = 1
    assert next(made.payable(ACCOUNT_REST_MS), None) is dear


def test_a_request_that_has_blamed_the_account_is_its_probe_only_if_no_other_can_be() -> None:
    made = limits()
    blamed(made, "a")
    poison, honest = enqueued(made, "b", 1, lane="urgent"), enqueued(made, "a", 900, lane="bulk")
    poison.blames, honest.calls = Blamed(Blame(), Blame()), 3
    assert next(made.payable(ACCOUNT_REST_MS), None) is honest
    made.withdraw(honest, 0)
    assert next(made.payable(ACCOUNT_REST_MS), None) is poison


def test_one_probe_goes_in_an_instant_and_nobody_is_woken_for_another() -> None:
    made = limits()
    blamed(made, "c")
    enqueued(made, "a")
    enqueued(made, "b")
    payable = made.payable(ACCOUNT_REST_MS)
    probe = next(payable)
    made.serve(probe, 0)
    assert made.account.breaker.probe()
    assert list(payable) == []
    assert made.wake_at() is None


def test_no_second_probe_goes_while_one_is_in_flight() -> None:
    made = limits()
    blamed(made, "a")
    enqueued(made, "b")
    made.account.breaker.probe()
    assert next(made.payable(ACCOUNT_REST_MS), None) is None
    assert made.wake_at() is None


def test_a_probe_is_paid_like_any_call_and_waits_for_a_limit_that_can_pay() -> None:
    made = limits()
    blamed(made, "a")
    enqueued(made, "b", 10)
    enqueued(made, "c", 20)
    for name, until_ms in (("b", ACCOUNT_REST_MS + 5_000), ("c", ACCOUNT_REST_MS + 9_000)):
        made.limit_queue(name, 0).budget.pause_until(until_ms)
    assert next(made.payable(ACCOUNT_REST_MS), None) is None
    assert made.wake_at() == ACCOUNT_REST_MS + 5_000
    made.limit_queue("a", 0).budget.breaker.trip(Meaning.TIMEOUT, 0, 0)
    made.limit_queue("a", 0).budget.breaker.probe()
    enqueued(made, "a", 1)
    assert next(made.payable(ACCOUNT_REST_MS), None) is None, (
        "a limit with a probe of its own in flight is no limit to probe with"
    )


def test_a_limit_in_trouble_is_probed_by_the_cheapest_of_its_most_urgent_lane() -> None:
    made = limits()
    enqueued(made, charge=900, lane="urgent")
    cheapest = enqueued(made, charge=300, lane="urgent")
    enqueued(made, charge=20, lane="bulk")
    enqueued(made, charge=500)
    made.limit_queue("gpt", 0).budget.breaker.trip(Meaning.TIMEOUT, 0, 0)
    assert next(made.payable(0), None) is cheapest


def test_the_probe_of_an_account_is_of_the_most_urgent_lane_whatever_its_limit() -> None:
    made = limits()
    blamed(made, "c")
    enqueued(made, "a", 20, lane="bulk")
    urgent = enqueued(made, "b", 900, lane="urgent")
    assert next(made.payable(ACCOUNT_REST_MS), None) is urgent


def test_the_lanes_of_a_limit_whose_trouble_is_over_begin_their_turns_anew() -> None:
    made = limits()
    breaker = made.limit_queue("gpt", 0).budget.breaker
    breaker.trip(Meaning.TIMEOUT, 0, 0)
    for charge in (100, 200, 300):
        enqueued(made, charge=charge, lane="urgent")
    for _ in range(2):
        call(made)
    assert made.limit_queue("gpt", 0).lanes.probes == {"urgent": 2}
    breaker.close()
    call(made)
    assert not made.limit_queue("gpt", 0).lanes.probes


def test_what_was_known_of_the_account_is_forgotten_with_the_limits() -> None:
    made = limits()
    blamed(made)
    made.clear()
    assert made.account.breaker.closed


def test_a_limit_that_rests_wakes_when_its_rest_is_over_and_nobody_if_nobody_waits() -> None:
    made = limits()
    made.limit_queue("gpt", 0).budget.breaker.trip(Meaning.TIMEOUT, 0, 700)
    assert next(made.payable(0), None) is None
    assert made.wake_at() is None
    waiting = enqueued(made)
    assert next(made.payable(0), None) is None
    assert made.wake_at() == 700
    assert next(made.payable(700), None) is waiting
