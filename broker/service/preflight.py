"""Before a process starts: is Kafka there, does it let us in, do the topics exist, may we use them?

What an operator must mend ends the start with one sentence; what only takes time is waited for, and said once.
"""

import asyncio

import structlog

from broker.adapters.kafka_connection import KafkaConnection
from broker.adapters.kafka_topics import cluster_id
from broker.errors import LogUnavailable, Unreachable
from broker.service.compose import Found
from broker.service.rights import Needs, check
from broker.settings.whole import Settings

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 5.0

_log = structlog.get_logger("preflight")


async def find(settings: Settings, needs: Needs) -> Found:
    """Wait until Kafka answers, then check that every topic is there and that this user may use it.

    Raises:
        MissingTopic: Names the topics, and the verb that creates them.
        AuthenticationError: Kafka does not accept our credentials or its certificate is not trusted.
        RightsError: Kafka knows us and does not let us; names every right that is missing.
    """
    connection = KafkaConnection.of(settings.kafka)
    backoff_s = BACKOFF_FIRST_S
    while True:
        try:
            await check(connection, needs)
            return Found(await cluster_id(connection))
        except (Unreachable, LogUnavailable) as error:
            _log.warning("waiting_for_kafka", reason=str(error), again_in_s=backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(BACKOFF_MAX_S, backoff_s * 2)
