from dataclasses import replace

from headrace.broker.core.answers.rate_limit_headers import LimitMetric
from headrace.broker.core.answers.verdict import Meaning, Verdict
from headrace.broker.core.bounds import CALL_RESERVE_BYTES, OUTCOME_BYTES_MAX
from headrace.broker.core.budget.account import AccountBreaker
from headrace.broker.core.budget.breaker import ACCOUNT_REST_MS, FAILURES_IN_A_ROW
from headrace.broker.core.budget.budget import Budget
from headrace.broker.core.commands import BreakerClosed, BreakerOpened, Complete, Fail, Park
from headrace.broker.core.config import DispatchRules
from headrace.broker.core.events import Answered, CallNotSent
from headrace.broker.core.identity.outcome_index import ATTEMPT_MAX
from headrace.broker.core.requests.attempts import Attempts, Sequel
from headrace.broker.core.requests.in_flight import CallsInFlight
from headrace.broker.core.requests.retry import Again
from headrace.broker.core.ticket import CallNumber, Ticket
from headrace.broker.core.units import ROUNDING_TOKENS
from tests.unit.core.specimens import STANDARD, budget, candidate, rules, ticket, verdict

NOW = 1_000


class Bench:
    """One limit, one ticket, and its call."""

    def __init__(self, made: Ticket | None = None, settings: DispatchRules | None = None) -> None:
        self.flights = CallsInFlight(inflight_max=10, held_bytes_max=1 << 30)
        self.attempts = Attempts(self.flights, settings or rules(), lambda: 0.5)
        self.budget: Budget = budget()
        self.ticket = made or ticket()
        self.account = AccountBreaker()
        self.call: CallNumber = self.start(0)

    def start(self, now_ms: int = NOW) -> CallNumber:
        return self.attempts.start(self.ticket, self.budget, now_ms, account=self.account)

    def answer(self, meant: Verdict, size: int = 0, *, may_park: bool = True) -> Sequel | None:
        event = Answered(self.call, meant, size)
        return self.attempts.end(event, NOW, account=self.account, may_park=may_park)

    def decision(self, meant: Verdict, size: int = 0, *, may_park: bool = True) -> object:
        sequel = self.answer(meant, size, may_park=may_park)
        assert sequel is not None
        ticket, decision = sequel
        assert ticket is self.ticket
        return decision

    def low(self, now_ms: int = NOW) -> int:
        return self.budget.levels(now_ms)[0].low


def test_a_call_is_counted_and_paid_when_it_leaves() -> None:
    bench = Bench()
    assert (bench.ticket.calls, bench.budget.inflight, len(bench.flights)) == (1, 1, 1)
    assert bench.low(0) < 60_000


def test_an_answer_completes_and_weighs_what_it_weighs() -> None:
    bench = Bench()
    assert bench.decision(verdict(), 5_000) == Complete()
    assert (bench.flights.held_bytes, bench.budget.inflight) == (5_000, 0)


def test_an_answer_too_large_for_its_topic_fails_and_weighs_nothing() -> None:
    assert Bench().decision(verdict(), OUTCOME_BYTES_MAX) == Complete()
    bench = Bench()
    decision = bench.decision(verdict(), OUTCOME_BYTES_MAX + 1)
    assert isinstance(decision, Fail)
    assert (decision.reason, bench.flights.held_bytes) == ("too_large_for_topic", 0)


def test_the_servers_own_charge_is_believed_from_then_on() -> None:
    bench = Bench()
    assert bench.decision(verdict(Meaning.RATE_LIMITED, wait_ms=300, requested=450)) == Again(NOW + 300)
    assert (bench.ticket.charge, bench.ticket.stated) == (450, True)


def test_a_refusal_by_requests_says_nothing_of_tokens() -> None:
    bench = Bench()
    bench.decision(verdict(Meaning.RATE_LIMITED, wait_ms=300, requested=1, metric=LimitMetric.REQUESTS))
    assert (bench.ticket.charge, bench.ticket.stated) == (100, False)


def test_a_snapshot_without_a_charge_changes_none() -> None:
    bench = Bench()
    silent = verdict(Meaning.RATE_LIMITED, wait_ms=300, requested=7)
    assert silent.snapshot is not None
    bench.decision(replace(silent, snapshot=replace(silent.snapshot, requested=None)))
    assert (bench.ticket.charge, bench.ticket.stated) == (100, False)


