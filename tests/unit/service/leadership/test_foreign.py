"""What others take from the same limit: counted once, and shown in the status."""

from tests.unit.service.rig import MODEL, Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME


@VIRTUAL_TIME
async def test_what_others_took_is_counted_once_and_said() -> None:
    process = Process(World(latency_s=0.1), "a")
    process.start()
    await led(process)
    process.world.submit("lead-1", body={"model": MODEL, "messages": [{"role": "user", "content": "hello"}]})
    await until(lambda: len(process.world.outcomes()) == 1)
    budget, counted = process.core.limits.limit_queues()[MODEL].budget, []
    for foreign_tokens in (40, 40, 55):
        budget._buckets.missing.taken = foreign_tokens
        process.telemetry.gauges(process.core, process.health, process.clock.now_ms())
        counted.append(process.metric("headrace_foreign_tokens_total", {"model": MODEL}))
    status = process.status.snapshot(process.clock.now_ms())
    await process.end()
    assert counted == [40, 40, 55]
    assert status["limits"][MODEL]["foreign_tokens"] == 55
