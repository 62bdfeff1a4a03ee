"""Kafka's classes, loaded and linked once: a node that finds them starts in half the time.

The JVM calls it an AOT cache. One fits one Java, one set of options and the very jars it was made from, so all of these
are in its name. Making one takes as long as three starts; so it is made only on demand, as by the tests, which start
Kafka all day. Without one Kafka starts as usual.
"""

import hashlib
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from broker.local.cache import cache_dir
from broker.local.claim import alone
from broker.local.cluster import KafkaCluster
from broker.local.free_ports import free_ports
from broker.local.guard import Guard
from broker.local.jars import classpath, ensure_jars, locked_jars
from broker.local.kafka import JVM_OPTIONS
from broker.local.processes import stop
from broker.local.requirements import java, require_extra

_WRITTEN_WITHIN_S = 120.0
_ENDED_WITHIN_S = 5.0


def java_command(java: Path, jars: Sequence[Path], cache: Path) -> tuple[str, ...]:
    """Return the java command and its class path, with the linked classes below `cache` if they exist."""
    linked = place_of(java, jars, cache)
    # A few of its many stubs do not fit, of which the JVM warns and which it then makes itself.
    found = (f"-XX:AOTCache={linked}", "-Xlog:aot*=error") if linked.exists() else ()
    return (str(java), *found, "-cp", classpath(jars))


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


def place_of(java: Path, jars: Sequence[Path], cache: Path) -> Path:
    """Return the path of the classes of these jars, linked by this Java."""
    release = java.resolve().parents[1] / "release"
    files = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in (*jars, release) if file.exists()]
    name = hashlib.sha256(repr((str(java), JVM_OPTIONS, files)).encode()).hexdigest()[:16]
    return cache / "linked" / f"{name}.aot"


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