def test_only_what_counts_is_counted_as_a_failure() -> None:
    for meaning, failures in ((Meaning.TIMEOUT, 1), (Meaning.RATE_LIMITED, 0), (Meaning.AUTH, 0)):
        bench = Bench()
        assert isinstance(bench.decision(verdict(meaning)), Again)
        assert bench.ticket.failures == failures


def test_a_call_without_an_answer_keeps_its_charge() -> None:
    for meaning in (Meaning.TIMEOUT, Meaning.CONNECTION):
        bench = Bench(ticket(candidate(charge=30_000)))
        bench.answer(verdict(meaning))
        assert bench.budget.inflight == 0
        assert bench.low() < 32_000


def test_an_account_in_trouble_rests_and_the_limit_itself_is_well() -> None:
    for meaning in (Meaning.QUOTA, Meaning.AUTH):
        bench = Bench()
        bench.answer(verdict(meaning))
        assert bench.account.breaker.may_call_at(NOW) == NOW + ACCOUNT_REST_MS
        assert bench.budget.breaker.closed


def test_one_request_that_blames_the_account_while_another_is_answered_opens_nothing_and_waits() -> None:
    bench = Bench()
    bench.answer(verdict())
    bench.ticket = ticket()
    for waits_ms in (10_250, 20_250, 40_250):
        bench.call = bench.start()
        assert bench.decision(verdict(Meaning.AUTH)) == Again(NOW + waits_ms)
        assert bench.account.breaker.closed
        assert bench.budget.breaker.closed
        assert not bench.attempts.has_breaker_changes
        bench.account.record_success(bench.budget, NOW + 1, NOW + 1)


def test_a_success_of_a_call_sent_before_the_first_blame_does_not_excuse_the_account() -> None:
    bench = Bench()
    bench.answer(verdict())
    older = bench.attempts.start(ticket(), bench.budget, NOW, account=bench.account)
    for now_ms in (NOW, NOW + 2):
        bench.ticket = ticket()
        bench.call = bench.start()
        bench.attempts.end(Answered(bench.call, verdict(Meaning.AUTH), 0), now_ms, account=bench.account, may_park=True)
        if now_ms == NOW:
            bench.attempts.end(Answered(older, verdict(), 0), NOW + 1, account=bench.account, may_park=True)
    assert not bench.account.breaker.closed


def test_a_request_waits_longer_only_if_calls_of_its_own_limit_have_refuted_it() -> None:
    bench = Bench()
    bench.answer(verdict())
    bench.ticket = ticket()
    for _ in range(2):
        bench.call = bench.start()
        assert bench.decision(verdict(Meaning.AUTH)) == Again(NOW + 10_250)
        bench.account.record_success(budget("embeddings"), NOW + 1, NOW + 1)


def test_a_second_request_that_blames_the_account_opens_its_breaker_and_is_named_as_the_cause() -> None:
    bench = Bench()
    bench.answer(verdict())
    for _ in range(2):
        bench.ticket = ticket()
        bench.call = bench.start()
        bench.answer(verdict(Meaning.AUTH))
    (told,) = bench.attempts.breaker_changes()
    assert told == BreakerOpened(None, "gpt", bench.ticket.number, verdict(Meaning.AUTH), ACCOUNT_REST_MS)


def test_a_call_under_way_for_seconds_speaks_for_the_account_and_for_its_own_limit() -> None:
    for limit, is_open in (("gpt", False), ("embeddings", True)):
        bench = Bench()
        bench.answer(verdict())
        for at_ms in (2_000, 12_000):
            bench.ticket = ticket()
            bench.call = bench.start(at_ms)
            event = Answered(bench.call, verdict(Meaning.AUTH), 0)
            bench.attempts.end(event, at_ms, account=bench.account, may_park=True)
            bench.attempts.start(ticket(candidate(limit=limit)), budget(limit), at_ms + 1, account=bench.account)
        assert bench.account.breaker.closed
        assert (not bench.budget.breaker.closed) is is_open


def test_what_opened_a_breaker_is_told_once_with_its_verdict_and_so_is_its_end() -> None:
    bench = Bench()
    blamed = verdict(Meaning.QUOTA)
    bench.answer(blamed)
    told = BreakerOpened(None, "gpt", bench.ticket.number, blamed, ACCOUNT_REST_MS)
    assert (bench.attempts.breaker_changes(), bench.attempts.breaker_changes()) == ([told], [])
    bench.call = bench.start()
    bench.answer(blamed)
    assert bench.attempts.breaker_changes() == []
    bench.call = bench.start()
    bench.answer(verdict())
    assert bench.attempts.breaker_changes() == [BreakerClosed(None, 0)]


