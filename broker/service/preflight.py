"""Before a dispatcher starts: is Kafka there, does it let us in, do the topics exist?

What an operator must mend ends the start with one sentence; what only takes time is waited for, and said once.
"""

import asyncio

import structlog

from broker.adapters.kafka_connection import KafkaConnection
from broker.adapters.kafka_topics import cluster_id, existing
from broker.errors import LogUnavailable, MissingTopic, Unreachable
from broker.service.compose import Found
from broker.settings.whole import Settings
from schemas import topics

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 5.0

_log = structlog.get_logger("preflight")


async def find(settings: Settings) -> Found:
    """Wait until Kafka answers, then check that every topic is there.

    Raises:
        MissingTopic: Names the topics, and the verb that creates them.
        AuthenticationError: Kafka does not accept our credentials or its certificate is not trusted.
        RightsError: Kafka knows us and does not let us.
    """
    connection = KafkaConnection.of(settings.kafka)
    prefix = settings.kafka.topic_prefix
    needed = [topics.requests_topic(prefix, lane) for lane in settings.lanes]
    needed += [topics.results_topic(prefix), topics.failures_topic(prefix)]
    needed += [topics.dead_letters_topic(prefix), topics.ledger_topic(prefix)]
    backoff_s = BACKOFF_FIRST_S
    while True:
        try:
            there = await existing(connection, needed)
            missing = [name for name in needed if name not in there]
            if missing:
                raise MissingTopic(*missing)
            return Found(await cluster_id(connection))
        except (Unreachable, LogUnavailable) as error:
            _log.warning("waiting_for_kafka", reason=str(error), again_in_s=backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(BACKOFF_MAX_S, backoff_s * 2)
