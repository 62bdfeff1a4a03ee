"""Client cost of `generate(id=…)` where none of the ids was answered before, on a real Kafka.

The results topic holds an hour of outcomes. Callers ask one after the other, each for an id of its own, and each is
answered some seconds later, as by a model. Measured is the CPU time of this process, beside that of the same run with
ids that the client makes itself, which are never searched for.

    python -m benchmarks.read_back --outcomes 60000 --callers 20 100
"""

import argparse
import asyncio
import json
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from benchmarks.lanes.pair import create_topics, local_services
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.client import GenerationClient, submission
from headrace.schemas.codec import encode_outcome
from headrace.schemas.outcome import Completed
from headrace.schemas.topics import results_topic

LANE: Final = "standard"
TEXT: Final = "x" * 2_000
BODY: Final[dict[str, Any]] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
ANSWERED_AFTER_S: Final = 4.0
ASKED_EVERY_S: Final = 0.5


async def publish(producer: AIOKafkaProducer, topic: str, request_id: str) -> asyncio.Future[Any]:
    """Publish one outcome, of some two kilobytes."""
    response = {"choices": [{"message": {"content": TEXT}, "finish_reason": "stop"}]}
    record = encode_outcome(Completed(id=request_id, lane=LANE, response=response), time=datetime.now(UTC))
    sent: asyncio.Future[Any] = await producer.send(topic, record.value, key=record.key, headers=list(record.headers))
    return sent


async def asked(client: GenerationClient, producer: AIOKafkaProducer, topic: str, number: int, *, known: bool) -> None:
    """Play one caller: it asks, and is answered some seconds later."""
    await asyncio.sleep(number * ASKED_EVERY_S)
    prepared = submission({"id": f"asked-{uuid.uuid4().hex}", "body": BODY}, lane=LANE)
    waiting = asyncio.create_task(client.outcome_of(prepared, timeout_s=60, known_before=known))
    await asyncio.sleep(ANSWERED_AFTER_S)
    await (await publish(producer, topic, prepared.request.id))
    await waiting


async def measured(
    connection: KafkaConnection, prefix: str, producer: AIOKafkaProducer, callers: int, *, known: bool
) -> float:
    """Return the CPU time in seconds."""
    topic = results_topic(prefix)
    async with GenerationClient(connection=connection, topic_prefix=prefix) as client:
        cpu_s = time.process_time()
        await asyncio.gather(*(asked(client, producer, topic, number, known=known) for number in range(callers)))
        return time.process_time() - cpu_s


async def run(outcomes: int, callers: Sequence[int]) -> None:
    """Fill the topic, and print a line for each number of callers."""
    prefix = "read-back"
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(local_services())
        await create_topics(services, prefix)
        connection = KafkaConnection(services.endpoints.bootstrap_servers)
        producer = AIOKafkaProducer(**connection.client_kwargs(), max_batch_size=262_144, linger_ms=5)
        await producer.start()
        stack.push_async_callback(producer.stop)
        for first in range(0, outcomes, 1_000):
            await asyncio.gather(
                *[await publish(producer, results_topic(prefix), f"before-{first + each}") for each in range(1_000)]
            )
        for count in callers:
            without_s = await measured(connection, prefix, producer, count, known=False)
            with_s = await measured(connection, prefix, producer, count, known=True)
            row = {"outcomes": outcomes, "callers": count, "cpu_s_without": without_s, "cpu_s_with": with_s}
            print(json.dumps({key: round(value, 2) for key, value in row.items()}), flush=True)


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--outcomes", type=int, default=60_000)
    parser.add_argument("--callers", type=int, nargs="+", default=[20, 100])
    given = parser.parse_args()
    asyncio.run(run(given.outcomes, given.callers))


if __name__ == "__main__":
    main()
