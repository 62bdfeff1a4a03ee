"""Single steps of a run, where the order of two processes' records decides."""

import pytest

from headrace.broker.gateway.batches.plan import Step, next_step
from headrace.broker.gateway.batches.records import BatchCancelAsked, BatchValidated
from headrace.broker.gateway.batches.run import BatchRun
from headrace.broker.gateway.batches.store import BatchStore
from headrace.broker.testing.batch_doors import MemoryBatchDoors
from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.memory_broker import MemoryBroker
from headrace.schemas.topics import batches_topic, requests_topic
from tests.unit.gateway.batches.test_runs_killed import LINES, begun, now
from tests.unit.gateway.batches.world import PREFIX

pytestmark = [pytest.mark.virtual_time, pytest.mark.looptime]


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_nothing_is_submitted_if_a_cancel_stands_before_the_announcement(*, is_cancelled: bool) -> None:
    broker = MemoryBroker()
    broker.kafka.create(batches_topic(PREFIX), 12)
    doors = MemoryBatchDoors(broker.kafka, KafkaLink(broker.kafka))
    store = BatchStore(doors.seekable(), PREFIX, lambda: now(broker))
    created = await begun(store, broker, 86_400)
    await store.append(created, BatchValidated(lines=LINES))
    run = BatchRun(store, doors.submissions(), PREFIX, created, broker.kafka.utc_ms)
    ends = await run._outcomes.ends()
    await run._refresh()
    run._outcomes.start(run._folded.state, ends)
    run._memory.has_looked = True
    assert next_step(run._folded.state, run._memory, broker.kafka.utc_ms()) is Step.SUBMIT
    if is_cancelled:
        await store.append(created, BatchCancelAsked())  # the run does not know of it yet
    await run._submit()
    assert len(broker.kafka.committed(requests_topic(PREFIX, "bulk"))) == (0 if is_cancelled else 200)
    assert run._folded.state.upto == 200, "another run that handles the cancel cancels these as well"
