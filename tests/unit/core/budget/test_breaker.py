from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.breaker import (
    ACCOUNT_REST_MAX_MS,
    ACCOUNT_REST_MS,
    FAILURES_IN_A_ROW,
    REST_FIRST_MS,
    REST_MAX_MS,
    SILENT_ENOUGH,
    Breaker,
)


def tripped(at_ms: int = 0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_IN_A_ROW):
        breaker.observe(Meaning.UPSTREAM_ERROR, at_ms, None)
    return breaker


def probed(breaker: Breaker, meaning: Meaning, now_ms: int, wait_ms: int | None = None) -> None:
    """Its probe goes, and comes back with that."""
    assert breaker.probe()
    breaker.observe(meaning, now_ms, wait_ms, probe=True)


def test_a_closed_breaker_holds_up_nobody() -> None:
    breaker = Breaker()
    assert breaker.may_call_at(7) == 7
    assert breaker.rests_until(7) == 7
    assert not breaker.probe()
    assert breaker.may_call_at(7) == 7


def test_failures_in_a_row_open_it_and_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker()
    for _ in range(10):
        for _ in range(FAILURES_IN_A_ROW - 1):
            breaker.observe(Meaning.OVERLOADED, 0, None)
        breaker.observe(Meaning.OK, 0, None)
    assert breaker.closed
    assert not tripped().closed
    assert tripped().tripped_by is Meaning.UPSTREAM_ERROR


def test_it_is_calm_while_no_failure_is_counted() -> None:
    breaker, seen = Breaker(), []
    for meaning in (Meaning.OK, Meaning.OVERLOADED, Meaning.OK, Meaning.QUOTA):
        breaker.observe(meaning, 0, None)
        seen.append(breaker.calm)
    breaker.trip(Meaning.QUOTA, 0, 0)
    assert seen == [True, False, True, True]
    assert (breaker.calm, breaker.closed) == (False, False)


def test_an_open_breaker_rests_and_then_lets_one_call_go_alone() -> None:
    breaker = tripped(at_ms=100)
    assert breaker.may_call_at(100) == 100 + REST_FIRST_MS
    assert breaker.may_call_at(100 + REST_FIRST_MS) == 100 + REST_FIRST_MS
    assert breaker.probe()
    assert breaker.may_call_at(100 + REST_FIRST_MS) is None
    assert breaker.rests_until(100) == 100 + REST_FIRST_MS


def test_a_probe_that_told_nothing_makes_room_for_another() -> None:
    breaker = tripped()
    breaker.probe()
    breaker.release_probe(0)
    assert breaker.may_call_at(REST_FIRST_MS) == REST_FIRST_MS


def test_each_failed_probe_doubles_the_rest_up_to_a_bound() -> None:
    breaker, now_ms, rests = tripped(), 0, []
    for _ in range(10):
        at_ms = breaker.may_call_at(now_ms)
        assert at_ms is not None
        rests.append(at_ms - now_ms)
        now_ms = at_ms
        probed(breaker, Meaning.CONNECTION, now_ms)
    assert rests[:3] == [REST_FIRST_MS, 2 * REST_FIRST_MS, 4 * REST_FIRST_MS]
    assert rests[-1] == REST_MAX_MS


def test_it_has_been_open_since_it_opened_whatever_its_probes_said() -> None:
    breaker = tripped(at_ms=100)
    probed(breaker, Meaning.CONNECTION, 5_000)
    assert breaker.opened_ms == 100
    probed(breaker, Meaning.OK, 6_000)
    for _ in range(FAILURES_IN_A_ROW):
        breaker.observe(Meaning.TIMEOUT, 9_000, None)
    assert breaker.opened_ms == 9_000


def test_the_late_failures_of_a_burst_do_not_lengthen_the_rest() -> None:
    breaker = tripped()
    for at_ms in (1, 2 * REST_FIRST_MS):
        breaker.observe(Meaning.TIMEOUT, at_ms, None)
    assert breaker.may_call_at(1) == REST_FIRST_MS


def test_a_success_that_set_out_before_it_opened_closes_nothing() -> None:
    breaker = tripped()
    breaker.observe(Meaning.OK, 1, None)
    assert not breaker.closed


