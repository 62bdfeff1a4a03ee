"""Writes kafka.lock: the newest Kafka that is served, every jar with its digest and none with an address.

    python -m tests.compatibility.kafka_lock [VERSION]

The server of that lock is tried; the one that `headrace local` ships stays what broker/local/jars.lock says.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

import jgo
from jgo.maven import MavenContext

from headrace.broker.local.jars import parse_lock

KAFKA_LOCK = Path(__file__).parent / "kafka.lock"
_KAFKA = ("org.apache.kafka", "kafka_2.13")
_LOG_BINDING = ("org.apache.logging.log4j", "log4j-slf4j-impl")
_LOG = ("org.apache.logging.log4j", "log4j-core")


def locked_version() -> str:
    """Which Kafka the lock is of."""
    jars = parse_lock(KAFKA_LOCK.read_text(encoding="utf-8"))
    return next(jar.version for jar in jars if (jar.group, jar.artifact) == _KAFKA)


def newest_version() -> str:
    """The newest release that the Maven client finds."""
    with tempfile.TemporaryDirectory() as cache:
        project = MavenContext(repo_cache=Path(cache), timeout=20).project(*_KAFKA)
        project.update()
        return str(project.release)


def lock_of(version: str) -> str:
    """The text of a lock: Kafka, what it depends on, and the log4j binding without which its log stays empty."""
    jars = jgo.resolve(":".join((*_KAFKA, version)))
    log4j = next(jar.version for jar in jars if (jar.groupId, jar.artifactId) == _LOG)
    jars += [
        jar for jar in jgo.resolve(":".join((*_LOG_BINDING, log4j))) if (jar.groupId, jar.artifactId) == _LOG_BINDING
    ]
    lines = {f"{jar.groupId}:{jar.artifactId}:{jar.version} sha256:{_digest(Path(jar.resolve()))}" for jar in jars}
    title = (
        f"# Apache Kafka {version} ({':'.join(_KAFKA)}), all it needs to run, and a log4j binding. By kafka_lock.py.\n"
    )
    return title + "".join(f"{line}\n" for line in sorted(lines))


def _digest(jar: Path) -> str:
    return hashlib.sha256(jar.read_bytes()).hexdigest()


if __name__ == "__main__":
    KAFKA_LOCK.write_text(lock_of(sys.argv[1] if len(sys.argv) > 1 else newest_version()), encoding="utf-8")
