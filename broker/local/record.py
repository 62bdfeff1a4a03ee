"""The record of a pair that runs, by which other processes can find it, use it and end it.

`services.json` in the data directory has the addresses and pids of the servers. It exists from the first server's start
to the orderly stop. Found with dead or half-dead servers, it says what a killed owner left behind.
"""

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from headrace.broker.local.processes import Process, is_running

_NAME = "services.json"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The addresses that a client needs: HEADRACE_KAFKA__BOOTSTRAP_SERVERS and HEADRACE_REDIS__URL."""

    bootstrap_servers: str
    redis_url: str


@dataclass(frozen=True, slots=True)
class PairRecord:
    """One pair. A pid is 0 while that server has not been started; `owner_pid` is None for a detached pair.

    `kafka_pids` are in the order of the node ids, which begin with 1, and so are the addresses in `bootstrap_servers`.
    """

    bootstrap_servers: str
    redis_url: str
    kafka_pids: tuple[int, ...]
    valkey_pid: int
    owner_pid: int | None
    data_dir: str

    @property
    def endpoints(self) -> Endpoints:
        """The addresses of the pair."""
        return Endpoints(self.bootstrap_servers, self.redis_url)

    @property
    def nodes(self) -> dict[int, Process]:
        """Kafka's nodes that have been started, by their ids, each with the mark that its command line bears."""
        homes = {number: str(Path(self.data_dir, f"kafka-{number}")) for number in range(1, len(self.kafka_pids) + 1)}
        return {number: Process(pid, homes[number]) for number, pid in enumerate(self.kafka_pids, start=1) if pid > 0}

    @property
    def processes(self) -> tuple[Process, ...]:
        """All servers that have been started."""
        valkey = (Process(self.valkey_pid, str(Path(self.data_dir, "valkey"))),) if self.valkey_pid > 0 else ()
        return (*self.nodes.values(), *valkey)

    @property
    def is_serving(self) -> bool:
        """Whether Valkey, enough of Kafka's nodes (two of three) and the owner that must stop them, if any, run."""
        owned = self.owner_pid is None or _is_alive(self.owner_pid)
        nodes = [is_running(node) for node in self.nodes.values()]
        valkey = self.valkey_pid > 0 and is_running(self.processes[-1])
        return owned and valkey and sum(nodes) > len(self.kafka_pids) // 2


def write_record(record: PairRecord) -> None:
    """Write the record atomically into its own data directory."""
    directory = Path(record.data_dir)
    descriptor, name = tempfile.mkstemp(prefix=f".{_NAME}-", dir=directory)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(record), file, indent=1)
    Path(name).replace(directory / _NAME)


def read_record(data_dir: Path) -> PairRecord | None:
    """Return the record in this directory; None where there is none, or none that this version understands."""
    try:
        fields = json.loads((data_dir / _NAME).read_text(encoding="utf-8"))
        fields["kafka_pids"] = tuple(int(pid) for pid in fields["kafka_pids"])
        return PairRecord(**fields)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def remove_record(data_dir: Path) -> None:
    """Remove the record after the stop; nothing happens where there is none."""
    (data_dir / _NAME).unlink(missing_ok=True)


def port_of(address: str) -> int:
    """Return the port of `127.0.0.1:21000`, or of a voter such as `1@127.0.0.1:21001`."""
    return int(address.rpartition(":")[2])


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
