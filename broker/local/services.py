"""The pair: one real Kafka and one real Valkey on this machine, for as long as they are needed.

```python
async with LocalServices() as services:  # `with` does the same without a loop
    client = GenerationClient(services.endpoints.bootstrap_servers)
```

The first use fetches Kafka's jars into the user's cache; nothing else is ever installed. Both servers listen on
127.0.0.1 only, each in a session of its own, and a guard ends them when their owner dies, in whatever way.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from headrace.broker.local.cache import cache_dir
from headrace.broker.local.claim import alone, end_leftovers
from headrace.broker.local.cluster import KafkaCluster, require_same_size, require_size
from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.formatted import place_of_format
from headrace.broker.local.free_ports import free_ports
from headrace.broker.local.guard import Guard
from headrace.broker.local.jars import Jar, Progress, ensure_jars, locked_jars
from headrace.broker.local.kafka import Kafka
from headrace.broker.local.linked import java_command
from headrace.broker.local.processes import GRACE_S, disown, is_running, stop
from headrace.broker.local.properties import NodeSettings, ours_alone
from headrace.broker.local.record import Endpoints, PairRecord, remove_record, write_record
from headrace.broker.local.requirements import java, require_extra, valkey_server
from headrace.broker.local.valkey import Valkey

__all__ = ["Endpoints", "LocalServices"]

_STARTS_MAX = 3
_REAPED_WITHIN_S = 2.0


class LocalServices:
    """Context manager that starts and stops the pair; every start chooses free ports, a restart keeps them."""

    def __init__(  # noqa: PLR0913 — all but the first keyword-only
        self,
        data_dir: Path | None = None,
        *,
        nodes: int = 1,
        keep: bool = False,
        progress: Progress | None = None,
        jars: Sequence[Jar] | None = None,
        node_settings: NodeSettings = ours_alone,
    ) -> None:
        """Prepare a pair without starting it.

        Args:
            data_dir: The directory for Kafka's data, the logs and the record; it is never removed. Without it: a
                temporary directory, removed at the stop.
            nodes: 1, or 3 that keep every topic three times: some 160 MB of memory each.
            keep: Leave the temporary directory where it is.
            progress: Gets the number of jars that have been fetched, on the first use only.
            jars: Another Kafka than the locked one; `jars.parse_lock` reads its lock.
            node_settings: Additional settings of a node of Kafka, such as one more listener; called once for each node
                at each start.

        Raises:
            LocalServicesError: Another number of nodes (exit code 2).
        """
        require_size(nodes)
        self._nodes = nodes
        self._jars = jars
        self._node_settings = node_settings
        self._given = data_dir is not None
        self.data_dir = data_dir.expanduser().resolve() if data_dir is not None else Path()
        self._keep = keep
        self._progress = progress
        self._abandon = threading.Event()
        self._guard: Guard | None = None
        self._kafka: KafkaCluster | None = None
        self._valkey: Valkey | None = None

    @property
    def endpoints(self) -> Endpoints:
        """The addresses of the pair."""
        kafka, valkey = self._started
        return Endpoints(kafka.bootstrap_servers, f"redis://127.0.0.1:{valkey.port}/0")

    @property
    def kafka_pids(self) -> dict[int, int]:
        """The pid of each of Kafka's nodes, by node id; a restart changes it."""
        return {number: process.pid for number, process in self._started[0].processes.items()}

    @property
    def kafka_pid(self) -> int:
        """The pid of Kafka's first node; a restart changes it."""
        return self.kafka_pids.get(1, 0)

    @property
    def valkey_pid(self) -> int:
        """Valkey's pid; a restart changes it."""
        process = self._started[1].process
        return 0 if process is None else process.pid

    @property
    def is_running(self) -> bool:
        """Whether Valkey and enough of Kafka's nodes to serve (two of three) run at this moment."""
        if self._kafka is None or self._valkey is None or self._valkey.process is None:
            return False
        return self._kafka.is_running and is_running(self._valkey.process)

    def start(self) -> None:
        """Start both and wait until they serve: some 4 s, and once, on the first use, half a minute of fetching.

        Raises:
            LocalServicesError: One sentence that says why not; nothing is left running then.
        """
        require_extra()
        wanted = self._jars or locked_jars()
        jars = ensure_jars(wanted, cache_dir() / "jars", progress=self._progress)
        if not self._given:
            self.data_dir = Path(tempfile.mkdtemp(prefix="headrace-")).resolve()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with alone(self.data_dir / ".starting"):
            end_leftovers(self.data_dir)
            require_same_size(self.data_dir, self._nodes)
            self._guard = Guard()
            if self._is_throwaway:
                self._guard.remove(self.data_dir)
            try:
                self._start_servers(java_command(java(), jars, cache_dir()), place_of_format(wanted, cache_dir()))
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Stop both, and throw away what is not to be kept. A second call does nothing.

        Data that stay are worth an orderly end, with SIGKILL after a grace of 5 s; data that do not are not.
        """
        _end(self._servers, grace_s=0.0 if self._is_throwaway else GRACE_S)
        if self._guard is None:
            return
        remove_record(self.data_dir)
        if self._is_throwaway:
            shutil.rmtree(self.data_dir, ignore_errors=True)
        self._guard.release()
        self._guard = None

    def give_up(self) -> None:
        """Make a `start()` under way end with LocalServicesError; called from another thread or a signal handler."""
        self._abandon.set()

    def detach(self) -> PairRecord:
        """Let the pair run on without its owner; the record in the data directory is then the only way to end it."""
        record = self._write_record(owner_pid=None)
        if self._guard is not None:
            self._guard.release()
            self._guard = None
        for server in self._servers:
            if server.child is not None:
                disown(server.child)
        self._kafka = self._valkey = None
        return record

    async def restart_kafka(self, *node_ids: int) -> None:
        """End these nodes of Kafka (all, where none is named) if they still run, and start them again.

        They keep their ports and data, and take part again, with nothing left to catch up on, when this returns.
        """
        await asyncio.to_thread(self._restart_kafka, node_ids)

    async def restart_valkey(self) -> None:
        """End Valkey if it still runs, and start it again, empty, on the same port."""
        await asyncio.to_thread(self._restart_valkey)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        starting = asyncio.create_task(asyncio.to_thread(self.start), name="local-services-start")
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            self.give_up()  # the thread cannot be cancelled; it ends its own servers and returns
            await asyncio.wait({starting})
            if starting.exception() is None:
                await asyncio.to_thread(self.stop)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    @property
    def _is_throwaway(self) -> bool:
        return not self._given and not self._keep

    @property
    def _started(self) -> tuple[KafkaCluster, Valkey]:
        if self._kafka is None or self._valkey is None:
            raise LocalServicesError("The local Kafka and Valkey have not been started: start them first.", exit_code=2)
        return self._kafka, self._valkey

    @property
    def _servers(self) -> tuple[Kafka | Valkey, ...]:
        nodes = () if self._kafka is None else tuple(self._kafka.nodes.values())
        return nodes if self._valkey is None else (*nodes, self._valkey)

    def _start_servers(self, java_command: tuple[str, ...], kept_format: Path) -> None:
        for attempt in range(1, _STARTS_MAX + 1):
            valkey_port, *ports = free_ports(1 + 2 * self._nodes)
            kafka = self._kafka = KafkaCluster(
                list(zip(ports[::2], ports[1::2], strict=True)),
                self.data_dir,
                java_command,
                self._node_settings,
                kept_format if self._node_settings is ours_alone else None,  # settings may decide what is formatted
            )
            valkey = self._valkey = Valkey(valkey_server(), valkey_port, self.data_dir)
            try:
                self._spawn(valkey)
                kafka.prepare()
                self._spawn(*kafka.nodes.values())
                valkey.await_ready(self._abandon)
                kafka.await_ready(kafka.chosen(()), self._abandon)
            except LocalServicesError:
                taken = kafka.address_is_taken or valkey.address_is_taken
                if attempt == _STARTS_MAX or not taken or self._abandon.is_set():
                    raise
                _end(self._servers)
            else:
                return

    def _spawn(self, *servers: Kafka | Valkey) -> None:
        for server in servers:
            process = server.spawn()
            if self._guard is not None:
                self._guard.watch(process.pid, process.mark)
            self._write_record(owner_pid=os.getpid())

    def _restart_kafka(self, node_ids: tuple[int, ...]) -> None:
        kafka = self._started[0]
        nodes = kafka.chosen(node_ids)
        _end(nodes)
        self._spawn(*nodes)
        kafka.await_ready(nodes, self._abandon)

    def _restart_valkey(self) -> None:
        valkey = self._started[1]
        _end((valkey,))
        self._spawn(valkey)
        valkey.await_ready(self._abandon)

    def _write_record(self, *, owner_pid: int | None) -> PairRecord:
        kafka, valkey = self._started
        processes = kafka.processes
        record = PairRecord(
            bootstrap_servers=self.endpoints.bootstrap_servers,
            redis_url=self.endpoints.redis_url,
            kafka_pids=tuple(processes[number].pid if number in processes else 0 for number in kafka.nodes),
            valkey_pid=0 if valkey.process is None else valkey.process.pid,
            owner_pid=owner_pid,
            data_dir=str(self.data_dir),
        )
        write_record(record)
        return record


def _end(servers: Sequence[Kafka | Valkey], *, grace_s: float = GRACE_S) -> None:
    """Stop all servers at once. An ended child must be waited for, or it stays behind as a zombie."""
    stop((process for server in servers if (process := server.process) is not None), grace_s=grace_s)
    for server in servers:
        if server.child is None:
            continue
        try:
            server.child.wait(timeout=_REAPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            server.child.kill()
            server.child.wait()
