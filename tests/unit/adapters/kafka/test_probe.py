"""A node of Kafka that knows two answers: which versions it speaks, and what it says of its cluster."""

import asyncio
import struct
from contextlib import AbstractAsyncContextManager

import pytest
from aiokafka.protocol.admin import ApiVersionResponse_v0
from aiokafka.protocol.metadata import MetadataResponse_v5

from headrace.broker.adapters.kafka.probe import nodes_in_sync
from tests.tcp_server import tcp_server

API_VERSIONS, METADATA = 18, 3
ALL = [1, 2, 3]


def versions() -> bytes:
    answer = ApiVersionResponse_v0(error_code=0, api_versions=[(METADATA, 5, 5), (API_VERSIONS, 0, 0)])
    return bytes(answer.encode())


def metadata(nodes: list[int], *in_sync: list[int]) -> bytes:
    """One topic, kept three times, with a partition for each list of nodes that are in sync."""
    partitions: list[tuple[object, ...]] = [(0, number, 1, ALL, isr, []) for number, isr in enumerate(in_sync)]
    answer = MetadataResponse_v5(
        throttle_time_ms=0,
        brokers=[(node, "127.0.0.1", 9092, None) for node in nodes],
        cluster_id="c",
        controller_id=1,
        topics=[(0, "t", False, partitions)],
    )
    return bytes(answer.encode())


def a_node(answers: dict[int, bytes]) -> AbstractAsyncContextManager[int]:
    """Its port. A request that it has no answer for is met with silence."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
            key, _, correlation = struct.unpack(">hhi", request[:8])
            if key in answers:
                answer = struct.pack(">i", correlation) + answers[key]
                writer.write(struct.pack(">i", len(answer)) + answer)

    return tcp_server(serve)


@pytest.mark.parametrize(
    ("nodes", "in_sync", "found"),
    [
        ([1, 2, 3], ([1, 2, 3], [3, 2, 1]), {1, 2, 3}),
        ([1, 2, 3], ([1, 2, 3], [1, 3]), {1, 3}),
        ([1, 2, 3], ([1, 2], [1, 3]), {1}),
        ([1, 3], ([1, 3], [1, 3]), {1, 3}),
        ([], (), set()),
    ],
)
async def test_a_node_takes_part_when_it_has_joined_and_is_behind_in_no_partition(
    nodes: list[int], in_sync: tuple[list[int], ...], found: set[int]
) -> None:
    async with a_node({API_VERSIONS: versions(), METADATA: metadata(nodes, *in_sync)}) as port:
        assert await nodes_in_sync("127.0.0.1", port, timeout_s=4) == found


async def test_a_node_that_falls_silent_after_its_first_answer_is_given_up() -> None:
    async with a_node({API_VERSIONS: versions()}) as port:
        assert await nodes_in_sync("127.0.0.1", port, timeout_s=0.4) == set()


async def test_a_node_that_says_nothing_at_all_is_given_up() -> None:
    async with a_node({}) as port:
        assert await nodes_in_sync("127.0.0.1", port, timeout_s=0.4) == set()


async def test_nobody_takes_part_where_nobody_listens() -> None:
    async with a_node({}) as port:
        pass
    assert await nodes_in_sync("127.0.0.1", port, timeout_s=1) == set()
