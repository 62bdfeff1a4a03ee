"""Probe of a Kafka for what the dispatcher needs: an open port proves little, a started producer all of it.

A transactional start needs a coordinator and the internal topic it writes to, so it answers for the whole cluster.
"""

import asyncio
import contextlib

from aiokafka import AIOKafkaProducer
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

_STOP_S = 2.0


async def reachable(bootstrap_servers: str, *, timeout_s: float) -> bool:
    """Whether a transactional producer could start within `timeout_s`. It writes no record and never raises.

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


async def nodes_in_sync(host: str, port: int, *, timeout_s: float) -> frozenset[int]:
    """Return the nodes that have joined the cluster and lag in no partition, as the node at this address sees it.

    The set is empty if there is no answer within `timeout_s`. A client would ask any node; this asks exactly that one.
    """
    try:
        connection = await create_conn(host, port, request_timeout_ms=max(1, round(timeout_s * 250)))  # as above
    except (KafkaError, OSError, TimeoutError):
        return frozenset()
    try:
        told = (await connection.send(MetadataRequest(None))).to_object()
    except (KafkaError, OSError, TimeoutError):
        return frozenset()
    finally:
        connection.close()
    joined = {int(node["node_id"]) for node in told["brokers"]}
    partitions = [partition for topic in told["topics"] for partition in topic["partitions"]]
    behind = {int(node) for partition in partitions for node in {*partition["replicas"]} - {*partition["isr"]}}
    return frozenset(joined - behind)
