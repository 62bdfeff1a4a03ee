"""Reader of streamed answers for services without an event loop: `for told in chunks`. `ChunkReader`, blocking."""

import asyncio
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from functools import partial

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.client_ports import ClientDoors, Start
from headrace.broker.errors import WaitTimedOut
from headrace.consumers.chunks import ChunkReader, Told
from headrace.consumers.sync_reading import SyncReader
from headrace.schemas.expectation import Expectation, Expected


class SyncChunkReader(SyncReader[ChunkReader, Told]):
    """Iterator over the chunks of all streams, or of some.

    Args:
        bootstrap_servers: `host:port`, several separated by commas.
        topic_prefix: Which budget.
        connection: Address and credentials, where more than an address is needed; or a `SyncMemoryBroker`'s, in a test.
        start: `latest`: chunks published from `open` on; `earliest`: the last hour; or an aware datetime.
        ids: Only those of these requests; None: all. A set may be changed while the reader runs.
        expected: Gives what is known of the request of an id; None: nothing. Chunks that contradict it are left out. It
            is called in the background thread, so it must not wait for anything.

    Iterate in one thread; `stop` and `close` may be called from any, `stop` from a signal handler too.
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
        make = partial(
            ChunkReader,
            bootstrap_servers,
            topic_prefix=topic_prefix,
            connection=connection,
            start=start,
            ids=ids,
            expected=expected,
        )
        super().__init__(make)

    @property
    def conflicts(self) -> int:
        """Chunks that were left out, since they contradict what was expected of their ids."""
        return self._reader.inner.conflicts

    @property
    def undecodable(self) -> int:
        """Values that were no chunk and were skipped."""
        return self._reader.inner.undecodable

    @property
    def duplicates(self) -> int:
        """Chunks that had been delivered already and were skipped."""
        return self._reader.inner.duplicates

    def stop(self) -> None:
        """End the iteration within a fraction of a second: for a signal handler."""
        self._reader.post(ChunkReader.stop)

    def __next__(self) -> Told:
        """Return the next chunk.

        Raises:
            RightsError, AuthenticationError: Kafka does not let us.
        """
        return self._next()

    def _ask(self) -> "Future[Told | None]":
        return self._reader.begin(lambda reader: anext(reader, None))

    def follow(self, request: str | Expectation, *, timeout_s: float | None = None) -> Iterator[Told]:
        """Yield the chunks of one request, of its latest attempt received, until its answer is complete.

        A bare id matches any request that has it; an Expectation, such as that of a `Submission`, matches exactly that
        request. `begins` marks a new attempt, which voids what was shown; chunks of a superseded attempt are left out.
        A request that fails never completes its stream: give a `timeout_s`, and look at its outcome then.

        Raises:
            IdConflict: The id streams for another request.
            WaitTimedOut: The stream was not complete within `timeout_s`; the request goes on.
        """
        stream = self._reader.inner.follow(request)
        until_s = None if timeout_s is None else time.monotonic() + timeout_s

        async def following() -> Told | None:
            async with asyncio.timeout(None if until_s is None else until_s - time.monotonic()):
                return await anext(stream, None)

        try:
            while (told := self._reader.run(lambda _: following())) is not None:
                yield told
        except TimeoutError:
            name = request if isinstance(request, str) else request.id
            raise WaitTimedOut(f"The stream of {name} was not complete within {timeout_s:g} s: it goes on.") from None
