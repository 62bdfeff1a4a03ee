"""Reader of a topic's past outcomes, for people: oldest first over all partitions, to where the topic ended.

One pass, without a group: nothing is stored and no reader is disturbed. It holds a fetch of each partition at most. A
service that acts on outcomes uses `consumers.results`.
"""

from datetime import UTC, datetime
from typing import Self

from broker.adapters.kafka.client import client_doors
from broker.adapters.kafka.connection import KafkaConnection
from broker.client_ports import ClientDoors
from consumers.dead_letters import OldestFirst
from consumers.opening import Opened
from consumers.results import outcome_in
from schemas.outcome import Outcome
from schemas.topics import results_topic


class PastOutcomes(Opened):
    """Iterator over outcomes, committed ones only, ordered by Kafka's timestamp.

    Args:
        topic_prefix: Which budget.
        connection: Address and credentials; or a `MemoryBroker`'s, in a test.
        since: Nothing that was written before this instant; None: from the beginning.
        topic: Another topic of outcomes, such as a `reply_to`.

    Attributes:
        topic: The topic it reads.
        skipped: Records that are no outcomes.
        published_at: Kafka's timestamp of the last outcome returned; None before the first.
    """

    def __init__(
        self,
        *,
        topic_prefix: str = "generation",
        connection: KafkaConnection | ClientDoors,
        since: datetime | None = None,
        topic: str | None = None,
    ) -> None:
        self.topic = topic or results_topic(topic_prefix)
        self.skipped = 0
        self.published_at: datetime | None = None
        self._scan = client_doors("", connection).scan(self.topic, since=since)
        self._order: OldestFirst | None = None

    async def open(self) -> None:
        """Connect, and note where the topic ends.

        Raises:
            MissingTopic: There is no such topic.
            Unreachable, RightsError, AuthenticationError, SettingsError: As Kafka says.
        """
        if self._order is None:
            await self._scan.open()
            self._order = OldestFirst(self._scan.partitions, self._scan.take)

    async def close(self) -> None:
        """Close the connection; never hangs."""
        self._order = None
        await self._scan.close()

    @property
    def offsets(self) -> int:
        """Number of offsets to go through."""
        return self._scan.offsets

    @property
    def offsets_done(self) -> int:
        """Number of offsets read so far."""
        return self._scan.offsets_done

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        """Return the next outcome; one that this release cannot read is a Failed with reason `unreadable`.

        Raises:
            Unreachable: Kafka is away.
            RightsError: Kafka does not let us read.
        """
        while self._order is not None and (standing := await self._order.next()) is not None:
            outcome = outcome_in(standing.record)
            if outcome is not None:
                self.published_at = datetime.fromtimestamp(standing.timestamp_ms / 1000, UTC)
                return outcome
            self.skipped += 1
        raise StopAsyncIteration
