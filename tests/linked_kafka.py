"""Links the classes of the locked Kafka, so that each start takes half the time (`headrace.broker.local.linked`)."""

import tempfile
import threading
from pathlib import Path

from headrace.broker.local.cache import cache_dir
from headrace.broker.local.claim import alone
from headrace.broker.local.cluster import KafkaCluster
from headrace.broker.local.free_ports import free_ports
from headrace.broker.local.guard import Guard
from headrace.broker.local.jars import ensure_jars, locked_jars
from headrace.broker.local.linked import java_command, place_of
from headrace.broker.local.processes import stop
from headrace.broker.local.requirements import java, require_extra

_WRITTEN_WITHIN_S = 120.0
_ENDED_WITHIN_S = 5.0


def ensure_linked() -> None:
    """Link the classes of the locked Kafka, unless that was done before.

    Raises:
        LocalServicesError: Kafka could not be started, or another process is linking (exit code 2).
    """
    require_extra()
    jars = ensure_jars(locked_jars(), cache_dir() / "jars")
    linked = place_of(java(), jars, cache_dir())
    linked.parent.mkdir(parents=True, exist_ok=True)
    with alone(linked.parent / ".linking"):
        if not linked.exists():
            _link(java_command(java(), jars, cache_dir()), linked)


def _link(command: tuple[str, ...], into: Path) -> None:
    """Start a node, end it in an orderly way, and keep the file that the JVM writes at its end."""
    guard = Guard()
    try:
        with tempfile.TemporaryDirectory(dir=into.parent, prefix="linking-") as home:
            guard.remove(Path(home))
            _learn(command, Path(home), guard).replace(into)
    finally:
        guard.release()


def _learn(command: tuple[str, ...], home: Path, guard: Guard) -> Path:
    (port, controller_port), written = free_ports(2), home / "linked.aot"
    KafkaCluster([(port, controller_port)], home, command).prepare()  # formats, which must not be part of the recording
    cluster = KafkaCluster([(port, controller_port)], home, (command[0], f"-XX:AOTCacheOutput={written}", *command[1:]))
    cluster.prepare()
    (node,) = cluster.chosen(())
    process = node.spawn()
    guard.watch(process.pid, process.mark)
    try:
        cluster.await_ready((node,), threading.Event())
    finally:
        stop([process], grace_s=_WRITTEN_WITHIN_S)
        if node.child is not None:
            node.child.wait(timeout=_ENDED_WITHIN_S)
    if not written.exists():
        raise node.failure("did not write its classes")
    return written
