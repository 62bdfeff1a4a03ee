"""What a producer is told of a Kafka that takes nothing: without a Kafka."""

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.submit import KafkaSubmit, explained_within_s
from headrace.broker.errors import LogUnavailable
from headrace.schemas.record import Record
from tests.tcp_server import tcp_server


@pytest.mark.parametrize(("timeout_s", "within_s"), [(0.1, 0.5), (3, 0.5), (10, 1), (30, 3), (600, 3)])
def test_a_reason_is_looked_for_for_a_tenth_of_the_time_that_was_given(timeout_s: float, within_s: float) -> None:
    assert explained_within_s(timeout_s) == pytest.approx(within_s)


def going_silent(hung_up: int) -> AbstractAsyncContextManager[int]:
    """A port that closes so many connections at once, and keeps the later ones open without a word."""
    left = hung_up

    async def take(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            await reader.read()

    return tcp_server(take)


@pytest.mark.parametrize(
    ("hung_up", "said"),
    [(2, r"Kafka at 127\.0\.0\.1:\d+ "), (0, r"The cause is not known: Kafka gave no answer for 0\.5 s more\.")],
)
async def test_where_no_reason_can_be_had_in_time_the_last_one_is_told(hung_up: int, said: str) -> None:
    async with going_silent(hung_up) as port:
        log = KafkaSubmit(KafkaConnection(f"127.0.0.1:{port}"))
        with pytest.raises(LogUnavailable, match=rf"within 0\.6 s \(while connecting\)\. {said}"):
            await log.append("t", Record(b"k", b"{}"), timeout_s=0.6)
        await log.close()
