"""Three nodes on this machine: what is created is kept three times, and any one node may die while writes go on."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from headrace.broker.adapters.kafka.probe import nodes_in_sync
from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.processes import Process, is_running
from headrace.broker.local.services import LocalServices
from tests.integration.test_local import first_value, write_in_a_transaction

ALL = frozenset({1, 2, 3})


async def headrace(*words: str) -> tuple[int, str]:
    """The exit code, and everything that was said."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace.broker.cli.main", *words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await child.communicate()
    return child.returncode or 0, said.decode()


async def partitions(services: LocalServices, topic: str) -> list[dict[str, object]]:
    admin = AIOKafkaAdminClient(bootstrap_servers=services.endpoints.bootstrap_servers)
    await admin.start()
    try:
        return list((await admin.describe_topics([topic]))[0]["partitions"])
    finally:
        await admin.close()


async def test_a_cluster_of_three_loses_a_node_takes_it_back_and_leaves_nothing() -> None:
    services = LocalServices(nodes=3)
    began = time.monotonic()
    try:
        await services.__aenter__()
    except LocalServicesError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_exit(services)
        print(f"three nodes serve after {time.monotonic() - began:.1f} s")
        where = services.endpoints.bootstrap_servers
        assert set(services.kafka_pids) == ALL

        code, said = await headrace("topics", "create", "--bootstrap-servers", where)
        assert code == 0, said
        assert "Warning" not in said
        assert await headrace("topics", "check", "--bootstrap-servers", where) == (
            0,
            "All topics are as the settings want them.\n",
        )
        kept = await partitions(services, "generation.results")
        assert {frozenset(partition["replicas"]) for partition in kept} == {ALL}  # type: ignore[call-overload]  # untyped

        (coordinator,) = await partitions(services, "__transaction_state")
        victim = coordinator["leader"]
        assert isinstance(victim, int)
        killed = services.kafka_pids[victim]
        os.kill(killed, signal.SIGKILL)
        began = time.monotonic()
        await asyncio.wait_for(write_in_a_transaction(where, "generation.ledger", b"with two of three"), 30)
        print(f"a transaction is committed {time.monotonic() - began:.1f} s after its coordinator was killed")
        assert services.is_running
        code, said = await headrace("local", "status", "--data", str(services.data_dir), "--json")
        assert code == 0, said
        nodes = json.loads(said)["kafka"]["nodes"]
        assert {node["node_id"]: node["running"] for node in nodes} == {number: number != victim for number in ALL}

        began = time.monotonic()
        await services.restart_kafka(victim)
        print(f"node {victim} takes part again {time.monotonic() - began:.1f} s after its start")
        assert services.kafka_pids[victim] != killed
        ports = [int(address.rpartition(":")[2]) for address in where.split(",")]
        async with asyncio.timeout(10):  # the others hear of it a moment later
            while [await nodes_in_sync("127.0.0.1", port, timeout_s=5) for port in ports] != [ALL] * 3:
                await asyncio.sleep(0.05)
        assert await first_value(f"127.0.0.1:{ports[victim - 1]}", "generation.ledger") == b"with two of three"
        left = [Process(pid, str(services.data_dir)) for pid in (*services.kafka_pids.values(), services.valkey_pid)]
        assert all(is_running(process) for process in left)
    assert not any(is_running(process) for process in left)
    assert not services.data_dir.exists()
