"""Chunks of streamed calls, led to the client that waits for them.

Best effort, as chunks are: a client that reads slowly loses chunks once its queue is full, and has that part of the
answer with the outcome.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from headrace.broker.client_ports import KeyedLog, StoredRecord
from headrace.broker.errors import HeadraceError
from headrace.schemas.chunk import Chunk
from headrace.schemas.codec import WireError, decode_chunk
from headrace.schemas.expectation import Expectation

QUEUED_MAX: Final = 1_000
CONNECT_WITHIN_S: Final = 5.0


class ChunkQueue:
    """Chunks of one request that came and were not sent yet; a `headrace.broker.client_ports.Follower`."""

    def __init__(self, expected: Expectation) -> None:
        """Chunks that contradict what is expected belong to another request with the same id, and are left out."""
        self._expected = expected
        self._chunks: deque[Chunk] = deque()
        self._came = asyncio.Event()

    def deliver(self, record: StoredRecord) -> None:
        """See `Follower.deliver`."""
        if len(self._chunks) >= QUEUED_MAX:
            return  # the numbers of the next ones show the gap
        try:
            chunk = decode_chunk(record.record.value, record.record.headers)
        except WireError:
            return
        if not self._expected.differences(chunk):
            self._chunks.append(chunk)
            self._came.set()

    def fail(self, reason: HeadraceError) -> None:
        """See `Follower.fail`: the outcome will have what does not come here."""

    def taken(self) -> list[Chunk]:
        """Return the chunks that came since."""
        chunks = list(self._chunks)
        self._chunks.clear()
        self._came.clear()
        return chunks

    async def wait(self) -> None:
        """Wait until there is a chunk."""
        await self._came.wait()


class ChunkFeed:
    """Chunks of one prefix."""

    def __init__(self, log: KeyedLog) -> None:
        """`log` follows the topic of chunks."""
        self._log = log

    @asynccontextmanager
    async def of(self, expected: Expectation) -> AsyncIterator[ChunkQueue]:
        """Enter the queue of a request's chunks, those published from now on; an empty one while Kafka is away."""
        queue = ChunkQueue(expected)
        following = self._log.following(expected.id.encode(), queue, connect_s=CONNECT_WITHIN_S)
        try:
            await following.__aenter__()
        except HeadraceError:  # the outcome has the whole answer
            yield queue
            return
        try:
            yield queue
        finally:
            await following.__aexit__(None, None, None)

    async def close(self) -> None:
        """Stop following."""
        await self._log.close()
