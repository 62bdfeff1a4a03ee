"""Reader of dead letters for services without an event loop: `for found in letters`. `DeadLetterReader`, blocking."""

from concurrent.futures import Future
from datetime import datetime
from functools import partial

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.client_ports import ClientDoors
from headrace.consumers.dead_letters import DeadLetterReader, Found
from headrace.consumers.sync_reading import SyncReader


class SyncDeadLetterReader(SyncReader[DeadLetterReader, Found]):
    """Iterator over the dead letters of a prefix, oldest first, to where the topic ended when it was opened.

    Args:
        bootstrap_servers: `host:port`, several separated by commas.
        topic_prefix: Which budget.
        connection: Address and credentials, where more than an address is needed; or a `SyncMemoryBroker`'s, in a test.
        since: Nothing that was written before this instant; None: from the beginning.
        topic: A service's own dead letters; default: those of the prefix.
    """

    def __init__(
        self,
        bootstrap_servers: str = "",
        *,
        topic_prefix: str = "generation",
        connection: KafkaConnection | ClientDoors | None = None,
        since: datetime | None = None,
        topic: str | None = None,
    ) -> None:
        make = partial(
            DeadLetterReader,
            bootstrap_servers,
            topic_prefix=topic_prefix,
            connection=connection,
            since=since,
            topic=topic,
        )
        super().__init__(make)

    @property
    def topic(self) -> str:
        """The topic it reads."""
        return self._reader.inner.topic

    @property
    def unreadable(self) -> int:
        """Records of the topic that were no dead letters and were skipped."""
        return self._reader.inner.unreadable

    def __next__(self) -> Found:
        """Return the next dead letter.

        Raises:
            Unreachable: Kafka is away; letters already returned stay valid, and a new reader begins anew.
            RightsError: Kafka does not let us read.
        """
        return self._next()

    def _ask(self) -> "Future[Found | None]":
        async def following(reader: DeadLetterReader) -> Found | None:
            await reader.open()
            return await anext(reader, None)

        return self._reader.begin(following)
