from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.breaker import SILENT_ENOUGH
from headrace.broker.core.budget.tier_breaker import REFUSED_WITHIN_MS
from headrace.broker.core.requests.silent_probes import SERVED_AFTER_MAX_MS
from tests.unit.core.requests.probing import PROBED_MS, Bench


def test_a_probe_that_ends_before_is_believed_for_what_it_says() -> None:
    for meaning, closed in ((Meaning.OK, True), (Meaning.AUTH, False), (Meaning.TIMEOUT, False)):
        bench = Bench()
        bench.end(bench.probe, meaning, PROBED_MS + 100)
        assert bench.attempts.silence_at() is None
        bench.attempts.breaker_changes()
        assert bench.attempts.believe_silence(bench.account, PROBED_MS + 60_000) == []
        assert bench.account.breaker.closed is closed


def test_slow_refusals_give_the_next_probes_more_time_until_calls_have_succeeded() -> None:
    bench = Bench(took_ms=8_000)
    assert bench.attempts.silence_at() == PROBED_MS + 16_000
    bench.end(bench.probe, Meaning.OK, PROBED_MS + 15_999)
    for _ in range(20):
        bench.end(bench.start(PROBED_MS + 20_000), Meaning.OK, PROBED_MS + 20_100)
    bench.account.breaker.trip(Meaning.AUTH, PROBED_MS + 30_000, 0)
    bench.start(PROBED_MS + 40_000)
    assert bench.attempts.silence_at() == PROBED_MS + 40_000 + REFUSED_WITHIN_MS


def test_the_time_is_bounded() -> None:
    assert Bench(took_ms=10 * SERVED_AFTER_MAX_MS).attempts.silence_at() == PROBED_MS + SERVED_AFTER_MAX_MS


def test_silence_says_nothing_of_a_server_in_trouble() -> None:
    bench = Bench()
    bench.end(bench.probe, Meaning.OK, PROBED_MS + 100)
    bench.budget.breaker.trip(Meaning.OVERLOADED, PROBED_MS + 200, 0)
    bench.start(PROBED_MS + 300)
    assert bench.attempts.silence_at() is None


def test_a_probe_of_a_former_term_closes_nothing() -> None:
    bench = Bench()
    bench.flights.end_term()
    assert bench.attempts.silence_at() is None
    assert not bench.believe(PROBED_MS + 60_000)


def test_a_probe_that_waits_for_a_ledger_line_counts_only_once_it_is_answered() -> None:
    bench = Bench()
    bench.flights.find(bench.probe).line = 7
    assert bench.attempts.silence_at() is None
    assert not bench.believe(PROBED_MS + 60_000)
    bench.end(bench.probe, Meaning.OK, PROBED_MS + 60_000)
    assert bench.account.breaker.closed


def test_each_probe_is_told_once_and_with_the_breakers_that_are_still_open() -> None:
    bench = Bench()
    assert not bench.believe(PROBED_MS + REFUSED_WITHIN_MS - 1)
    assert not bench.flights.find(bench.probe).silent
    assert not bench.believe(PROBED_MS + REFUSED_WITHIN_MS)
    assert bench.flights.find(bench.probe).silent
    assert not bench.believe(PROBED_MS + 2 * REFUSED_WITHIN_MS)
    assert not bench.account.breaker.is_probing
    assert len(bench.probes(PROBED_MS + 2 * REFUSED_WITHIN_MS)) == SILENT_ENOUGH - 1
    bench = Bench()
    bench.account.breaker.close()
    assert bench.attempts.believe_silence(bench.account, PROBED_MS + REFUSED_WITHIN_MS) == []