def test_whether_there_is_news_is_known_without_asking_for_it() -> None:
    bench = Bench()
    assert not bench.attempts.has_breaker_changes
    bench.answer(verdict(Meaning.QUOTA))
    assert bench.attempts.has_breaker_changes
    bench.attempts.breaker_changes()
    assert not bench.attempts.has_breaker_changes


def test_an_answer_among_failures_starts_the_count_anew() -> None:
    bench = Bench()
    for meaning in (Meaning.TIMEOUT,) * (FAILURES_IN_A_ROW - 1) + (Meaning.OK, Meaning.TIMEOUT):
        bench.answer(verdict(meaning))
        bench.call = bench.start()
    assert bench.budget.breaker.closed


def test_a_limits_own_trouble_is_told_under_its_name() -> None:
    bench = Bench()
    for _ in range(FAILURES_IN_A_ROW - 1):
        bench.budget.breaker.observe(Meaning.TIMEOUT, NOW, None)
    bench.answer(verdict(Meaning.TIMEOUT))
    (told,) = bench.attempts.breaker_changes()
    assert isinstance(told, BreakerOpened)
    assert (told.breaker, told.limit, told.verdict.meaning) == ("gpt", "gpt", Meaning.TIMEOUT)
    assert bench.account.breaker.closed


def test_a_probe_that_we_end_ourselves_or_never_send_makes_room_for_another() -> None:
    bench = Bench()
    bench.answer(verdict(Meaning.QUOTA))
    bench.call = bench.start()
    assert bench.account.breaker.may_call_at(NOW) is None
    bench.answer(verdict(Meaning.CONNECTION, counts=False))
    assert bench.account.breaker.may_call_at(NOW) is not None
    bench.call = bench.start()
    bench.attempts.take_back(CallNotSent(bench.call), NOW)
    assert bench.account.breaker.may_call_at(NOW) is not None


def test_who_has_been_parked_as_often_as_the_ledger_can_count_stays() -> None:
    long = verdict(Meaning.RATE_LIMITED, wait_ms=90_000)
    assert isinstance(Bench(ticket(candidate(attempt=ATTEMPT_MAX - 1))).decision(long), Park)
    assert isinstance(Bench(ticket(candidate(attempt=ATTEMPT_MAX))).decision(long), Again)


def test_a_long_wait_parks_unless_the_request_is_too_heavy_or_too_much_is_parked() -> None:
    long = verdict(Meaning.RATE_LIMITED, wait_ms=90_000)
    assert isinstance(Bench().decision(long), Park)
    assert isinstance(Bench().decision(long, may_park=False), Again)
    heavy = Bench(ticket(size=1_001), rules(parked_bytes_max=1_000))
    assert isinstance(heavy.decision(long), Again)
    serial = Bench(ticket(), rules(lanes=(replace(STANDARD, serial=True),)))
    assert isinstance(serial.decision(long), Again)


def test_an_answer_that_nobody_waits_for_is_paid_for_and_nothing_follows() -> None:
    bench = Bench()
    bench.flights.abandon(bench.ticket)
    assert bench.answer(verdict(remaining=10_000), 5_000) is None
    assert (bench.budget.inflight, bench.flights.held_bytes) == (0, 0)
    assert bench.budget.levels(NOW)[0].high < 20_000


def test_calls_that_we_end_ourselves_say_nothing_of_the_server() -> None:
    bench = Bench()
    for _ in range(10):
        bench.answer(verdict(Meaning.CONNECTION, counts=False))
        bench.call = bench.start()
    assert bench.budget.breaker.closed


def test_a_call_that_was_not_sent_gives_its_ticket_back() -> None:
    bench = Bench()
    assert bench.flights.held_bytes == CALL_RESERVE_BYTES
    assert bench.attempts.take_back(CallNotSent(bench.call), NOW) is bench.ticket
    assert bench.ticket.calls == 0, "nobody was called"
    assert (bench.budget.inflight, bench.flights.held_bytes, len(bench.flights)) == (0, 0, 0)


