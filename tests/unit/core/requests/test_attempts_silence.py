from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.tier_breaker import REFUSED_WITHIN_MS
from headrace.broker.core.commands import BreakerClosed
from headrace.broker.core.events import Answered
from tests.unit.core.requests.probing import PROBED_MS, Bench
from tests.unit.core.specimens import budget, candidate, ticket, verdict


def test_a_probe_under_way_for_longer_than_a_refusal_takes_closes_the_breaker_of_the_account() -> None:
    bench = Bench()
    served_ms = PROBED_MS + REFUSED_WITHIN_MS
    assert bench.attempts.silence_at() == served_ms
    assert not bench.believe(served_ms - 1)
    assert bench.believe(served_ms)
    assert bench.attempts.silence_at() is None


def test_what_such_a_probe_answers_later_is_no_longer_that_of_a_probe() -> None:
    for meaning in (Meaning.OK, Meaning.AUTH, Meaning.OVERLOADED):
        bench = Bench()
        bench.believe(PROBED_MS + REFUSED_WITHIN_MS)
        bench.end(bench.probe, meaning, PROBED_MS + 60_000)
        assert bench.account.breaker.closed


def test_a_limit_that_has_blamed_the_account_is_well_too_once_its_own_probe_is_served() -> None:
    bench = Bench()
    bench.end(bench.probe, Meaning.OK, PROBED_MS + 100)
    bench.attempts.breaker_changes()
    bench.budget.breaker.trip(Meaning.AUTH, PROBED_MS + 200, 0)
    bench.start(PROBED_MS + 300)
    told = bench.attempts.believe_silence(bench.account, PROBED_MS + 300 + REFUSED_WITHIN_MS)
    assert told == [BreakerClosed("gpt", 100 + REFUSED_WITHIN_MS)]
    assert bench.budget.breaker.closed


def test_another_limit_that_blamed_the_account_proves_itself_once_a_probe_was_served() -> None:
    bench = Bench()
    other = budget("embeddings")
    call = bench.attempts.start(ticket(candidate(limit="embeddings")), other, PROBED_MS + 1, account=bench.account)
    bench.attempts.end(Answered(call, verdict(Meaning.AUTH), 0), PROBED_MS + 2, account=bench.account, may_park=True)
    assert bench.believe(PROBED_MS + REFUSED_WITHIN_MS)
    assert (bench.budget.breaker.closed, other.breaker.closed) == (True, False)


def test_an_account_that_refuses_a_silent_probe_after_all_opens_again_at_the_next_refusals() -> None:
    bench = Bench()
    served_ms = PROBED_MS + REFUSED_WITHIN_MS
    bench.believe(served_ms)
    calls = [bench.start(served_ms + 1) for _ in range(3)]
    bench.end(bench.probe, Meaning.AUTH, served_ms + 3_000)
    opened = []
    for call in calls:
        bench.end(call, Meaning.AUTH, served_ms + 8_000)
        opened.append(not bench.account.breaker.closed)
    assert opened == [True, True, True], "the second request that is refused"
    bench.start(served_ms + 18_000)
    assert bench.attempts.silence_at() == served_ms + 18_000 + 16_000
