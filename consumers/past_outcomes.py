"""Reader of a topic's past outcomes, for people: oldest first over all partitions, to where the topic ended.

One pass, without a group: nothing is stored and no reader is disturbed. It holds a fetch of each partition at most. A
service that acts on outcomes uses `headrace.consumers.results`.
"""

from datetime import UTC, datetime

from headrace.broker.adapters.kafka.client import client_doors
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.client_ports import ClientDoors
from headrace.consumers.oldest_first import OldestFirstReader
from headrace.consumers.results import outcome_in
from headrace.schemas.outcome import Outcome
from headrace.schemas.topics import results_topic


class PastOutcomes(OldestFirstReader):
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
        super().__init__(client_doors("", connection).scan(self.topic, since=since))

    async def __anext__(self) -> Outcome:
        """Return the next outcome; one that this release cannot read is a Failed with reason `unreadable`.

        Raises:
            Unreachable: Kafka is away.
            RightsError: Kafka does not let us read.
        """
        while (standing := await self.next()) is not None:
            outcome = outcome_in(standing.record)
            if outcome is not None:
                self.published_at = datetime.fromtimestamp(standing.timestamp_ms / 1000, UTC)
                return outcome
            self.skipped += 1
        raise StopAsyncIteration