def test_a_call_that_was_not_sent_gives_its_charge_back_and_one_without_an_answer_does_not() -> None:
    for answered, kept in ((False, 0), (True, 100 + ROUNDING_TOKENS)):
        bench = Bench()
        if answered:
            bench.answer(verdict(Meaning.TIMEOUT))
        else:
            bench.attempts.take_back(CallNotSent(bench.call), 0)
        assert bench.low(0) == 60_000 - kept
        assert bench.budget.charged_last_minute(0) == (100 if answered else 0)


def test_a_call_that_was_not_sent_and_nobody_waits_for_gives_nothing_back() -> None:
    bench = Bench()
    bench.flights.abandon(bench.ticket)
    assert bench.attempts.take_back(CallNotSent(bench.call), NOW) is None


def test_failures_of_a_server_in_trouble_count_against_nobody() -> None:
    bench = Bench()
    for _ in range(FAILURES_IN_A_ROW - 1):
        bench.budget.breaker.observe(Meaning.UPSTREAM_ERROR, NOW, None)
    bench.answer(verdict(Meaning.UPSTREAM_ERROR))
    assert not bench.budget.breaker.closed
    assert bench.ticket.failures == 0


def test_a_call_that_our_own_code_ended_keeps_its_charge_and_ends_its_reservation() -> None:
    bench = Bench()
    before = bench.low()
    assert bench.attempts.end_crashed(bench.call, NOW) is bench.ticket
    assert (bench.budget.inflight, len(bench.flights), bench.flights.held_bytes) == (0, 0, 0)
    assert bench.low() == before
    assert not bench.attempts.has_breaker_changes


def test_an_answer_of_a_former_term_is_paid_for_and_teaches_nothing_else() -> None:
    bench = Bench(ticket(candidate(charge=30_000)))
    bench.flights.end_term()
    assert bench.answer(verdict(Meaning.QUOTA)) is None
    assert bench.account.breaker.closed
    assert not bench.attempts.has_breaker_changes
    assert (bench.budget.inflight, bench.flights.usual_ms()) == (0, None)
    bench.call = bench.start()
    bench.answer(verdict())
    assert bench.flights.usual_ms() == 0


def test_a_crash_of_a_call_that_no_request_waits_for_says_nothing() -> None:
    bench = Bench()
    bench.flights.abandon(bench.ticket)
    assert bench.attempts.end_crashed(bench.call, NOW) is None
    assert len(bench.flights) == 0


def test_a_crash_is_no_trouble_of_the_server_and_a_probe_that_crashed_may_be_repeated() -> None:
    bench = Bench()
    bench.attempts.end_crashed(bench.call, NOW)
    for _ in range(2 * FAILURES_IN_A_ROW):
        bench.attempts.end_crashed(bench.start(), NOW)
    assert bench.budget.breaker.closed
    bench.budget.breaker.trip(Meaning.OVERLOADED, NOW, 10)
    call = bench.start(NOW + 10)
    assert bench.budget.breaker.may_call_at(NOW + 10) is None
    bench.attempts.end_crashed(call, NOW + 10)
    assert bench.budget.breaker.may_call_at(NOW + 10) == NOW + 10


def test_a_call_whose_end_could_not_be_noted_ends_its_reservation_however_far_that_had_come() -> None:
    for before in ("nothing", "landed", "given up", "popped"):
        bench = Bench()
        flight = bench.flights.find(bench.call)
        if before in {"landed", "given up"}:
            bench.flights.land(bench.call, NOW)
        if before == "given up":
            bench.budget.abandon(bench.call, NOW)
        if before == "popped":
            bench.budget._calls.pop(bench.call)  # an answer that raised once it had taken the reservation
        bench.attempts.close_reservation(bench.call, flight, NOW)
        assert (bench.budget.inflight, len(bench.flights), bench.flights.held_bytes) == (0, 0, 0)
        assert not bench.budget.tariff._sent


def test_what_a_call_did_not_take_is_told_with_its_tenant_and_when_it_was_sent() -> None:
    told: list[tuple[str, int, int]] = []
    bench = Bench(ticket(candidate(tenant="acme", charge=400)))
    bench.attempts = Attempts(bench.flights, rules(), lambda: 0.5, lambda *given: told.append(given))
    bench.answer(verdict())
    assert told == []
    bench.call = bench.start(500)
    bench.answer(verdict(Meaning.RATE_LIMITED, wait_ms=1))
    call = bench.start(70_000)
    bench.attempts.take_back(CallNotSent(call), 70_000)
    assert told == [("acme", 400, 500), ("acme", 400, 70_000)]
