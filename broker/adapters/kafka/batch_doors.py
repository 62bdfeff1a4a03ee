"""Kafka adapters of the gateway's batches, composed in one place."""

from dataclasses import dataclass

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.seekable import KafkaSeekable
from headrace.broker.adapters.kafka.share import KafkaShare
from headrace.broker.adapters.kafka.submit import KafkaSubmit
from headrace.broker.batch_ports import GroupShare, SeekableLog
from headrace.broker.client_ports import SubmitLog


@dataclass(frozen=True, slots=True)
class KafkaBatchDoors:
    """See `headrace.broker.batch_ports.BatchDoors`."""

    connection: KafkaConnection

    def submissions(self) -> SubmitLog:
        """See `BatchDoors.submissions`."""
        return KafkaSubmit(self.connection)

    def seekable(self) -> SeekableLog:
        """See `BatchDoors.seekable`."""
        return KafkaSeekable(self.connection)

    def share(self, topic: str, *, group: str) -> GroupShare:
        """See `BatchDoors.share`."""
        return KafkaShare(self.connection, topic=topic, group=group)
