"""What a replay puts back is answered: the real dispatcher in memory, and the results it publishes."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest

from headrace.broker.client import GenerationClient
from headrace.broker.clock import WallClock
from headrace.broker.errors import ProducerDead
from headrace.broker.testing import Asked, MemoryBroker, Said
from headrace.broker.testing.kafka import KafkaLink
from headrace.broker.testing.kafka_doors import MemoryOffsets, MemoryTransactions
from headrace.consumers.replays import job
from headrace.consumers.replays.doors import ReplayDoors
from headrace.consumers.replays.replay import Replay, ReplayReceipt, ReplayRules, ReplayTally
from headrace.consumers.replays.verdicts import Lane, Skip
from headrace.schemas.outcome import Failed
from tests.contract.broker_contract import BODY
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME
NAMES = tuple(f"lead-{number}" for number in range(20))
SETTLED_S = 100
"""After so long in virtual time, every call has been answered."""


class Nobody:
    def looks(self, done: int, total: int) -> None: ...
    def puts_back(self, receipts: Sequence[ReplayReceipt], tally: ReplayTally) -> None: ...


async def replayed(broker: MemoryBroker, asked: job.ReplayRequest) -> ReplayTally:
    link = KafkaLink(broker.kafka)
    doors = ReplayDoors(
        clients=broker.connection,
        offsets_of=lambda group: MemoryOffsets(link, group=group),
        producer_of=lambda group: MemoryTransactions(link, transactional_id="generation.replay", group=group),
    )
    lanes = {name: Lane(timedelta(hours=1), 900_000) for name in broker.settings.lanes}
    clock = WallClock(asyncio.get_running_loop().time)
    work = Replay(doors, asked, ReplayRules("generation", lanes), clock=clock, watcher=Nobody())
    await work.open()
    try:
        return await work.run()
    finally:
        await work.close()


async def failed(broker: MemoryBroker, generations: GenerationClient) -> None:
    for name in NAMES:
        await generations.submit(BODY, lane="urgent", id=name, tenant="acme")
    await asyncio.sleep(SETTLED_S)
    assert len(broker.dead_letters) == len(NAMES)


async def outcomes(broker: MemoryBroker) -> Counter[tuple[str, int, str]]:
    await asyncio.sleep(SETTLED_S)
    return Counter((each.id, each.run, each.status) for each in broker.outcomes)


@pytest.mark.slow
async def test_each_is_answered_once_as_its_next_run() -> None:
    is_mended = False

    def answer(_: Asked) -> str | Said:
        return "Dear Ada" if is_mended else Said(status=400, body='{"error": {"message": "No.", "code": "x"}}')

    async with MemoryBroker(answer) as broker, GenerationClient(connection=broker.connection) as generations:
        await failed(broker, generations)
        is_mended = True
        assert (await replayed(broker, job.ReplayRequest(reasons=("rejected",)))).put_back == len(NAMES)
        assert await outcomes(broker) == Counter(
            [(name, 0, "failed") for name in NAMES] + [(name, 1, "completed") for name in NAMES]
        )
        again = await replayed(
            broker, job.ReplayRequest(tenant="acme")
        )  # another job, which has no progress of its own
        assert (again.put_back, again.skipped) == (0, {Skip.ANSWERED: len(NAMES)})


@pytest.mark.slow
async def test_two_jobs_at_once_in_effect_are_one_call_each() -> None:
    """The second job puts back what the first one's outcomes do not tell yet; the dispatcher recognises it."""
    is_mended = False

    def answer(_: Asked) -> str | Said:
        return Said(status=400, body='{"error": {"message": "No."}}') if not is_mended else "Dear Ada"

    async with (
        MemoryBroker(answer, latency_s=30) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        await failed(broker, generations)
        is_mended = True
        first = await replayed(broker, job.ReplayRequest(reasons=("rejected",)))
        second = await replayed(broker, job.ReplayRequest(tenant="acme"))
        assert (first.put_back, second.put_back) == (len(NAMES), len(NAMES))
        found = await outcomes(broker)
        assert found == Counter([(name, 0, "failed") for name in NAMES] + [(name, 1, "completed") for name in NAMES])
        assert set(broker.calls_by_id.values()) == {2}


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0, 0.1, 0.5, 20, 40])
async def test_two_replays_and_a_cancel_of_each_end_in_one_outcome_of_the_next_run(after_s: float) -> None:
    """Cancels that come before the replays, beside them, while the calls are under way, and when they are answered."""
    is_mended = False

    def answer(_: Asked) -> str | Said:
        return "Dear Ada" if is_mended else Said(status=400, body='{"error": {"message": "No."}}')

    async with (
        MemoryBroker(answer, latency_s=30) as broker,
        GenerationClient(connection=broker.connection) as generations,
    ):
        await failed(broker, generations)
        is_mended = True

        async def cancel() -> None:
            await asyncio.sleep(after_s)
            for name in NAMES:
                await generations.cancel(name)

        jobs = [
            job.ReplayRequest(reasons=("rejected",)),
            job.ReplayRequest(reasons=("rejected",)),
            job.ReplayRequest(tenant="acme"),
        ]
        ended = await asyncio.gather(cancel(), *(replayed(broker, each) for each in jobs), return_exceptions=True)
        assert all(each is None or isinstance(each, ReplayTally | ProducerDead) for each in ended), ended
        await replayed(broker, jobs[0])
        found = await outcomes(broker)
        assert Counter((name, run) for name, run, _ in found.elements()) == {
            (name, run): 1 for name in NAMES for run in (0, 1)
        }
        cancelled = {each.id for each in broker.outcomes if isinstance(each, Failed) and each.reason == "cancelled"}
        assert after_s != 20 or cancelled == set(NAMES), "all were under way"
        assert after_s != 40 or not cancelled, "all were answered"
