"""Checks before a process starts: Kafka answers, accepts us, has the topics and lets us use them; and likewise Redis.

A fault that an operator must repair ends the start with one sentence; what only takes time is waited for, and logged.
"""

import asyncio

import structlog

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import cluster_id
from headrace.broker.adapters.redis.lease import RedisLease
from headrace.broker.errors import LeaseUnavailable, LogUnavailable, Unreachable
from headrace.broker.service.preflight.acl_check import Needs, check
from headrace.broker.settings.whole import Settings

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 5.0

_log = structlog.get_logger("preflight")


async def find(settings: Settings, needs: Needs) -> str:
    """Check Kafka as `find_kafka` does, then Redis; return the id of Kafka.

    Raises:
        MissingTopic: Names the topics, and the verb that creates them.
        AuthenticationError: Kafka or Redis do not accept our credentials, or their certificates are not trusted.
        RightsError: Kafka or Redis know us but deny us access; of Kafka, every right that is missing is named.
    """
    found = await find_kafka(settings, needs)
    await _check_redis(settings, found, needs)
    return found


async def find_kafka(settings: Settings, needs: Needs) -> str:
    """Wait until Kafka answers, then check that every topic exists and that this user may use it; return its id.

    It is the whole check of a process without a lease, such as a gateway. Raises as `find`, of Kafka alone.
    """
    connection = KafkaConnection.of(settings.kafka)
    backoff_s = BACKOFF_FIRST_S
    while True:
        try:
            await check(connection, needs)
            return await cluster_id(connection)
        except (Unreachable, LogUnavailable) as error:
            _log.warning("waiting_for_kafka", reason=str(error), again_in_s=backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(BACKOFF_MAX_S, backoff_s * 2)


async def _check_redis(settings: Settings, found: str, needs: Needs) -> None:
    """Check Redis: one that refuses us ends the start; one that is away is waited for while standing by."""
    key = f"{settings.redis.key_prefix}:{found}:{needs.name}"
    lease = RedisLease(settings.redis.url.get_secret_value(), key, ttl_ms=0, token="")
    try:
        await lease.check()
    except LeaseUnavailable as error:
        _log.warning("redis_away", reason=str(error))
    finally:
        await lease.close()
