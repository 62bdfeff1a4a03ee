"""A limit that begins or ends to be spent at a measured rate, as operators see it: in the log and as a gauge."""

from structlog.testing import capture_logs

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.core.budget.budget import Budget
from headrace.broker.service.metrics.measured_rates import MeasuredRates
from tests.unit.core.budgets import UNKNOWN, answer, failure, full
from tests.unit.service.rig import MODEL, Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME


def shown(meter: Meter, limit: str) -> float | None:
    return meter._registry.get_sample_value("headrace_measured_tokens_per_minute", {"model": limit})


def test_a_measured_rate_is_shown_and_logged_once_when_it_begins_and_once_when_it_ends() -> None:
    meter, budget = Meter(), full()
    rates = MeasuredRates(meter)
    with capture_logs() as logs:
        rates.observe("m", budget, 1_000)
        assert shown(meter, "m") == 0
        budget.guide.inherit(20_000, 1_500)
        rates.observe("m", budget, 2_000)
        rates.observe("m", budget, 3_000)
        assert shown(meter, "m") == 20_000
        budget.guide._trust.measures_since_ms = None
        rates.observe("m", budget, 12_500)
        rates.observe("m", budget, 13_500)
        assert shown(meter, "m") == 0
    why = "its server's numbers are in doubt"
    assert logs == [
        {"event": "measuring_begins", "log_level": "info", "limit": "m", "tokens_per_minute": 20_000, "why": why},
        {"event": "measuring_ends", "log_level": "info", "limit": "m", "lasted_s": 10.5},
    ]


def test_a_limit_of_which_nothing_is_stated_says_so_in_the_log() -> None:
    budget = Budget(UNKNOWN, 0, None)
    for attempt, told in enumerate((answer(), failure(429))):
        budget.reserve(attempt, 400, 0)
        budget.record_answer(attempt, 0, told)
    with capture_logs() as logs:
        MeasuredRates(Meter()).observe("m", budget, 1_000)
    assert [line["why"] for line in logs] == ["no limit of tokens is stated"]


def test_a_limit_that_is_forgotten_and_comes_back_begins_anew() -> None:
    meter, budget = Meter(), full()
    rates = MeasuredRates(meter)
    budget.guide.inherit(20_000, 0)
    with capture_logs() as logs:
        rates.observe("m", budget, 0)
        rates.forget("m")
        assert shown(meter, "m") == 0
        rates.forget("never known")
        rates.observe("m", budget, 1_000)
    assert [line["event"] for line in logs] == ["measuring_begins", "measuring_begins"]


@VIRTUAL_TIME
async def test_a_leader_shows_the_measured_rate_of_each_limit_and_forgets_it_with_the_limit() -> None:
    process = Process(World(latency_s=0.1), "a")
    process.start()
    await led(process)
    process.world.submit("lead-1", body={"model": MODEL, "messages": [{"role": "user", "content": "hello"}]})
    await until(lambda: len(process.world.outcomes()) == 1)
    desks = process.core.limits.limit_queues()
    desks[MODEL].budget.guide.inherit(20_000, process.clock.now_ms())
    process.telemetry.gauges(process.core, process.health, process.clock.now_ms())
    measured = process.metric("headrace_measured_tokens_per_minute", {"model": MODEL})
    desks.pop(MODEL)
    process.telemetry.gauges(process.core, process.health, process.clock.now_ms())
    forgotten = process.metric("headrace_measured_tokens_per_minute", {"model": MODEL})
    await process.end()
    assert (measured, forgotten) == (20_000, 0)
