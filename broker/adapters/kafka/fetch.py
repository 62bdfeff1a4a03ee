"""Screened fetches: every batch is checked before aiokafka unpacks it, and batches can be fetched as bytes.

Work on batches runs in threads, since a batch may take seconds: hundreds of small ones in one fetch that unpack to
60 MB each, or a million records in one that is read record by record. The loop renews the lease meanwhile. The threads
belong to the client: blocking work such as looking up hosts occupies the loop's own, and would stall all fetching.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import LeaderNotAvailableError, NoError, for_code
from aiokafka.protocol.fetch import FetchRequest

from headrace.broker.adapters.kafka.batches import (
    Pieces,
    ReadableBatch,
    first_batch,
    is_packed,
    readable_batches,
    screened,
)
from headrace.broker.adapters.kafka.fetched_batches import FetchedBatches
from headrace.broker.errors import LogUnavailable

_log = logging.getLogger("headrace.kafka")  # clients read through this module too, and log as libraries do

_T = TypeVar("_T")
_THREADS: Final = 2
"""Threads of one client, created at first use: one for fetches, one for batches that are read record by record."""
_READ_COMMITTED = 1
_METADATA_WITHIN_S = 5.0
_WAIT_MS = 500
_ONE_BATCH_BYTES = 1
"""Kafka sends the first batch whole, however small this limit is."""
_THROTTLED_MIN_MS = 100


class _Fetch(NamedTuple):
    """Content of one partition in the answer to a fetch; `stable_end` is behind the last record that may be read."""

    data: bytes
    aborted: Sequence[tuple[int, int]]
    stable_end: int


class _Throttled(NamedTuple):
    """An answer without the partition: a quota of the cluster puts the fetch off."""

    for_ms: int


class ScreeningClient:
    """An aiokafka client whose fetches hold no batch that unpacks to more than allowed; `release` ends its threads."""

    def __init__(self, client: Any) -> None:
        """Wrap the client that does everything else."""
        self._client = client
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="batches")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **how: Any) -> Any:
        """Send a request; a batch that must not be unpacked comes back with a wrong checksum."""
        response = await self._client.send(node_id, request, **how)
        if isinstance(request, FetchRequest):
            response.topics = [
                (topic, [(*fields[:-1], await self._screened(fields[-1] or b"")) for fields in partitions])
                for topic, partitions in response.topics
            ]
        return response

    async def _screened(self, data: bytes) -> bytes:
        """Screen one fetch.

        An exception here would end aiokafka's fetching for good; a fetch that could not be screened is fetched again.
        """
        try:
            return await self.beside(partial(screened, data)) if is_packed(data) else data
        except Exception as error:  # noqa: BLE001 — see above
            _log.error("%s: %s in %d bytes", "fetch_not_screened", type(error).__name__, len(data))
            return b""

    async def beside(self, work: Callable[[], _T]) -> _T:
        """Run the work in a thread of this client."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def release(self) -> None:
        """End the threads after their current work; nothing is screened from here on."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def fetched_batch(
    consumer: AIOKafkaConsumer, place: KafkaPartition, first: int, *, wait_ms: int = _WAIT_MS
) -> Pieces | None:
    """Fetch the batch that holds an offset and read it record by record; None if there is none within `wait_ms`.

    Raises:
        KafkaError: Kafka does not answer, or with an error.
    """
    fetch = await _fetch(consumer, place, first, bytes_max=_ONE_BATCH_BYTES, wait_ms=wait_ms)
    if isinstance(fetch, _Throttled):
        return None
    return await in_thread(consumer, partial(first_batch, fetch.data, first, fetch.aborted))


async def fetched_packed(consumer: AIOKafkaConsumer, place: KafkaPartition, first: int) -> FetchedBatches:
    """Fetch batches with records from an offset on; unpack none. The result has none where nothing more is readable.

    A fetch that a quota of the cluster puts off is repeated.

    Raises:
        KafkaError: Kafka does not answer, or with an error.
        LogUnavailable: Kafka says that something is readable there, and sends nothing.
    """
    bytes_max = consumer._fetcher._max_partition_fetch_bytes  # noqa: SLF001 — what `limit_prefetch` has set
    batches, end = await fetched_range(consumer, place, first, bytes_max=bytes_max)
    return FetchedBatches(batches, end, first)


async def fetched_range(
    consumer: AIOKafkaConsumer, place: KafkaPartition, first: int, *, bytes_max: int
) -> tuple[Sequence[ReadableBatch], int]:
    """Fetch as `fetched_packed`; return the batches, and the offset behind all that was fetched.

    Raises:
        KafkaError, LogUnavailable: As `fetched_packed`.
    """
    while True:
        fetch = await _fetch(consumer, place, first, bytes_max=bytes_max, wait_ms=0)
        if isinstance(fetch, _Throttled):
            await asyncio.sleep(max(_THROTTLED_MIN_MS, fetch.for_ms) / 1_000)  # Kafka would not answer before
            continue
        batches, end = readable_batches(fetch.data, first, fetch.aborted)
        if batches or first >= fetch.stable_end:
            return batches, end
        if end == first:
            raise LogUnavailable(
                f"{place.topic}/{place.partition} has records from offset {first} on; Kafka sends none."
            )
        first = end


async def in_thread(consumer: AIOKafkaConsumer, work: Callable[[], _T]) -> _T:
    """Run the work in a thread of the consumer's client."""
    screening: ScreeningClient = consumer._fetcher._client  # noqa: SLF001 — set by `start_consumer`
    return await screening.beside(work)


async def _fetch(
    consumer: AIOKafkaConsumer, place: KafkaPartition, first: int, *, bytes_max: int, wait_ms: int
) -> _Fetch | _Throttled:
    client = consumer._client  # noqa: SLF001 — the public ways unpack
    node_id = await _leader(client, place)
    wanted = [(place.topic, [(place.partition, first, bytes_max)])]
    request = FetchRequest(wait_ms, 1, bytes_max, _READ_COMMITTED, wanted)
    # a connection of its own: Kafka answers in order, and the consumer's fetch waits there until a record comes
    response = await client.send(node_id, request, group=ConnectionGroup.COORDINATION)
    for _, partitions in response.topics:
        for fields in partitions:
            error = for_code(fields[1])
            if error is not NoError:
                if error.invalid_metadata:
                    client.force_metadata_update()  # in the background: another node leads the partition now
                raise error
            aborted = fields[5] if response.API_VERSION >= 11 else fields[-2]  # as aiokafka's fetcher reads them
            return _Fetch(fields[-1] or b"", aborted or (), fields[3])
    return _Throttled(response.throttle_time_ms)


async def _leader(client: AIOKafkaClient, place: KafkaPartition) -> int:
    """Return the node that leads a partition; ask Kafka if it is not known, as at the start of a client."""
    node_id = client.cluster.leader_for_partition(place)
    if node_id is None or node_id == -1:
        with contextlib.suppress(TimeoutError):  # Kafka is away: the check below raises
            await asyncio.wait_for(client.force_metadata_update(), _METADATA_WITHIN_S)
        node_id = client.cluster.leader_for_partition(place)
    if node_id is None or node_id == -1:
        raise LeaderNotAvailableError(f"{place.topic}/{place.partition} has no leader now")
    return int(node_id)
