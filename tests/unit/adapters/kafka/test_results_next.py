"""A reader's next record is waited for as long as was asked, also where one look at Kafka ends early."""

import asyncio

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.results import KafkaResults
from headrace.broker.client_ports import Arrived
from headrace.schemas.record import Record
from tests.virtual_time import VIRTUAL_TIME

pytestmark = VIRTUAL_TIME
ARRIVED = Arrived(0, 7, 0, Record(b"k", b"v"), 0)


@pytest.mark.parametrize(("early", "found"), [(0, True), (3, True), (100, False)])
async def test_a_look_that_ends_early_is_followed_by_another(
    early: int, monkeypatch: pytest.MonkeyPatch, *, found: bool
) -> None:
    """As while the partitions of a group are dealt anew."""
    reader = KafkaResults(KafkaConnection("localhost:1"), topic="results", group="mailer", start="earliest")
    looks: list[int] = []

    async def fetch(timeout_ms: int) -> None:
        looks.append(timeout_ms)
        await asyncio.sleep(min(0.5, timeout_ms / 1_000))
        if len(looks) > early:
            reader._buffer.append(ARRIVED)

    monkeypatch.setattr(reader, "_fetch", fetch)
    assert await reader.next(timeout_ms=10_000) == (ARRIVED if found else None)
    assert looks == [10_000 - 500 * number for number in range(early + 1 if found else 20)]
