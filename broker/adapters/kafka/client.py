"""Kafka adapters of a producer and of a reader, composed in one place."""

from dataclasses import dataclass
from datetime import datetime

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.home_answers import KafkaHomeAnswers
from headrace.broker.adapters.kafka.keyed import KafkaKeyedLog
from headrace.broker.adapters.kafka.outcomes import KafkaAnswers
from headrace.broker.adapters.kafka.results import KafkaResults
from headrace.broker.adapters.kafka.scan import KafkaScan
from headrace.broker.adapters.kafka.submit import KafkaSubmit
from headrace.broker.client_ports import (
    AnswerLog,
    ClientDoors,
    HomeAnswers,
    KeyedLog,
    OutcomeLog,
    ScanLog,
    Start,
    SubmitLog,
)


@dataclass(frozen=True, slots=True)
class KafkaClientDoors:
    """See `headrace.broker.client_ports.ClientDoors`."""

    connection: KafkaConnection

    def submissions(self) -> SubmitLog:
        """See `ClientDoors.submissions`."""
        return KafkaSubmit(self.connection)

    def answers(self, topic: str, *, read_back_s: float) -> AnswerLog:
        """See `ClientDoors.answers`."""
        return KafkaAnswers(self.connection, topic=topic, read_back_s=read_back_s)

    def outcomes(self, topic: str, *, group: str | None, start: Start) -> OutcomeLog:
        """See `ClientDoors.outcomes`."""
        return KafkaResults(self.connection, topic=topic, group=group, start=start)

    def scan(self, topic: str, *, since: datetime | None) -> ScanLog:
        """See `ClientDoors.scan`."""
        return KafkaScan(self.connection, topic=topic, since=since)


def client_doors(bootstrap_servers: str, connection: KafkaConnection | ClientDoors | None) -> ClientDoors:
    """Turn what a client was given into ports: an address, a connection, or ready-made ports."""
    if connection is None:
        return KafkaClientDoors(KafkaConnection(bootstrap_servers))
    if isinstance(connection, KafkaConnection):
        return KafkaClientDoors(connection)
    return connection


@dataclass(frozen=True, slots=True)
class KafkaGatewayDoors(KafkaClientDoors):
    """See `headrace.broker.client_ports.GatewayDoors`."""

    def home_answers(self, topic: str, *, read_back_s: float) -> HomeAnswers:
        """See `GatewayDoors.home_answers`."""
        return KafkaHomeAnswers(self.connection, topic=topic, read_back_s=read_back_s)

    def keyed(self, topic: str) -> KeyedLog:
        """See `GatewayDoors.keyed`."""
        return KafkaKeyedLog(self.connection, topic=topic)
