"""Before a process starts: is Kafka there, does it let us in, do the topics exist, may we use them; and Redis?

What an operator must mend ends the start with one sentence; what only takes time is waited for, and said once.
"""

import asyncio

import structlog

from broker.adapters.kafka.connection import KafkaConnection
from broker.adapters.kafka.topics import cluster_id
from broker.adapters.redis.lease import RedisLease
from broker.errors import LeaseUnavailable, LogUnavailable, Unreachable
from broker.service.compose import Found
from broker.service.preflight.acl_check import Needs, check
from broker.settings.whole import Settings

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 5.0

_log = structlog.get_logger("preflight")


async def find(settings: Settings, needs: Needs) -> Found:
    """Wait until Kafka answers, then check that every topic is there and that this user may use it.

    Raises:
        MissingTopic: Names the topics, and the verb that creates them.
        AuthenticationError: Kafka or Redis do not accept our credentials, or their certificates are not trusted.
        RightsError: Kafka or Redis know us and do not let us; of Kafka, every right that is missing is named.
    """
    connection = KafkaConnection.of(settings.kafka)
    backoff_s = BACKOFF_FIRST_S
    while True:
        try:
            await check(connection, needs)
            found = Found(await cluster_id(connection))
            break
        except (Unreachable, LogUnavailable) as error:
            _log.warning("waiting_for_kafka", reason=str(error), again_in_s=backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(BACKOFF_MAX_S, backoff_s * 2)
    await _check_redis(settings, found, needs)
    return found


async def _check_redis(settings: Settings, found: Found, needs: Needs) -> None:
    """A Redis that refuses us ends the start; one that is away is waited for by whoever stands by."""
    key = f"{settings.redis.key_prefix}:{found.cluster_id}:{needs.name}"
    lease = RedisLease(settings.redis.url.get_secret_value(), key, ttl_ms=0, token="")
    try:
        await lease.check()
    except LeaseUnavailable as error:
        _log.warning("redis_away", reason=str(error))
    finally:
        await lease.close()
