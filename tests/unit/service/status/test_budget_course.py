"""What the status says of how a limit's calls are spent: by the server's own numbers, or by a measured rate."""

from headrace.broker.core.budget.budget import Budget
from headrace.broker.service.status.status import FOLLOWS, MEASURES
from headrace.schemas.instants import to_wire
from tests.unit.core.budgets import UNKNOWN, answer, failure
from tests.unit.service.rig import MODEL, Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME


@VIRTUAL_TIME
async def test_a_limit_says_what_it_follows_and_since_when_it_measures() -> None:
    process = Process(World(latency_s=0.1), "a")
    process.start()
    await led(process)
    process.world.submit("lead-1", body={"model": MODEL, "messages": [{"role": "user", "content": "hello"}]})
    await until(lambda: len(process.world.outcomes()) == 1)
    now_ms = process.clock.now_ms()
    follows = process.status.snapshot(now_ms)["limits"][MODEL]
    budget = process.core.limits.limit_queues()[MODEL].budget
    budget.pause_until(now_ms + 3_600_000)
    paused = process.status.snapshot(now_ms)["limits"][MODEL]
    budget.guide.inherit(20_000, now_ms)
    since = to_wire(process.status.clock.utc_now())
    measures = process.status.snapshot(now_ms)["limits"][MODEL]
    await process.end()
    assert (paused["paused_s"], measures["paused_s"]) == (3_600.0, 0.0), "a measured rate keeps no such pause"
    assert (follows["budget"], follows["measured_tokens_per_minute"]) == (FOLLOWS, None)
    assert (measures["budget"], measures["measured_tokens_per_minute"]) == (f"{MEASURES}, since {since}", 20_000)


@VIRTUAL_TIME
async def test_where_no_limit_of_tokens_is_stated_it_says_so() -> None:
    process = Process(World(), "a")
    budget = Budget(UNKNOWN, 0, None)
    for attempt, told in enumerate((answer(), failure(429))):
        assert process.status._course(budget, 0) == FOLLOWS
        budget.reserve(attempt, 400, 0)
        budget.record_answer(attempt, 0, told)
    assert process.status._course(budget, 0) == f"{MEASURES}: no limit of tokens is stated"
