"""A leader that has led for long, on a real Kafka: a commit whose outcome is unknown costs it a moment, and no call.

`python -m tests.chaos led-for-long` does the same with twelve hours of ledger.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaError

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.local.properties import Node
from headrace.broker.local.services import LocalServices
from headrace.broker.service.leadership.renewal import CUT_OFF_AFTER_MS
from headrace.broker.simulator.script import Scripted
from headrace.broker.simulator.upstream import Upstream
from headrace.schemas.topics import ledger_topic, topics
from tests.integration.fleet import FEW, LANES, Fleet, Process, producing, read_all, request, send
from tests.integration.ledger_of_hours import lines_written, retention_strikes, write_lines
from tests.integration.standstill import lost_commit, standing_still
from tests.integration.test_recovery import LIMITS, plentiful

CALLS = 10
CUT_OFF_AFTER_S = CUT_OFF_AFTER_MS / 1_000
STALL_S, STALL_S_MAX = 11.0, CUT_OFF_AFTER_S - 1
"""Longer than a commit may take: its outcome is unknown. A leader that is cut off from Kafka for longer hands over, and
it may have reached Kafka a second before the stall."""
AWAY_S = CUT_OFF_AFTER_S + 5
REST_AFTER_S = 2.5
"""A commit may take ten."""
BACK_WITHIN_S = 5.0
LINES = 2_000


class Calls:
    """A script: how often each request id was called. All but the first call are held until they are to be answered."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self._halves = asyncio.Event(), asyncio.Event()

    def __call__(self, number: int, body: Mapping[str, Any]) -> Scripted | None:
        self.made[str(body["messages"][0]["content"]).split()[3].rstrip(".")] += 1
        return Scripted(delay_s=0.0, held=None if number == 1 else self._halves[number % 2])

    def answer(self) -> None:
        """Answer half of them, which makes the leader commit, and the rest while it waits for that commit."""
        now, later = self._halves
        now.set()
        asyncio.get_running_loop().call_later(REST_AFTER_S, later.set)


async def in_flight(fleet: Fleet, leader: Process, name: str) -> None:
    async with producing(fleet) as producer:
        await send(producer, fleet, "standard", [request(f"{name}{number}") for number in range(CALLS)])
    await fleet.inflight(leader, CALLS)


@pytest.mark.parametrize("dispatchers", [1, 2])
async def test_a_lost_commit_after_the_ledgers_retention_costs_a_moment_and_no_call(
    dispatchers: int, tmp_path: Path
) -> None:
    calls = Calls()
    async with LocalServices() as services, Upstream(plentiful()) as upstream:
        upstream.script(calls)
        async with Fleet(services, "led", upstream.base_url, tmp_path, LIMITS) as fleet:
            leader = await fleet.start()
            status = await fleet.until(leader, "leader")
            for _ in range(dispatchers - 1):
                await fleet.until(await fleet.start(), "standby")
            async with producing(fleet) as producer:
                await send(producer, fleet, "standard", [request("first")])
            await read_all(fleet, "results", until=1)
            await write_lines(fleet.connection, fleet.prefix, status, LINES)
            start = await retention_strikes(fleet.connection, fleet.prefix)
            assert start > LINES
            await in_flight(fleet, leader, "r")
            await lines_written(fleet.connection, fleet.prefix, start, 2)  # with the second it knows of the first
            async with standing_still(services.kafka_pid):
                calls.answer()
                lost_s = await lost_commit(leader, at_least_s=STALL_S, within_s=STALL_S_MAX)
            begun_s = time.monotonic()
            ledger = await read_all(fleet, "results", until=1 + CALLS)
            print(f"{dispatchers} dispatchers: lost after {lost_s:.1f} s of {STALL_S_MAX:.0f},", end=" ")
            print(f"every answer is there {time.monotonic() - begun_s:.1f} s after the stall")
            assert set(ledger.counts().values()) == {1}
            assert set(calls.made.values()) == {1}, calls.made
            assert {value["term"] for value in ledger.values} == {status["term"]}
            assert "ledger_opened_anew" not in leader.said(), "it needs no line that was removed"
            await fleet.until(leader, "leader", within_s=BACK_WITHIN_S)


def transactions_on_one_node(_: Node) -> Mapping[str, object]:
    """The log of transactions alone is kept once: with its node the coordinator is away from all."""
    return {"transaction.state.log.replication.factor": 1, "transaction.state.log.min.isr": 1}


async def apart(services: LocalServices) -> tuple[str, int]:
    """A prefix whose ledger is led by another node than the coordinator, and that coordinator: one for all prefixes."""
    client = AIOKafkaClient(bootstrap_servers=services.endpoints.bootstrap_servers)
    await client.bootstrap()
    try:
        for number in range(10):
            prefix = f"apart{number}"
            await create_missing(
                KafkaConnection(services.endpoints.bootstrap_servers), topics(prefix, LANES, FEW, nodes=3)
            )
            coordinator = await coordinator_of(client, prefix)
            cluster = await client.fetch_all_metadata()
            if cluster.leader_for_partition(TopicPartition(ledger_topic(prefix), 0)) != coordinator:
                return prefix, coordinator
    finally:
        await client.close()
    raise AssertionError("ten ledgers are led by the coordinator's node")


async def coordinator_of(client: AIOKafkaClient, prefix: str) -> int:
    async with asyncio.timeout(20):
        while True:
            with suppress(KafkaError):
                return int(await client.coordinator_lookup(CoordinationType.TRANSACTION, f"{prefix}.dispatcher"))
            await asyncio.sleep(0.2)


async def test_a_coordinator_that_is_away_from_all_costs_no_hand_over_and_no_call(tmp_path: Path) -> None:
    """The ledger answers all the while, for its partition has other replicas."""
    calls = Calls()
    async with (
        LocalServices(nodes=3, node_settings=transactions_on_one_node) as services,
        Upstream(plentiful()) as upstream,
    ):
        upstream.script(calls)
        prefix, coordinator = await apart(services)
        async with Fleet(services, prefix, upstream.base_url, tmp_path, LIMITS) as fleet:
            leader = await fleet.start()
            status = await fleet.until(leader, "leader")
            standby = await fleet.start()
            await fleet.until(standby, "standby")
            async with producing(fleet) as producer:
                await send(producer, fleet, "standard", [request("first")])
            await read_all(fleet, "results", until=1)
            await in_flight(fleet, leader, "r")
            async with standing_still(services.kafka_pids[coordinator]):
                calls.answer()
                await lost_commit(leader, at_least_s=AWAY_S, within_s=2 * AWAY_S)
            ledger = await read_all(fleet, "results", until=1 + CALLS)
            assert "cut_off_from_kafka" not in leader.said()
            assert '"leading"' not in standby.said()
            assert set(calls.made.values()) == {1}, calls.made
            assert set(ledger.counts().values()) == {1}
            assert {value["term"] for value in ledger.values} == {status["term"]}
