"""Mending of a pair with ended servers: those are started again; the others run on, and all data stay."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from headrace.broker.local.cache import cache_dir
from headrace.broker.local.cluster import KafkaCluster, voters_in
from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.jars import Progress, ensure_jars, locked_jars
from headrace.broker.local.kafka import Kafka
from headrace.broker.local.linked import java_command
from headrace.broker.local.processes import Process, disown, is_running
from headrace.broker.local.record import PairRecord, port_of, write_record
from headrace.broker.local.requirements import java, require_extra, valkey_server
from headrace.broker.local.valkey import Valkey


def running_of(record: PairRecord) -> tuple[Process, ...]:
    """Return the servers that run at this moment, answering or not."""
    return tuple(process for process in record.processes if is_running(process))


def mend(record: PairRecord, *, progress: Progress | None, told: Callable[[str], None]) -> PairRecord:
    """Start the ended servers of a pair of which one still runs; return the record of the whole pair.

    Ports stay. A node of Kafka comes back with its topics; Valkey comes back empty, as after every start.

    Raises:
        LocalServicesError: A server does not start; the others run on.
    """
    require_extra()
    home = Path(record.data_dir)
    (home / "logs").mkdir(exist_ok=True)
    dead = [number for number in range(1, len(record.kafka_pids) + 1) if not _node_runs(record, number)]
    started: list[Kafka | Valkey] = []
    try:
        if dead:
            cluster = KafkaCluster(_ports(record), home, _java(progress))
            for node in cluster.chosen(dead):
                started.append(node)
                record = _started(record, node)
            cluster.await_ready(cluster.chosen(dead), threading.Event())
            told(f"{_named(dead)} had ended: started again, with the topics that were there.")
        if not _valkey_runs(record):
            valkey = Valkey(valkey_server(), port_of(record.redis_url.removesuffix("/0")), home)
            started.append(valkey)
            record = _started(record, valkey)
            valkey.await_ready(threading.Event())
            told("Valkey had ended: started again, empty. Kafka and its topics are unchanged.")
    finally:
        for server in started:
            if server.child is not None and server.child.poll() is None:
                disown(server.child)
    return record


def _named(dead: Sequence[int]) -> str:
    return f"Kafka's node {dead[0]}" if len(dead) == 1 else f"Kafka's nodes {', '.join(map(str, dead))}"


def _started(record: PairRecord, server: Kafka | Valkey) -> PairRecord:
    """Start the server, and write down the new record before anything else can go wrong."""
    process = server.spawn()
    if isinstance(server, Valkey):
        record = replace(record, valkey_pid=process.pid)
    else:
        pids = list(record.kafka_pids)
        pids[server.node.node_id - 1] = process.pid
        record = replace(record, kafka_pids=tuple(pids))
    write_record(record)
    return record


def _node_runs(record: PairRecord, number: int) -> bool:
    return number in record.nodes and is_running(record.nodes[number])


def _valkey_runs(record: PairRecord) -> bool:
    return record.valkey_pid > 0 and is_running(record.processes[-1])


def _java(progress: Progress | None) -> tuple[str, ...]:
    return java_command(java(), ensure_jars(locked_jars(), cache_dir() / "jars", progress=progress), cache_dir())


def _ports(record: PairRecord) -> list[tuple[int, int]]:
    """Return each node's own port and its controller's, as its settings have them."""
    own = [port_of(address) for address in record.bootstrap_servers.split(",")]
    for number in range(1, len(own) + 1):
        try:
            voters = voters_in(Path(record.data_dir, f"kafka-{number}"))
        except OSError:
            continue
        if voters:
            return list(zip(own, [port_of(voter) for voter in voters], strict=True))
    sentence = (
        f"The settings of Kafka in {record.data_dir} cannot be read, so the part that has ended cannot be started"
    )
    raise LocalServicesError(f"{sentence} again: `headrace local down` ends the rest.", exit_code=2)
