"""Changes of a topic while it is read: partitions are added, or it is deleted and made anew.

aiokafka reports neither to a consumer without a group. Such a consumer keeps to the partitions first assigned, and
reads a topic that was made anew from the former offset: the records of the new log below that are skipped without an
error. So every reader checks again here, every ten seconds. Metadata version 10 (Kafka 2.8 and later), which aiokafka
does not speak, returns the topic's id: a topic of the same name that was created later has another one. An older server
returns no id; there only a log that ends before the reader's position shows that the topic was made anew.
"""

import asyncio
import base64
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.metadata import (
    NO_ID,
    TOPIC_DENIED,
    UNKNOWN_TOPIC,
    IdRequest,
    not_shown,
    topics_told,
)
from headrace.broker.errors import HeadraceError, MissingTopic, Unreachable

LOOK_EVERY_S: Final = 10.0
_LOOK_WITHIN_S: Final = 5.0

_log = logging.getLogger("headrace.kafka")


@dataclass(frozen=True, slots=True)
class TopicNow:
    """State of a topic at this moment.

    Attributes:
        partitions: Ascending.
        topic_id: Distinguishes it from every other topic that ever had its name; None where the server does not report
            it.
    """

    partitions: tuple[int, ...]
    topic_id: str | None


async def topic_now(client: AIOKafkaClient, topic: str, connection: KafkaConnection) -> TopicNow:
    """Look up one topic, without creating it.

    Raises:
        MissingTopic: There is none of that name.
        RightsError: This user may not even describe it, or there is none.
        KafkaError, OSError: As aiokafka says.
    """
    [told] = await topics_told(client, [topic], IdRequest(topic))
    return _told(told, connection)


def _told(told: Mapping[str, Any], connection: KafkaConnection) -> TopicNow:
    topic, code = str(told["topic"]), int(told["error_code"])
    if code == TOPIC_DENIED:
        raise not_shown(topic, connection)
    numbers = tuple(sorted(int(partition["partition"]) for partition in told["partitions"]))
    if code == UNKNOWN_TOPIC or (not code and not numbers):
        raise MissingTopic(topic)
    if code:
        raise for_code(code)(topic)
    known = told.get("topic_id", NO_ID)
    return TopicNow(numbers, None if known == NO_ID else base64.urlsafe_b64encode(known).decode().rstrip("="))


class TopicWatch:
    """Repeated check of one topic, by one consumer of it.

    Attributes:
        topic_id: Id of the topic being read; None before the first check, and where the server does not report it.
        made_anew: Number of times it was found to be another topic than before.
    """

    def __init__(self, topic: str, connection: KafkaConnection) -> None:
        """It asks at `first`."""
        self.topic_id: str | None = None
        self.made_anew = 0
        self._topic = topic
        self._connection = connection
        self._former: set[str] = set()
        self._looked_s = 0.0

    async def first(self, consumer: AIOKafkaConsumer) -> TopicNow:
        """Check now, whenever the last check was; for a consumer that has just started.

        Raises:
            Unreachable: A node that lags behind still shows a former topic of this name.
            MissingTopic, RightsError, KafkaError, OSError: As `topic_now`.
        """
        now = await topic_now(consumer._client, self._topic, self._connection)  # noqa: SLF001  # it has no public way
        if now.topic_id in self._former:
            raise Unreachable(f"A Kafka node does not know yet that the topic {self._topic} was recreated: try again.")
        self._looked_s = time.monotonic()
        return now

    def is_new(self, now: TopicNow) -> bool:
        """Whether that is another topic than the one being read."""
        return self.topic_id is not None and now.topic_id is not None and now.topic_id != self.topic_id

    def reads(self, now: TopicNow) -> None:
        """Note that this topic is read from now on."""
        if self.is_new(now):
            self.made_anew += 1
            self._former.add(self.topic_id or "")
            _log.warning("The topic %s was deleted and recreated: it is read from its beginning.", self._topic)
        self.topic_id = now.topic_id or self.topic_id

    async def again(self, consumer: AIOKafkaConsumer) -> TopicNow | None:
        """Check again if it is time; None if it is not, or if Kafka does not answer."""
        if time.monotonic() - self._looked_s < LOOK_EVERY_S:
            return None
        with suppress(KafkaError, OSError, TimeoutError, HeadraceError):  # also while the topic is being deleted
            async with asyncio.timeout(_LOOK_WITHIN_S):
                return await self.first(consumer)
        self._looked_s = time.monotonic() - LOOK_EVERY_S / 2
        return None


async def read_all(consumer: AIOKafkaConsumer, topic: str, now: TopicNow, *, anew: bool) -> dict[int, int]:
    """Make a consumer without a group read all of the topic's partitions; return the new ones' first offsets.

    A partition that was added since is read from its first record, because it holds nothing older than the reader. So
    is all of a topic that was made anew, where offsets of the former one mean nothing.
    """
    assigned = {place.partition for place in consumer.assignment()}
    added = [KafkaPartition(topic, number) for number in now.partitions if anew or number not in assigned]
    if not added:
        return {}
    kept = [] if anew else [KafkaPartition(topic, number) for number in sorted(assigned)]
    begin: dict[KafkaPartition, int] = await consumer.beginning_offsets(added)
    positions = {place: await consumer.position(place) for place in kept} | begin
    consumer.assign(list(positions))
    for place, offset in positions.items():  # no await in between: assign() has forgotten every position
        consumer.seek(place, offset)
    return {place.partition: offset for place, offset in begin.items()}
