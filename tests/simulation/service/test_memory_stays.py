"""What a dispatcher holds depends on what it has to do, not on how long it has done it nor on what befell it."""

import asyncio
import gc
from collections import Counter

import pytest

from headrace.broker.client import submission
from headrace.broker.core.bounds import DEADLINES_SWEPT_ABOVE
from headrace.broker.core.budget.sent_calls import SENDS_MAX
from headrace.broker.testing import MemoryBroker
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME
LANES = ("urgent", "standard", "bulk")
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi " * 50}]}
A_SECOND = 16
OURS = ("headrace.broker.core.", "headrace.broker.service.", "headrace.broker.adapters.")
GONE = DEADLINES_SWEPT_ABOVE + 2 * 30 * A_SECOND
"""So many that have gone stay among the deadlines, until they are swept."""
TICKETS = ("LanePartition", "Ticket", "Candidate", "Source")
KEPT_FOR_A_WHILE = {
    "headrace.broker.core.pricing.laws.Prices": 2 * SENDS_MAX
    + GONE,  # with the last sends, from which laws are learned
    "headrace.broker.core.lanes.tenant_queue.TenantQueue": GONE,  # of keys that were, until they are swept
    **dict.fromkeys((f"headrace.broker.core.ticket.{name}" for name in TICKETS), GONE),
    "headrace.broker.core.identity.outcome_index.Identity": GONE,
}
"""What grows up to a bound of its own."""


def held() -> Counter[str]:
    """How many objects of each of our classes live."""
    gc.collect()
    names = (f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    return Counter(name for name in names if name.startswith(OURS))


async def busy_minute(broker: MemoryBroker, first: int) -> int:
    """Half a minute of work, of which Kafka is away for ten seconds, and rest until every answer is forgotten."""
    sent = first
    for second in range(30):
        if second == 10:
            broker.kafka.stop()
        if second == 20:
            broker.kafka.start_again()
        for _ in range(A_SECOND):
            sent += 1
            request = {"id": f"lead-{sent}", "body": BODY, "tenant": f"tenant-{sent % 7}"}
            made = submission(request, lane=LANES[sent % 3])
            broker.kafka.append(f"generation.requests.{made.lane}", made.record)
        await asyncio.sleep(1)
    await asyncio.sleep(120)
    assert len(broker.outcomes) == sent
    return sent


@pytest.mark.timeout(120)
async def test_after_six_outages_a_dispatcher_holds_what_it_held_after_two() -> None:
    settings = {"dedupe": {"window_s": 60}}
    before = held()  # of tests before in this process: aiohttp keeps the handlers of its last applications
    async with MemoryBroker(latency_s=2.0, settings=settings, topic_prefix="generation") as broker:
        sent, after = 0, []
        for _ in range(6):
            sent = await busy_minute(broker, sent)
            after.append(held())
        early, late = after[1] - before, after[-1] - before
        assert late["headrace.broker.core.dispatch.Dispatch"] == 1, "the counting sees the dispatcher"
        assert sum(late.values()) > 100
        for name, bound in KEPT_FOR_A_WHILE.items():
            assert late.pop(name) <= bound, name
        grown = {name: (early[name], count) for name, count in late.items() if count > early[name] + 10}
        assert not grown
