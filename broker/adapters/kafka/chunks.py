"""Writer of the chunks topic: a bounded queue that drops, and a producer that never blocks the dispatcher.

Chunks are useful for seconds only, so they are acknowledged by the partition's leader alone, outside of any
transaction. A cluster that is away or slow costs chunks, which are counted, and never holds up the dispatcher.
"""

import asyncio
import logging
import time
from collections import deque

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.transactions import close_producer
from headrace.broker.errors import SettingsError
from headrace.broker.tasks import ended, set_within
from headrace.broker.traces import traced
from headrace.schemas.record import Record

WAITING_MAX = 10_000
WAITING_BYTES_MAX = 8 * 1024 * 1024
STALE_S = 5.0
"""Chunks that have waited this long are dropped: the outcome may arrive before them."""
_REQUEST_MS = 4_000
_BATCH_BYTES_MAX = 64 * 1024
_SEND_WITHIN_S = 2.0
_START_WITHIN_S = 5.0
_FLUSH_S = 0.5
_PAUSE_FIRST_S = 0.2
_PAUSE_MAX_S = 5.0
_TROUBLE = (KafkaError, OSError, TimeoutError, AssertionError, SettingsError)

_log = logging.getLogger("headrace.chunks")


class KafkaChunks:
    """A `ChunkLog`. It connects when the first chunk is to be sent."""

    def __init__(self, connection: KafkaConnection, *, topic: str) -> None:
        """Must be called inside the running event loop."""
        self.dropped = 0
        self._connection = connection
        self._topic = topic
        self._waiting: deque[tuple[float, Record]] = deque()
        self._bytes = 0
        self._stirred = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_closed = False
        self._sending: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """See `headrace.broker.ports.ChunkLog.prepare`."""
        if self._sending is None and not self._is_closed:
            self._sending = asyncio.create_task(self._run(), name="send chunks")

    def send(self, record: Record) -> None:
        """See `headrace.broker.ports.ChunkLog.send`."""
        fits = len(self._waiting) < WAITING_MAX and self._bytes + record.bytes_max <= WAITING_BYTES_MAX
        if self._is_closed or not fits:
            self.dropped += 1
            return
        self._waiting.append((time.monotonic(), record))
        self._bytes += record.bytes_max
        self._idle.clear()
        self._stirred.set()
        self.prepare()

    async def _run(self) -> None:
        """Deliver until cancelled; an error of the client over one chunk costs that chunk only, not all later ones."""
        pause_s = _PAUSE_FIRST_S
        while True:
            try:
                producer = self._made()
                try:
                    await asyncio.wait_for(self._start(producer), _START_WITHIN_S)
                    pause_s = _PAUSE_FIRST_S
                    await self._deliver(producer)
                finally:
                    await close_producer(producer)
            except _TROUBLE:
                pass
            except Exception as error:  # noqa: BLE001 — this task is not awaited: it would end in silence
                _log.error("sending chunks failed: %s", traced(error))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)

    def _made(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            client_id="headrace-chunks",
            acks=1,
            request_timeout_ms=_REQUEST_MS,
            retry_backoff_ms=50,
            max_batch_size=_BATCH_BYTES_MAX,
            **self._connection.client_kwargs(),
        )

    async def _start(self, producer: AIOKafkaProducer) -> None:
        await producer.start()
        cluster = await producer.client.fetch_all_metadata()  # asking by name would create the topic
        if self._topic not in cluster.topics():
            raise TimeoutError

    async def _deliver(self, producer: AIOKafkaProducer) -> None:
        """Send the queued chunks until Kafka refuses one."""
        while True:
            while not self._waiting:
                self._stirred.clear()
                self._idle.set()
                await self._stirred.wait()
            since_s, record = self._waiting.popleft()
            self._bytes -= record.bytes_max
            if time.monotonic() - since_s > STALE_S:
                self.dropped += 1
                continue
            try:
                sent = await asyncio.wait_for(
                    producer.send(self._topic, record.value, key=record.key, headers=list(record.headers)),
                    _SEND_WITHIN_S,
                )
            except MessageSizeTooLargeError:
                self.dropped += 1
            except BaseException:
                self.dropped += 1
                raise
            else:
                sent.add_done_callback(self._ended)

    def _ended(self, sent: "asyncio.Future[object]") -> None:
        if sent.cancelled() or sent.exception() is not None:
            self.dropped += 1

    async def close(self) -> None:
        """See `headrace.broker.ports.ChunkLog.close`."""
        self._is_closed = True
        if self._sending is None:
            return
        await set_within(self._idle, _FLUSH_S)
        self.dropped += len(self._waiting)
        self._waiting.clear()
        await ended(self._sending)
