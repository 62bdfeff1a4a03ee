"""Why each breaker is open, as a metric: a series that ends when the breaker closes, or when its leader stands by."""

from typing import Any

from headrace.broker.core.events import StoodBy
from headrace.broker.testing.upstream import Said
from tests.unit.service.rig import MODEL, Process, World, led, settings_of, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

REFUSED_KEY = Said(
    401, {"error": {"message": "Incorrect API key", "type": "invalid_request_error", "code": "invalid_api_key"}}
)
DOWN = Said(503, {"error": {"message": "down", "type": "server_error", "code": None}})


def causes(process: Process) -> dict[tuple[str, str], float]:
    process.telemetry.gauges(process.core, process.health, process.clock.now_ms())
    return {
        (sample.labels["model"], sample.labels["cause"]): sample.value
        for family in process.meter._registry.collect()
        for sample in family.samples
        if sample.name == "headrace_breaker_cause"
    }


async def troubled(said: Said, **groups: Any) -> Process:
    world = World(latency_s=0.1)
    process = Process(world, "a", settings=settings_of(**groups))
    world.upstream.script = lambda asked: said
    process.start()
    await led(process)
    world.submit("lead-1")
    return process


async def test_the_account_s_breaker_is_shown_with_its_cause_until_it_closes() -> None:
    process = await troubled(REFUSED_KEY)
    assert causes(process) == {}
    await until(lambda: not process.core.limits.account.breaker.closed)
    opened = causes(process)
    process.world.upstream.script = None
    await until(lambda: len(process.world.outcomes()) == 1)
    closed = causes(process)
    await process.end()
    assert (opened, closed) == ({("(account)", "auth"): 1.0}, {})


async def test_a_limit_s_breaker_is_shown_under_the_limit_s_name_and_not_by_a_process_that_stands_by() -> None:
    process = await troubled(DOWN)
    queues = process.core.limits.limit_queues()
    await until(lambda: MODEL in queues and not queues[MODEL].budget.breaker.closed)
    opened = causes(process)
    process.core.on(StoodBy(), process.clock.now_ms())
    after = causes(process)
    await process.kill()
    assert (opened, after) == ({(MODEL, "overloaded"): 1.0}, {})
    assert process.metric("headrace_breaker_open", {"model": MODEL}) == 0
