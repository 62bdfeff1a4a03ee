"""The ledger of a leader that has led for hours, written in seconds: the lines it would have written, and nothing else.

At 500 requests a second an hour is 1.8 million ids, and 113 MB. Each line has the fates and the starts of 200 ids, all
distinct. Its term and its owner are those of the leader that is under way, whose next commits stand behind them.
"""

import asyncio
import base64
import json
import os
from collections import deque
from typing import Any, Final

from aiokafka import TopicPartition

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.schemas.ledger import LedgerState
from headrace.schemas.topics import ledger_topic
from tests.integration.kafka_world import consuming, producing, remove

IDS_A_LINE: Final = 200
REQUESTS_PER_S: Final = 500
LINES_AN_HOUR: Final = REQUESTS_PER_S * 3_600 // IDS_A_LINE
_SETTLED_BYTES, _STARTED_BYTES, _HASH_BYTES = 28, 19, 16
_STATE_AT: Final = 19
_BATCH_BYTES: Final = 900_000
_BATCHES_UNDER_WAY: Final = 8


def line(term: int, owner: str) -> bytes:
    """A step with 200 ids that nobody has seen."""
    ids = os.urandom(_HASH_BYTES * IDS_A_LINE)
    settled, started = bytearray(_SETTLED_BYTES * IDS_A_LINE), bytearray(_STARTED_BYTES * IDS_A_LINE)
    for place in range(_HASH_BYTES):
        column = ids[place * IDS_A_LINE : (place + 1) * IDS_A_LINE]
        settled[place::_SETTLED_BYTES] = column
        started[place::_STARTED_BYTES] = column
    settled[_STATE_AT::_SETTLED_BYTES] = bytes([LedgerState.COMPLETED]) * IDS_A_LINE
    value = {"v": 1, "kind": "step", "term": term, "owner": owner, "levels": []}
    packed = {"settled": base64.b64encode(settled).decode(), "started": base64.b64encode(started).decode()}
    return json.dumps(value | packed, separators=(",", ":")).encode()


async def write_lines(connection: KafkaConnection, prefix: str, status: dict[str, Any], lines: int) -> int:
    """So many of them (1 at least), of the leader whose status that is; how many bytes."""
    term, owner, topic = int(status["term"]), str(status["owner"]), ledger_topic(prefix)
    written, under_way = 0, deque[Any]()
    async with producing(connection, max_batch_size=_BATCH_BYTES, max_request_size=_BATCH_BYTES + 100_000) as producer:
        batch = producer.create_batch()
        for _ in range(lines):
            value = line(term, owner)
            written += len(value)
            if batch.append(timestamp=None, key=None, value=value, headers=[]) is None:
                under_way.append(await producer.send_batch(batch, topic, partition=0))
                batch = producer.create_batch()
                assert batch.append(timestamp=None, key=None, value=value, headers=[]) is not None
                await asyncio.sleep(0)
            if len(under_way) == _BATCHES_UNDER_WAY:
                await under_way.popleft()
        under_way.append(await producer.send_batch(batch, topic, partition=0))
        await asyncio.gather(*under_way)
    return written


async def retention_strikes(connection: KafkaConnection, prefix: str) -> int:
    """Removes every line of the ledger that can be read now; where it begins then."""
    place = TopicPartition(ledger_topic(prefix), 0)
    async with consuming(connection, isolation_level="read_committed") as consumer:
        end = int((await consumer.end_offsets([place]))[place])
    await remove(connection, place, end)
    return end


async def lines_written(connection: KafkaConnection, prefix: str, start: int, lines: int, within_s: float = 30) -> None:
    """Wait until so many committed lines stand from that offset on."""
    place = TopicPartition(ledger_topic(prefix), 0)
    async with consuming(connection, isolation_level="read_committed") as consumer, asyncio.timeout(within_s):
        consumer.assign([place])
        consumer.seek(place, start)
        while lines > 0:
            lines -= len((await consumer.getmany(place, timeout_ms=200)).get(place, []))
