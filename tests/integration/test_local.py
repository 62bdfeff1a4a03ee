"""The pair itself: it serves, survives its servers' deaths, and leaves nothing behind however its owner ends."""

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from headrace.broker.adapters.kafka.probe import reachable
from headrace.broker.local.cache import cache_dir
from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.processes import Process, is_running, stop
from headrace.broker.local.record import read_record
from headrace.broker.local.services import LocalServices
from headrace.broker.local.valkey import answers_ping
from tests.tcp_server import tcp_server

OWNER = """
import sys, time
from pathlib import Path
from headrace.broker.local.services import LocalServices
with LocalServices() as services:
    print(services.data_dir, services.kafka_pid, services.valkey_pid, flush=True)
    time.sleep(120)
"""
CLI = "from headrace.broker.cli.local import app; app()"
ROOT = Path(__file__).parents[2]
WITHOUT_TOOLS = {"PATH": "/nonexistent"}  # no java, no mvn, no redis-server


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **WITHOUT_TOOLS, **more}


def await_truth(truth: Callable[[], bool], within_s: float = 15.0) -> bool:
    deadline = time.monotonic() + within_s
    while not truth() and time.monotonic() < deadline:
        time.sleep(0.05)
    return truth()


def has_kafka(data_dir: Path) -> bool:
    """Whether a start in this directory has come so far that Kafka has a process."""
    record = read_record(data_dir)
    return record is not None and record.kafka_pids[0] > 0


def redis_port(services: LocalServices) -> int:
    return int(services.endpoints.redis_url.removesuffix("/0").rpartition(":")[2])


async def write_in_a_transaction(bootstrap_servers: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, transactional_id=f"{topic}.writer", max_request_size=8_000_000
    )
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def first_value(bootstrap_servers: str, topic: str) -> bytes:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        value = (await consumer.getone()).value
    finally:
        await consumer.stop()
    assert isinstance(value, bytes)
    return value


async def make_topic(bootstrap_servers: str, topic: str, **settings: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=settings)])
    finally:
        await admin.close()
    assert [error[1] for error in answer.topic_errors] == [0]


async def test_the_shared_pair_serves_transactions_and_answers_ping(services: LocalServices) -> None:
    assert services.is_running
    assert await reachable(services.endpoints.bootstrap_servers, timeout_s=10)
    assert answers_ping(redis_port(services))


async def test_a_topic_may_carry_records_of_5_mb(services: LocalServices) -> None:
    where = services.endpoints.bootstrap_servers
    await make_topic(where, "local.large", **{"max.message.bytes": "5242880"})
    value = os.urandom(5_000_000)
    await write_in_a_transaction(where, "local.large", value)
    assert await first_value(where, "local.large") == value


async def test_nobody_is_reachable_where_nobody_listens() -> None:
    assert not await reachable("127.0.0.1:1", timeout_s=2)


async def test_a_kafka_that_falls_silent_after_the_first_answer_leaves_no_open_connection(
    services: LocalServices,
) -> None:
    upstream = services.endpoints.bootstrap_servers.rpartition(":")[2]

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_kafka, to_kafka = await asyncio.open_connection("127.0.0.1", int(upstream))
        try:
            to_kafka.write(await frame(reader))
            writer.write(await frame(from_kafka))
            await reader.read(1 << 20)
            await reader.read()
        finally:
            to_kafka.close()

    async with tcp_server(answer_once) as port:
        assert not await reachable(f"127.0.0.1:{port}", timeout_s=1)
    gc.collect()


async def frame(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length, "big"))


async def test_killed_servers_come_back_on_the_same_ports_with_kafkas_data() -> None:
    async with LocalServices() as pair:
        where = pair.endpoints
        await make_topic(where.bootstrap_servers, "kept")
        await write_in_a_transaction(where.bootstrap_servers, "kept", b"before the kill")
        # Read it first: a kill within milliseconds of a commit can lose its markers on a single node.
        assert await first_value(where.bootstrap_servers, "kept") == b"before the kill"
        killed = (pair.kafka_pid, pair.valkey_pid)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        assert await_truth(lambda: not pair.is_running)
        await pair.restart_kafka()
        await pair.restart_valkey()
        assert pair.endpoints == where
        assert not {pair.kafka_pid, pair.valkey_pid} & set(killed)
        assert await first_value(where.bootstrap_servers, "kept") == b"before the kill"
        assert answers_ping(redis_port(pair))
        left = (Process(pair.kafka_pid, str(pair.data_dir)), Process(pair.valkey_pid, str(pair.data_dir)))
    assert not any(is_running(process) for process in left)
    assert not pair.data_dir.exists()


