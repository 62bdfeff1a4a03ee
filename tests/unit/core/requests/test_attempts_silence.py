from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.breaker import ACCOUNT_REST_MS
from headrace.broker.core.budget.tier_breaker import REFUSED_WITHIN_MS
from headrace.broker.core.commands import BreakerClosed
from headrace.broker.core.events import Answered
from tests.unit.core.requests.probing import PROBED_MS, Bench
from tests.unit.core.specimens import budget, candidate, ticket, verdict

SERVED_MS = PROBED_MS + REFUSED_WITHIN_MS


def test_a_probe_under_way_for_longer_than_a_refusal_takes_holds_up_no_other_and_three_close_the_breaker() -> None:
    bench = Bench()
    assert bench.attempts.silence_at() == SERVED_MS
    assert bench.probes(SERVED_MS - 1) == []
    assert not bench.believe(SERVED_MS)
    assert len(bench.probes(SERVED_MS)) == 2
    assert bench.attempts.silence_at() == SERVED_MS + REFUSED_WITHIN_MS
    assert bench.believe(SERVED_MS + REFUSED_WITHIN_MS)
    assert bench.attempts.silence_at() is None


def test_the_success_of_a_silent_probe_closes_the_breaker_as_any_does() -> None:
    bench = Bench()
    bench.believe(SERVED_MS)
    bench.end(bench.probe, Meaning.OK, SERVED_MS + 1)
    assert bench.account.breaker.closed


def test_a_silent_probe_that_is_refused_after_all_makes_the_account_rest_and_the_next_ones_wait_longer() -> None:
    bench = Bench()
    bench.believe(SERVED_MS)
    bench.end(bench.probe, Meaning.AUTH, PROBED_MS + 8_000)
    again_ms = PROBED_MS + 8_000 + ACCOUNT_REST_MS
    assert bench.account.breaker.may_call_at(PROBED_MS + 8_000) == again_ms
    assert len(bench.probes(again_ms)) == 1
    assert bench.attempts.silence_at() == again_ms + 16_000


def test_a_call_that_hangs_until_its_time_out_is_no_sign_and_the_next_ones_wait_longer() -> None:
    bench = Bench()
    bench.believe(SERVED_MS)
    bench.end(bench.probe, Meaning.TIMEOUT, PROBED_MS + 20_000)
    first, second = bench.probes(PROBED_MS + 20_000)
    assert bench.attempts.silence_at() == PROBED_MS + 20_000 + 40_000
    assert not bench.believe(PROBED_MS + 60_000), "two of the three hang"
    bench.end(first, Meaning.AUTH, PROBED_MS + 60_001)
    assert bench.account.breaker.may_call_at(PROBED_MS + 60_001) == PROBED_MS + 60_001 + ACCOUNT_REST_MS
    bench.end(second, Meaning.OK, PROBED_MS + 60_002)
    assert bench.account.breaker.closed


def test_while_a_probe_is_being_served_one_refusal_of_another_makes_nothing_rest_and_two_do() -> None:
    bench = Bench()
    bench.believe(SERVED_MS)
    first, second = bench.probes(SERVED_MS)
    bench.end(first, Meaning.AUTH, SERVED_MS + 100)
    (third,) = bench.probes(SERVED_MS + 100)
    bench.end(second, Meaning.AUTH, SERVED_MS + 200)
    assert bench.account.breaker.may_call_at(SERVED_MS + 200) == SERVED_MS + 200 + ACCOUNT_REST_MS
    bench.end(third, Meaning.OVERLOADED, SERVED_MS + 300)
    assert not bench.account.breaker.closed


def test_what_a_probe_answers_once_the_breaker_has_closed_is_no_longer_that_of_a_probe() -> None:
    for meaning in (Meaning.OK, Meaning.AUTH, Meaning.OVERLOADED, Meaning.TIMEOUT):
        bench = Bench()
        now_ms = bench.silence()
        bench.end(bench.probe, meaning, now_ms + 60_000)
        assert bench.account.breaker.closed
        bench.account.breaker.trip(Meaning.AUTH, now_ms + 70_000, 10_000)
        assert bench.account.breaker.may_call_at(now_ms) == now_ms + 80_000


def test_a_limit_that_has_blamed_the_account_is_probed_by_itself_in_the_same_way() -> None:
    bench = Bench()
    bench.end(bench.probe, Meaning.OK, PROBED_MS + 100)
    bench.attempts.breaker_changes()
    opened_ms = PROBED_MS + 200
    bench.budget.breaker.trip(Meaning.AUTH, opened_ms, 0)
    bench.start(opened_ms)
    assert bench.attempts.believe_silence(bench.account, opened_ms + REFUSED_WITHIN_MS) == []
    for _ in range(2):
        assert bench.budget.breaker.may_call_at(opened_ms + REFUSED_WITHIN_MS) == opened_ms + REFUSED_WITHIN_MS
        bench.start(opened_ms + REFUSED_WITHIN_MS)
    told = bench.attempts.believe_silence(bench.account, opened_ms + 2 * REFUSED_WITHIN_MS)
    assert told == [BreakerClosed("gpt", 2 * REFUSED_WITHIN_MS)]
    assert bench.budget.breaker.closed


def test_another_limit_that_blamed_the_account_proves_itself_once_probes_were_served() -> None:
    bench = Bench()
    other = budget("embeddings")
    call = bench.attempts.start(ticket(candidate(limit="embeddings")), other, PROBED_MS + 1, account=bench.account)
    bench.attempts.end(Answered(call, verdict(Meaning.AUTH), 0), PROBED_MS + 2, account=bench.account, may_park=True)
    bench.silence()
    assert (bench.budget.breaker.closed, other.breaker.closed) == (True, False)