def test_a_probe_that_succeeds_closes_it_and_the_doubling_is_forgotten() -> None:
    breaker = tripped()
    probed(breaker, Meaning.TIMEOUT, REST_FIRST_MS)
    probed(breaker, Meaning.OK, 2_000)
    assert breaker.closed
    assert breaker.may_call_at(2_000) == 2_000
    for _ in range(FAILURES_IN_A_ROW):
        breaker.observe(Meaning.TIMEOUT, 3_000, None)
    assert breaker.may_call_at(3_000) == 3_000 + REST_FIRST_MS


def test_a_throttled_or_refused_probe_proves_that_the_server_works() -> None:
    for meaning in (Meaning.RATE_LIMITED, Meaning.REJECTED, Meaning.TOO_LARGE, Meaning.QUOTA, Meaning.AUTH):
        breaker = tripped()
        probed(breaker, meaning, 1)
        assert breaker.closed


def test_what_was_tripped_for_the_account_stays_open_while_its_probes_blame_the_account() -> None:
    breaker = Breaker()
    breaker.trip(Meaning.AUTH, 0, 0)
    assert breaker.may_call_at(0) == 0
    probed(breaker, Meaning.QUOTA, 0)
    assert breaker.tripped_by is Meaning.QUOTA
    assert breaker.may_call_at(0) == ACCOUNT_REST_MS
    probed(breaker, Meaning.AUTH, ACCOUNT_REST_MS, 90_000)
    assert breaker.may_call_at(ACCOUNT_REST_MS) == ACCOUNT_REST_MS + ACCOUNT_REST_MAX_MS


def test_the_wait_that_a_server_in_trouble_states_is_never_cut_short() -> None:
    asked = Breaker()
    for _ in range(FAILURES_IN_A_ROW):
        asked.observe(Meaning.OVERLOADED, 0, 5_000)
    assert asked.may_call_at(0) == 5_000


def test_a_refused_service_tier_is_no_trouble_of_the_limit() -> None:
    breaker = Breaker()
    breaker.observe(Meaning.OVERLOADED, 0, None)
    assert not breaker.calm
    for at_ms in range(FAILURES_IN_A_ROW):
        breaker.observe(Meaning.TIER_UNAVAILABLE, at_ms, 5_000)
    assert breaker.closed
    assert not breaker.calm, "nor does it show that the server works"


def test_a_probe_that_met_a_refused_tier_is_followed_by_a_rest_that_is_no_longer() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_IN_A_ROW):
        breaker.observe(Meaning.OVERLOADED, 0, None)
    rests_ms: list[int] = []
    for _ in range(3):
        now_ms = breaker.rests_until(0)
        assert breaker.probe()
        assert breaker.is_probing
        breaker.observe(Meaning.TIER_UNAVAILABLE, now_ms, None, probe=True)
        assert not breaker.is_probing
        assert breaker.tripped_by is Meaning.OVERLOADED
        rests_ms.append(breaker.rests_until(now_ms) - now_ms)
        assert breaker.may_call_at(now_ms) == now_ms + rests_ms[-1]
    assert rests_ms == [2 * REST_FIRST_MS] * 3


def test_while_the_server_is_silent_about_all_probes_twice_as_many_may_go_and_three_show_that_it_serves() -> None:
    breaker = Breaker()
    breaker.trip(Meaning.AUTH, 0, 0)
    assert [breaker.probe() for _ in range(2)] == [True, False]
    assert not breaker.record_silence()
    assert [breaker.probe() for _ in range(3)] == [True, True, False]
    assert not breaker.record_silence()
    assert [breaker.probe() for _ in range(2)] == [True, False], "one place has become free"
    assert breaker.record_silence()


def test_a_probe_that_was_not_served_after_all_is_no_sign_and_a_rest_begins_with_one_again() -> None:
    breaker = Breaker()
    breaker.trip(Meaning.AUTH, 0, 0)
    breaker.probe()
    breaker.record_silence()
    breaker.forget_silence()
    assert [breaker.record_silence() for _ in range(SILENT_ENOUGH)] == [False, False, True]
    breaker.trip(Meaning.AUTH, 0, 0)
    assert [breaker.probe() for _ in range(2)] == [True, False]
    assert not breaker.record_silence()
