"""Whether a Kafka is there for what the dispatcher needs: a port that accepts says little, a started producer all.

A transactional start needs a coordinator and the internal topic it writes to, so it answers for the whole cluster.
"""

import asyncio
import contextlib

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

_STOP_S = 2.0


async def reachable(bootstrap_servers: str, *, timeout_s: float) -> bool:
    """True when a transactional producer could start within `timeout_s`. It writes no record and never raises.

    aiokafka 0.14 forgets its first connection, open, when it is cancelled in the middle of bootstrapping. Its own
    time-outs close it, and there are three in a row (connect, versions, metadata): each gets a quarter of the time.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        transactional_id="headrace.probe",
        client_id="headrace-probe",
        request_timeout_ms=max(1, round(timeout_s * 250)),
        retry_backoff_ms=50,
    )
    try:
        async with asyncio.timeout(timeout_s):
            await producer.start()
    except (KafkaError, OSError, TimeoutError):
        return False
    else:
        return True
    finally:
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            await asyncio.wait_for(producer.stop(), _STOP_S)
