"""What the pair runs: the locked Kafka and the Valkey of the extra, unless somebody brings others to be tried."""

from dataclasses import dataclass
from pathlib import Path

from broker.local.jars import Jar, locked_jars
from broker.local.requirements import java, valkey_server


@dataclass(frozen=True, slots=True)
class Programs:
    """`jars` is a lock of another Kafka (`jars.parse_lock` reads one), `redis_server` another server's binary."""

    jars: tuple[Jar, ...] | None = None
    redis_server: Path | None = None

    def kafka_jars(self) -> tuple[Jar, ...]:
        """The jars to fetch, and to put on the class path."""
        return locked_jars() if self.jars is None else self.jars

    def redis(self) -> Path:
        """The server binary; LocalServicesError where the extra has none for this machine."""
        return valkey_server() if self.redis_server is None else self.redis_server

    def java(self) -> Path:
        """The java command."""
        return java()
