"""Kafka's classes, loaded and linked once: a node that finds them starts in half the time.

The JVM calls it an AOT cache. One fits one Java, one set of options and the very jars it was made from, so all of these
are in its name. Making one takes as long as three starts; so only the tests do, which start Kafka all day
(`tests/linked_kafka.py`). Without one Kafka starts as usual.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from headrace.broker.local.jars import classpath
from headrace.broker.local.kafka import JVM_OPTIONS


def java_command(java: Path, jars: Sequence[Path], cache: Path) -> tuple[str, ...]:
    """Return the java command and its class path, with the linked classes below `cache` if they exist."""
    linked = place_of(java, jars, cache)
    # A few of its many stubs do not fit, of which the JVM warns and which it then makes itself.
    found = (f"-XX:AOTCache={linked}", "-Xlog:aot*=error") if linked.exists() else ()
    return (str(java), *found, "-cp", classpath(jars))


def place_of(java: Path, jars: Sequence[Path], cache: Path) -> Path:
    """Return the path of the classes of these jars, linked by this Java."""
    release = java.resolve().parents[1] / "release"
    files = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in (*jars, release) if file.exists()]
    name = hashlib.sha256(repr((str(java), JVM_OPTIONS, files)).encode()).hexdigest()[:16]
    return cache / "linked" / f"{name}.aot"
