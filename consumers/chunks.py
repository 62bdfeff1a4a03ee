"""Reader of streamed answers: `async for told in ChunkReader(...)`, and `follow` for one request.

Chunks are best effort; the outcome is the answer. Within an attempt they arrive in order, repeats are dropped, and
missing ones are reported. An attempt may break off: the next one begins anew and voids what was shown of the one
before. Only an attempt with a complete answer has a last chunk; a request that fails has none. Loads aiokafka and
pydantic, and never openai, tiktoken or redis.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import dataclass

from headrace.broker.adapters.kafka.client import client_doors
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.client_ports import Arrived, ClientDoors, Start
from headrace.broker.errors import IdConflict, Unreachable
from headrace.broker.tasks import set_within
from headrace.consumers.opening import RECONNECT_FIRST_S, RECONNECT_MAX_S, Opened
from headrace.schemas.chunk import Chunk
from headrace.schemas.codec import WireError, decode_chunk
from headrace.schemas.delta import text_of
from headrace.schemas.expectation import Expectation, Expected
from headrace.schemas.topics import chunks_topic

REMEMBERED_MAX = 10_000
"""Number of attempts a reader remembers; beyond it the one with the oldest last chunk is forgotten."""

_POLL_MS = 200


@dataclass(frozen=True, slots=True)
class Told:
    """A chunk, with what its reader needs beside it.

    Attributes:
        chunk: With the id, the delta, and whether it is the last one of a complete answer.
        begins: Whether it is the first chunk received of its attempt: everything shown of another one is void.
        missing: Chunks of the same attempt that were lost just before it, or published before the reader began.
    """

    chunk: Chunk
    begins: bool
    missing: int

    @property
    def text(self) -> str:
        """Text that it adds to the answer; of a chat completion, to the first choice."""
        return text_of(self.chunk.delta)

    @property
    def attempt(self) -> tuple[int, int, int]:
        """The attempt it belongs to, as (run, term, attempt): later ones are greater."""
        return self.chunk.run, self.chunk.term, self.chunk.attempt


class ChunkReader(Opened):
    """Iterator over the chunks of all streams, or of some.

    Args:
        bootstrap_servers: `host:port`, several separated by commas.
        topic_prefix: Which budget.
        connection: Address and credentials, where more than an address is needed; or a `MemoryBroker`'s, in a test.
        start: `latest`: chunks published from `open` on; `earliest`: the last hour; or an aware datetime.
        ids: Only those of these requests; None: all. The whole topic is read in any case, so one reader for many ids
            costs no more than one for a single id. A set may be changed while the reader runs.
        expected: Gives what is known of the request of an id; None: nothing. Chunks that contradict it belong to
            another request and are left out.

    Attributes:
        conflicts: Chunks that were left out, since they contradict what was expected of their ids.
        undecodable: Values that were no chunk and were skipped.
        duplicates: Chunks that had been delivered already and were skipped.
        stopping: Set by `stop`.
    """

    def __init__(  # noqa: PLR0913  # each is a choice of the service
        self,
        bootstrap_servers: str = "",
        *,
        topic_prefix: str = "generation",
        connection: KafkaConnection | ClientDoors | None = None,
        start: Start = "latest",
        ids: Collection[str] | None = None,
        expected: Expected | None = None,
    ) -> None:
        self.conflicts = 0
        self._expected = expected
        self.undecodable = 0
        self.duplicates = 0
        self.stopping = asyncio.Event()
        doors = client_doors(bootstrap_servers, connection)
        self._log = doors.outcomes(chunks_topic(topic_prefix), group=None, start=start)
        self._ids = ids
        self._open = False
        self._next_seq: OrderedDict[tuple[str, int, int, int], int] = OrderedDict()

    async def open(self) -> None:
        """Connect; with `latest`, everything published from now on is delivered. `async with` does so, too.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """
        if not self._open:
            await self._log.open()
            self._open = True

    async def close(self) -> None:
        """Disconnect; never hangs. A wait for a chunk ends the iteration."""
        self._open = False
        await self._log.close()

    def stop(self) -> None:
        """End the iteration within a fraction of a second: for a signal handler."""
        self.stopping.set()

    async def __anext__(self) -> Told:
        """Return the next chunk.

        Raises:
            RightsError, AuthenticationError: Kafka does not let us.
        """
        await self.open()
        pause_s = RECONNECT_FIRST_S
        while self._open and not self.stopping.is_set():
            try:
                arrived = await self._log.next(timeout_ms=_POLL_MS)
            except Unreachable:
                await self._reopen(pause_s)
                pause_s = min(2 * pause_s, RECONNECT_MAX_S)
                continue
            if arrived is not None and (told := self._told(arrived)) is not None:
                return told
        raise StopAsyncIteration

    async def _reopen(self, pause_s: float) -> None:
        if self._open:
            await self._log.close()
            await set_within(self.stopping, pause_s)
        with suppress(Unreachable):  # the next poll raises it again, and the pause grows
            if self._open:  # not closed meanwhile
                await self._log.open()

    def _told(self, arrived: Arrived) -> Told | None:
        if self._ids is not None and (arrived.record.key or b"").decode(errors="replace") not in self._ids:
            return None
        try:
            chunk = decode_chunk(arrived.record.value, arrived.record.headers)
        except WireError:
            self.undecodable += 1
            return None
        if self._is_others(chunk):
            self.conflicts += 1
            return None
        attempt = (chunk.id, chunk.run, chunk.term, chunk.attempt)
        following = self._next_seq.get(attempt)
        if following is not None and chunk.seq < following:
            self.duplicates += 1
            return None
        self._next_seq[attempt] = chunk.seq + 1
        self._next_seq.move_to_end(attempt)
        if len(self._next_seq) > REMEMBERED_MAX:
            self._next_seq.popitem(last=False)
        return Told(chunk, following is None, chunk.seq - (following or 0))

    def _is_others(self, chunk: Chunk) -> bool:
        """Whether it belongs to another request than the one expected of its id."""
        expected = None if self._expected is None else self._expected(chunk.id)
        return expected is not None and bool(expected.differences(chunk))

    async def follow(self, request: str | Expectation) -> AsyncIterator[Told]:
        """Yield the chunks of one request, of its latest attempt received, until its answer is complete.

        A bare id matches any request that has it; an Expectation, such as that of a `Submission`, matches exactly that
        request. `begins` marks a new attempt, which voids what was shown; chunks of a superseded attempt are left out.
        A request that fails never completes its stream: wait for its outcome meanwhile, and cancel this.

        Raises:
            IdConflict: The id streams for another request.
        """
        wanted = Expectation(request) if isinstance(request, str) else request
        latest = (0, 0, 0)
        async for told in self:
            if told.chunk.id != wanted.id or told.attempt < latest:
                continue
            if differs := wanted.differences(told.chunk):
                raise IdConflict(wanted.id, differs)
            latest = told.attempt
            yield told
            if told.chunk.final:
                return
