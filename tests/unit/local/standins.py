"""Processes that stand in for a pair's servers: they bear the marks of ours on their command lines, and answer."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.broker.local.free_ports import free_ports
from headrace.broker.local.processes import Process, spawn, stop
from headrace.broker.local.record import PairRecord, write_record

_SERVES = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = server.accept()
    if connection.recv(64):
        connection.sendall(b"+PONG\\r\\n")
    connection.close()
"""


def started(home: Path, port: int, *, valkey: bool = False) -> subprocess.Popen[bytes]:
    """A server that accepts on that port, marked as the one whose files are in `home`."""
    mark = ["--dir", str(home), "--more"] if valkey else [f"-Djava.io.tmpdir={home / 'tmp'}", str(home)]
    home.mkdir(parents=True, exist_ok=True)
    child = spawn([sys.executable, "-I", "-S", "-c", _SERVES, str(port), *mark], log=home / "log", directory=home)
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return child
        assert child.poll() is None, (home / "log").read_text()


@contextmanager
def pair(home: Path, nodes: int = 1) -> Iterator[tuple[PairRecord, list[subprocess.Popen[bytes]]]]:
    """A pair on record, with something in a topic: its nodes, and Valkey as the last."""
    ports = free_ports(2 * nodes + 1)
    children = [started(home / f"kafka-{number + 1}", ports[number]) for number in range(nodes)]
    children.append(started(home / "valkey", ports[-1], valkey=True))
    voters = ",".join(f"{number + 1}@127.0.0.1:{ports[nodes + number]}" for number in range(nodes))
    for number in range(1, nodes + 1):
        data = home / f"kafka-{number}" / "data" / "topic-0"
        data.mkdir(parents=True)
        (data.parent / "meta.properties").write_text("cluster.id=H\n")
        (data / "00000000.log").write_text("a lead")
        settings = f"controller.quorum.voters={voters}\n"
        (home / f"kafka-{number}" / "server.properties").write_text(settings)
    addresses = ",".join(f"127.0.0.1:{port}" for port in ports[:nodes])
    pids = tuple(child.pid for child in children)
    record = PairRecord(addresses, f"redis://127.0.0.1:{ports[-1]}/0", pids[:-1], pids[-1], None, str(home))
    write_record(record)
    try:
        yield record, children
    finally:
        stop(Process(child.pid, str(home)) for child in children)
        for child in children:
            child.wait()


def dies(child: subprocess.Popen[bytes]) -> None:
    """As SIGKILL."""
    child.kill()
    child.wait()


def topic_of(home: Path, node: int = 1) -> Path:
    """The file in which something was written."""
    return home / f"kafka-{node}" / "data" / "topic-0" / "00000000.log"
