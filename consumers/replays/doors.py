"""Ports of a replay, and their Kafka implementations."""

from collections.abc import Callable
from dataclasses import dataclass

from headrace.broker.adapters.kafka.client import KafkaClientDoors
from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.offsets import KafkaOffsets
from headrace.broker.adapters.kafka.transactions import Batching, KafkaTransactions
from headrace.broker.client_ports import ClientDoors
from headrace.broker.ports import OffsetStore, TransactionLog
from headrace.consumers.replays.job import transactional_id_of

_TRANSACTION_MS = 5_000
"""An unfinished transaction of a killed replay blocks the readers of its lanes for at most this long."""


@dataclass(frozen=True, slots=True)
class ReplayDoors:
    """Clients of the topics; and for a group, which is a job, its offsets and the producer that commits them."""

    clients: ClientDoors
    offsets_of: Callable[[str], OffsetStore]
    producer_of: Callable[[str], TransactionLog]


def kafka_doors(connection: KafkaConnection, topic_prefix: str) -> ReplayDoors:
    """Create those of a real Kafka; this connects to nothing."""
    batching = Batching()
    return ReplayDoors(
        clients=KafkaClientDoors(connection),
        offsets_of=lambda group: KafkaOffsets(connection, group=group),
        producer_of=lambda group: KafkaTransactions(
            connection,
            transactional_id=transactional_id_of(topic_prefix),
            group=group,
            transaction_timeout_ms=_TRANSACTION_MS,
            batching=batching,
        ),
    )
