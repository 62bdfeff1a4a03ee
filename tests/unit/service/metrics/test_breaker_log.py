"""A breaker that opens says what for: in the log, in the status and as a metric; never with a word of the prompt."""

import json
from typing import Any

from structlog.testing import capture_logs

from headrace.broker.testing.upstream import Asked, Said
from headrace.schemas.codec import decode_failure
from headrace.schemas.topics import failures_topic
from tests.unit.service.rig import MODEL, PREFIX, Process, World, led, settings_of, until
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME

OTHER = "gpt-4o"
NO_CREDIT = Said(
    429,
    {
        "error": {
            "message": "You exceeded your current quota",
            "type": "insufficient_quota",
            "code": "insufficient_quota",
        }
    },
    {"X-Request-Id": "req_1234"},
)
PROMPT = "Dear Ms Prompt, I am an unhappy paragraph"


def both(**limits: Any) -> Process:
    plenty = {"tokens_per_minute": 600_000_000, "requests_per_minute": 600_000_000}
    world = World(latency_s=0.1)
    return Process(world, "a", settings=settings_of(limits={MODEL: plenty, OTHER: plenty} | limits))


def ask(process: Process, request_id: str, model: str = MODEL) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": PROMPT}]}
    process.world.submit(request_id, body=body)


async def test_an_account_without_credit_rests_every_limit_and_says_so_everywhere() -> None:
    process = both()
    process.world.upstream.script = lambda asked: NO_CREDIT
    with capture_logs() as logs:
        process.start()
        await led(process)
        ask(process, "lead-1")
        await until(lambda: not process.core.limits.account.breaker.closed)
        ask(process, "lead-2", OTHER)
        await until(lambda: len(process.core.limits.limit_queues()) == 2)
        process.telemetry.gauges(process.core, process.health, process.clock.now_ms())
        status = process.status.snapshot(process.clock.now_ms())
        asked = len(process.world.upstream.asked)
        process.world.upstream.script = None
        await until(lambda: len(process.world.outcomes()) == 2)
    after = process.status.snapshot(process.clock.now_ms())
    await process.end()
    assert asked == 1, "the other limit is not called: it is the account that has no credit"
    tripped = status["account"]["tripped"]
    assert status["account"]["breaker"] == "open: quota"
    assert {name: tripped[name] for name in ("meaning", "limit", "status", "code", "request_id")} == {
        "meaning": "quota",
        "limit": MODEL,
        "status": 429,
        "code": "insufficient_quota",
        "request_id": "lead-1",
    }
    assert tripped["upstream_request_id"] == "req_1234"
    assert status["trouble"] == "The account's breaker is open (quota)."
    assert status["limits"][MODEL]["breaker"] == "closed"
    assert [process.metric("headrace_breaker_open", {"model": model}) for model in (MODEL, OTHER)] == [1, 1]
    assert (after["account"]["breaker"], after["account"]["tripped"], after["trouble"]) == ("closed", None, None)
    said = {log["event"]: log for log in logs if log["event"].startswith("breaker_")}
    assert set(said) == {"breaker_opened", "breaker_closed"}
    assert said["breaker_opened"]["breaker"] == "(account)"
    assert said["breaker_opened"]["upstream_request_id"] == "req_1234"
    assert "Prompt" not in json.dumps([status, logs], default=str)


async def test_a_limit_in_trouble_says_so_alone_and_the_other_goes_on() -> None:
    process = both()

    def busy(asked: Asked) -> Said | None:
        return (
            Said(503, {"error": {"message": PROMPT, "code": PROMPT, "type": "x"}})
            if asked.body["model"] == MODEL
            else None
        )

    process.world.upstream.script = busy
    process.start()
    await led(process)
    for number in range(6):
        ask(process, f"lead-{number}")
        ask(process, f"other-{number}", OTHER)
    await until(lambda: len(process.world.outcomes()) == 6)
    await until(lambda: not process.core.limits.limit_queues()[MODEL].budget.breaker.closed)
    process.telemetry.gauges(process.core, process.health, process.clock.now_ms())
    status = process.status.snapshot(process.clock.now_ms())
    process.world.upstream.script = None
    await until(lambda: len(process.world.outcomes()) == 12)
    await process.end()
    tripped = status["limits"][MODEL]["tripped"]
    assert (status["account"]["breaker"], status["account"]["tripped"]) == ("closed", None)
    assert status["limits"][MODEL]["breaker"] == "open: overloaded"
    assert (tripped["status"], tripped["type"], "code" in tripped) == (503, "x", False)
    assert status["trouble"] == f"The breaker of limit {MODEL} is open (overloaded)."
    assert [process.metric("headrace_breaker_open", {"model": model}) for model in (MODEL, OTHER)] == [1, 0]
    assert "Prompt" not in json.dumps(status)


async def test_a_model_used_up_for_the_day_is_parked_and_said_and_the_other_comes_through() -> None:
    """The lanes hold twenty, and fifty requests of a model that is shut stand in front."""
    plenty = {"tokens_per_minute": 600_000_000, "requests_per_minute": 600_000_000}
    lanes = {name: {"order": order, "buffer_max": 20} for order, name in enumerate(("urgent", "standard", "bulk"), 1)}
    process = Process(
        World(latency_s=0.1, partitions=1),
        "a",
        settings=settings_of(limits={MODEL: plenty, OTHER: plenty}, lanes=lanes),
    )
    day = Said(429, {"error": {"message": "x", "code": "rate_limit_exceeded"}}, {"retry-after": "3000"})
    process.world.upstream.script = lambda asked: day if asked.body["model"] == MODEL else None
    with capture_logs() as logs:
        process.start()
        await led(process)
        for number in range(50):
            ask(process, f"lead-{number}")
        for number in range(10):
            ask(process, f"other-{number}", OTHER)
        await until(lambda: len(process.world.outcomes()) == 10)
        process.telemetry.gauges(process.core, process.health, process.clock.now_ms())
        process.telemetry.gauges(process.core, process.health, process.clock.now_ms())
    status = process.status.snapshot(process.clock.now_ms())
    await process.end()
    failures = process.world.kafka.committed(failures_topic(PREFIX))
    (said,) = [log for log in logs if log["event"] == "parked"]
    assert {outcome["model"] for outcome in process.world.outcomes()} <= {OTHER, None}
    assert said["rate_limited"] == said["away"] == status["parked"] == len(failures) == 40
    told = [decode_failure(each.record.value or b"") for each in failures]
    assert {each.kind for each in told} == {"rate_limited"}
    assert sorted(each.attempt for each in told)[:39] == [0] * 39, "unpaid"
