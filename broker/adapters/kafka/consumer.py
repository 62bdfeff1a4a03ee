"""Lifecycle of a consumer: created with the options that all readers need, started and stopped within time limits.

Two defects of aiokafka, each seen on a real Kafka, are the reason: `start()` forgets a connection if it is cancelled
during that connection's first answer, and `stop()` can raise CancelledError or hang. So each runs as a task of its own,
with a limit.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from headrace.broker.adapters.kafka.connection import KafkaConnection, kafka_errors_explained
from headrace.broker.adapters.kafka.fetch import ScreeningClient
from headrace.broker.errors import Unreachable
from headrace.broker.tasks import ended

_FETCH_WAIT_MS = 100
_FETCH_BYTES_MAX = 1024 * 1024
_PREFETCH_BYTES = 32 * 1024 * 1024
_PARTITION_BYTES_MIN = 16 * 1024
"""Bytes one consumer fetches ahead, all partitions together; Kafka sends a larger batch whole all the same."""
_METADATA_AGE_MS = 30_000
_CLOSE_WITHIN_S = 3.0
_START_MAY_END_WITHIN_S = 0.5
_OPENED_AGAIN_AFTER_S = 0.5
_UNDOING: set[asyncio.Task[None]] = set()
"""Abandoned starts being undone: a loop holds its tasks by weak references only."""


def make_consumer(connection: KafkaConnection, *, fetch_wait_ms: int = _FETCH_WAIT_MS) -> AIOKafkaConsumer:
    """Create a consumer as PROTOCOL requires it: read_committed, no group, no reset, no automatic commits.

    `fetch_wait_ms` is how long Kafka holds back the answer to a fetch that finds nothing.
    """
    return AIOKafkaConsumer(
        **connection.client_kwargs(),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="none",
        fetch_max_wait_ms=fetch_wait_ms,
        max_partition_fetch_bytes=_FETCH_BYTES_MAX,
        metadata_max_age_ms=_METADATA_AGE_MS,
        request_timeout_ms=10_000,
        retry_backoff_ms=50,
    )


def limit_prefetch(consumer: AIOKafkaConsumer, partitions: int) -> None:
    """Bound the prefetched bytes: aiokafka holds a fetch of each partition, 1 MiB by default."""
    share = _PREFETCH_BYTES // max(1, partitions)
    limit = max(_PARTITION_BYTES_MIN, min(_FETCH_BYTES_MAX, share))
    consumer._fetcher._max_partition_fetch_bytes = limit  # noqa: SLF001 — set at construction, and partitions come later


async def start_consumer(consumer: AIOKafkaConsumer) -> None:
    """Connect a consumer; leave nothing of it open if that fails or the caller is cancelled.

    If the caller is cancelled, the start runs to its own end, unless that takes long, and is then undone.
    """
    starting = asyncio.create_task(consumer.start(), name="consumer start")
    try:
        await asyncio.shield(starting)
        consumer._fetcher._client = ScreeningClient(consumer._client)  # noqa: SLF001 — aiokafka makes its own
    except BaseException:
        undoing = asyncio.create_task(_undo(starting, consumer), name="consumer start undone")
        _UNDOING.add(undoing)
        undoing.add_done_callback(_UNDOING.discard)
        await asyncio.shield(undoing)
        raise


async def _undo(starting: asyncio.Task[None], consumer: AIOKafkaConsumer) -> None:
    await asyncio.wait({starting}, timeout=_START_MAY_END_WITHIN_S)
    await ended(starting)
    if not starting.cancelled():
        starting.exception()  # else asyncio logs it as never retrieved
    await close_consumer(consumer)


async def close_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer within time limits; its own `stop()` may raise CancelledError or never return."""
    try:
        await _stopped(consumer)
    finally:
        screening = getattr(consumer._fetcher, "_client", None)  # noqa: SLF001 — set by `start_consumer`
        if isinstance(screening, ScreeningClient):
            screening.release()


async def _stopped(consumer: AIOKafkaConsumer) -> None:
    stopping = asyncio.create_task(consumer.stop(), name="consumer stop")
    done, _ = await asyncio.wait({stopping}, timeout=_CLOSE_WITHIN_S)
    if done and not stopping.cancelled() and stopping.exception() is None:
        return
    stopping.cancel()
    fetcher, coordinator = consumer._fetcher, consumer._coordinator  # noqa: SLF001 — aiokafka has no public way
    tasks = [getattr(fetcher, "_fetch_task", None), getattr(coordinator, "_coordination_task", None)]
    tasks.append(getattr(coordinator, "_reset_committed_task", None))
    for task in tasks:
        if task is not None:
            task.cancel()
            await asyncio.wait({task}, timeout=0.3)
    with contextlib.suppress(TimeoutError, OSError, KafkaError):
        await asyncio.wait_for(consumer._client.close(), 2)  # noqa: SLF001 — same


async def opened_consumer(
    connection: KafkaConnection, begin: Callable[[AIOKafkaConsumer], Awaitable[None]], until_s: float
) -> AIOKafkaConsumer:
    """Return a consumer that `begin` has started and placed; while Kafka is away, try again up to the loop's `until_s`.

    Raises:
        Unreachable: Kafka was away until then.
        MissingTopic, RightsError, AuthenticationError: As `begin` does, at once.
    """
    while True:
        consumer = make_consumer(connection)
        try:
            async with kafka_errors_explained(connection, right="READ"):
                await begin(consumer)
        except Unreachable:
            await close_consumer(consumer)
            if asyncio.get_running_loop().time() + _OPENED_AGAIN_AFTER_S > until_s:
                raise
            await asyncio.sleep(_OPENED_AGAIN_AFTER_S)
        except BaseException:
            await close_consumer(consumer)
            raise
        else:
            return consumer
