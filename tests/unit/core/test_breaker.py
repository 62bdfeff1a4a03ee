from broker.core.breaker import ACCOUNT_REST_MS, FAILURES_IN_A_ROW, REST_FIRST_MS, REST_MAX_MS, Breaker
from broker.core.verdict import Meaning


def tripped(at_ms: int = 0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_IN_A_ROW):
        breaker.heard(Meaning.UPSTREAM_ERROR, at_ms, None)
    return breaker


def test_a_closed_breaker_holds_up_nobody() -> None:
    assert Breaker().may_call_at(7, inflight=400) == 7


def test_failures_in_a_row_open_it_and_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker()
    for _ in range(10):
        for _ in range(FAILURES_IN_A_ROW - 1):
            breaker.heard(Meaning.OVERLOADED, 0, None)
        breaker.heard(Meaning.OK, 0, None)
    assert breaker.closed
    assert not tripped().closed
    assert tripped().tripped_by is Meaning.UPSTREAM_ERROR


def test_an_open_breaker_rests_and_then_lets_one_call_go_alone() -> None:
    breaker = tripped(at_ms=100)
    assert breaker.may_call_at(100, inflight=0) == 100 + REST_FIRST_MS
    assert breaker.may_call_at(100 + REST_FIRST_MS, inflight=0) == 100 + REST_FIRST_MS
    assert breaker.may_call_at(100 + REST_FIRST_MS, inflight=1) is None


def test_each_failed_probe_doubles_the_rest_up_to_a_bound() -> None:
    breaker, now_ms, rests = tripped(), 0, []
    for _ in range(10):
        at_ms = breaker.may_call_at(now_ms, inflight=0)
        assert at_ms is not None
        rests.append(at_ms - now_ms)
        now_ms = at_ms
        breaker.heard(Meaning.CONNECTION, now_ms, None)
    assert rests[:3] == [REST_FIRST_MS, 2 * REST_FIRST_MS, 4 * REST_FIRST_MS]
    assert rests[-1] == REST_MAX_MS


def test_the_late_failures_of_a_burst_do_not_lengthen_the_rest() -> None:
    breaker = tripped()
    for _ in range(100):
        breaker.heard(Meaning.TIMEOUT, 1, None)
    assert breaker.may_call_at(1, inflight=0) == REST_FIRST_MS


def test_one_success_closes_it_and_forgets_the_doubling() -> None:
    breaker = tripped()
    breaker.heard(Meaning.TIMEOUT, REST_FIRST_MS, None)
    breaker.heard(Meaning.OK, 2_000, None)
    assert breaker.closed
    assert breaker.tripped_by is None
    for _ in range(FAILURES_IN_A_ROW):
        breaker.heard(Meaning.TIMEOUT, 3_000, None)
    assert breaker.may_call_at(3_000, inflight=0) == 3_000 + REST_FIRST_MS


def test_a_throttled_or_refused_call_proves_that_the_server_works() -> None:
    for meaning in (Meaning.RATE_LIMITED, Meaning.REJECTED, Meaning.TOO_LARGE):
        breaker = tripped()
        breaker.heard(meaning, 1, None)
        assert breaker.closed


def test_an_answer_that_blames_the_account_opens_at_once() -> None:
    for meaning in (Meaning.QUOTA, Meaning.AUTH):
        breaker = Breaker()
        breaker.heard(meaning, 0, None)
        assert breaker.may_call_at(0, inflight=0) == ACCOUNT_REST_MS
        assert breaker.tripped_by is meaning


def test_a_stated_wait_is_never_cut_short() -> None:
    breaker = Breaker()
    breaker.heard(Meaning.QUOTA, 0, 90_000)
    breaker.heard(Meaning.QUOTA, 1_000, None)
    assert breaker.may_call_at(0, inflight=0) == 90_000
    asked = Breaker()
    for _ in range(FAILURES_IN_A_ROW):
        asked.heard(Meaning.OVERLOADED, 0, 5_000)
    assert asked.may_call_at(0, inflight=0) == 5_000
