"""Attempts and the breakers of service tiers."""

from dataclasses import replace

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.budget.breaker import FAILURES_IN_A_ROW, Breaker
from headrace.broker.core.commands import BreakerClosed, BreakerOpened, Complete
from headrace.broker.core.events import Answered, CallNotSent
from headrace.broker.core.lanes.scheduler import Forgotten
from headrace.broker.core.requests.attempts import closings
from headrace.broker.core.requests.retry import Again
from headrace.broker.core.ticket import ModelTier
from tests.unit.core.requests.test_attempts import NOW, Bench
from tests.unit.core.specimens import candidate, ticket, verdict


def test_a_call_of_another_tier_under_way_does_not_speak_for_a_tier_that_refuses() -> None:
    bench = Bench(ticket(replace(candidate(), tier="flex")))
    refused = bench.ticket
    for at_ms in (2_000, 8_000, 14_000):
        bench.call = bench.start(at_ms)
        event = Answered(bench.call, verdict(Meaning.TIER_UNAVAILABLE), 0)
        bench.attempts.end(event, at_ms, account=bench.account, may_park=True)
        bench.attempts.start(ticket(), bench.budget, at_ms + 1, account=bench.account)
    assert bench.budget.tiers.rests(refused.candidate.model_tier)


def test_refusals_of_a_service_tier_open_its_breaker_and_no_other_and_use_up_no_attempt() -> None:
    bench = Bench(ticket(replace(candidate(), tier="flex")))
    told = verdict(Meaning.TIER_UNAVAILABLE)
    for number in range(FAILURES_IN_A_ROW):
        assert bench.decision(told) == Again(NOW + (7_500, 12_500, 22_500)[number])
        if number < FAILURES_IN_A_ROW - 1:
            assert not bench.attempts.has_breaker_changes
            bench.call = bench.start()
    (opened,) = bench.attempts.breaker_changes()
    assert isinstance(opened, BreakerOpened)
    assert (opened.breaker, opened.tier) == ("gpt", ModelTier("gpt", "flex"))
    assert bench.budget.tiers.rests(ModelTier("gpt", "flex"))
    assert bench.budget.breaker.closed
    assert bench.account.breaker.closed
    assert bench.ticket.failures == 0


def test_a_success_of_the_probe_closes_the_breaker_of_its_tier() -> None:
    bench = Bench(ticket(replace(candidate(), tier="flex")))
    for _ in range(FAILURES_IN_A_ROW):
        bench.answer(verdict(Meaning.TIER_UNAVAILABLE))
        bench.call = bench.start()
    bench.attempts.breaker_changes()
    assert bench.decision(verdict()) == Complete()
    (closed,) = bench.attempts.breaker_changes()
    assert closed == BreakerClosed("gpt", 0, ModelTier("gpt", "flex"))
    assert bench.flights.expected_ms("flex") == 0


def test_a_call_of_another_tier_is_no_success_of_the_tier_that_rests() -> None:
    bench = Bench(ticket(replace(candidate(), tier="flex")))
    for _ in range(FAILURES_IN_A_ROW):
        bench.answer(verdict(Meaning.TIER_UNAVAILABLE))
        bench.call = bench.start()
    bench.attempts.take_back(CallNotSent(bench.call), NOW)
    bench.ticket = ticket()
    bench.call = bench.start()
    assert bench.decision(verdict()) == Complete()
    assert bench.budget.tiers.rests(ModelTier("gpt", "flex"))


def test_open_breakers_that_were_forgotten_are_reported_as_closed() -> None:
    breaker, tier = Breaker(), ModelTier("gpt", "flex")
    breaker.trip(Meaning.QUOTA, 1_000, 500)
    forgotten = [Forgotten("gpt", tier, breaker), Forgotten(None, None, breaker)]
    assert closings(forgotten, 9_000) == [BreakerClosed("gpt", 8_000, tier), BreakerClosed(None, 8_000)]