async def test_a_frozen_kafka_can_be_restarted() -> None:
    """One of its own: that of the run would have to look through the hundreds of partitions that other tests made."""
    async with LocalServices() as services:
        os.kill(services.kafka_pid, signal.SIGSTOP)
        assert not await reachable(services.endpoints.bootstrap_servers, timeout_s=1)
        await services.restart_kafka()
        assert await reachable(services.endpoints.bootstrap_servers, timeout_s=10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_owner_that_is_ended_by_a_signal_leaves_nothing(number: signal.Signals) -> None:
    command = [sys.executable, "-c", OWNER]
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        home, *pids = owner.stdout.readline().split()
        processes = [Process(int(pid), home) for pid in pids]
        assert all(is_running(process) for process in processes)
        owner.send_signal(number)
        assert owner.wait(timeout=20) != 0
    assert await_truth(lambda: not any(is_running(process) for process in processes))
    assert await_truth(lambda: not Path(home).exists())


def test_an_owner_that_is_ended_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    program = OWNER.replace("LocalServices()", "LocalServices(Path(sys.argv[1]))")
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, env=environment()) as owner:
        assert await_truth(lambda: has_kafka(tmp_path))
        owner.send_signal(signal.SIGINT)
        owner.wait(timeout=20)
    assert read_record(tmp_path) is None
    assert (tmp_path / "kafka-1" / "data").is_dir()


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    starting = asyncio.create_task(LocalServices(tmp_path).__aenter__())
    assert await asyncio.to_thread(await_truth, lambda: has_kafka(tmp_path))
    record = read_record(tmp_path)
    assert record is not None
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert read_record(tmp_path) is None
    assert not any(is_running(process) for process in record.processes)


def headrace_local(*words: str, cache: Path) -> subprocess.CompletedProcess[str]:
    where = environment(HEADRACE_CACHE_DIR=str(cache))
    command = [sys.executable, "-c", CLI, *words]
    return subprocess.run(command, cwd=ROOT, env=where, capture_output=True, text=True, check=False)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of the test's own, with the jars that the run has fetched already."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "jars").symlink_to(cache_dir() / "jars")
    return tmp_path / "cache"


def test_up_outlives_its_command_until_down(services: LocalServices, cache: Path, tmp_path: Path) -> None:
    home = tmp_path / "data"
    try:
        first = headrace_local("up", "--data", str(home), "--json", cache=cache)
        assert first.returncode == 0, first.stderr
        said = json.loads(first.stdout)
        assert said["detached"]
        assert said["kafka"]["bootstrap_servers"] != services.endpoints.bootstrap_servers

        again = headrace_local("up", "--json", cache=cache)
        assert json.loads(again.stdout) == said
        told = headrace_local("status", cache=cache)
        assert f"export HEADRACE_KAFKA__BOOTSTRAP_SERVERS={said['kafka']['bootstrap_servers']}" in told.stdout
        with pytest.raises(LocalServicesError, match="already run in"):
            LocalServices(home).start()

        os.kill(said["redis"]["pid"], signal.SIGKILL)
        assert await_truth(lambda: headrace_local("status", cache=cache).returncode == 3)
        assert headrace_local("down", cache=cache).returncode == 0
        assert not is_running(Process(said["kafka"]["pid"], str(home)))
        assert (home / "kafka-1" / "data" / "meta.properties").exists()
    finally:
        record = read_record(home)
        if record is not None:
            stop(record.processes)


@pytest.mark.usefixtures("services")
async def test_up_starts_again_what_has_ended_and_no_topic_is_lost(cache: Path) -> None:
    """The unnamed pair, whose data a start used to throw away."""
    try:
        said = json.loads(headrace_local("up", "--json", cache=cache).stdout)
        servers = said["kafka"]["bootstrap_servers"]
        await make_topic(servers, "kept")
        await write_in_a_transaction(servers, "kept", b"a lead")
        os.kill(said["redis"]["pid"], signal.SIGKILL)
        mended = headrace_local("up", "--json", cache=cache)
        assert "Valkey had ended: started again, empty." in mended.stderr
        told = json.loads(mended.stdout)
        assert (told["kafka"], told["redis"]["url"]) == (said["kafka"], said["redis"]["url"])
        assert await first_value(servers, "kept") == b"a lead"
        os.kill(said["kafka"]["pid"], signal.SIGKILL)
        mended = headrace_local("up", "--json", cache=cache)
        assert "Kafka's node 1 had ended: started again, with the topics that were there." in mended.stderr
        assert json.loads(mended.stdout)["kafka"]["bootstrap_servers"] == servers
        assert await first_value(servers, "kept") == b"a lead"
        down = headrace_local("down", cache=cache)
        assert f"pid {min(told['redis']['pid'], json.loads(mended.stdout)['kafka']['pid'])}" in down.stdout
        assert headrace_local("status", cache=cache).returncode == 3
    finally:
        headrace_local("down", cache=cache)


@pytest.mark.usefixtures("services")
def test_foreground_stops_both_at_sigterm_with_exit_code_0(cache: Path) -> None:
    where = environment(HEADRACE_CACHE_DIR=str(cache))
    command = [sys.executable, "-c", CLI, "up", "--foreground", "--json"]
    with subprocess.Popen(command, cwd=ROOT, env=where, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        said = json.loads(owner.stdout.readline())
        assert headrace_local("status", cache=cache).returncode == 0
        assert headrace_local("up", "--foreground", cache=cache).returncode == 2
        owner.send_signal(signal.SIGTERM)
        assert owner.wait(timeout=20) == 0
    home = said["data_dir"]
    assert not is_running(Process(said["kafka"]["pid"], home))
    assert not is_running(Process(said["redis"]["pid"], home))
    assert not Path(home).exists()
    assert headrace_local("status", cache=cache).returncode == 3
