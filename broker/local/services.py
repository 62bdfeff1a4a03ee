"""The pair: one real Kafka and one real Valkey on this machine, for as long as somebody needs them.

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
from pathlib import Path
from types import TracebackType
from typing import Self

from broker.local.cache import cache_dir
from broker.local.claim import alone, end_leftovers
from broker.local.errors import LocalServicesError
from broker.local.free_ports import free_ports
from broker.local.guard import Guard
from broker.local.jars import Progress, classpath, ensure_jars, locked_jars
from broker.local.kafka import Kafka
from broker.local.processes import disown, is_running, stop
from broker.local.properties import Node
from broker.local.record import Endpoints, Record, remove_record, write_record
from broker.local.requirements import java, require_extra, valkey_server
from broker.local.valkey import Valkey

__all__ = ["Endpoints", "LocalServices"]

_STARTS_MAX = 3
_REAPED_WITHIN_S = 2.0


class LocalServices:
    """Starts the pair on entering, stops it on leaving; every start chooses free ports, a restart keeps them."""

    def __init__(self, data_dir: Path | None = None, *, keep: bool = False, progress: Progress | None = None) -> None:
        """A pair that is not started yet.

        Args:
            data_dir: where Kafka's data, the logs and the record live; it is never removed. Without it: a temporary
                directory, removed at the stop.
            keep: leave the temporary directory where it is.
            progress: told how many jars have been fetched, on the first use only.
        """
        self._given = data_dir is not None
        self.data_dir = data_dir.expanduser().resolve() if data_dir is not None else Path()
        self._keep = keep
        self._progress = progress
        self._abandon = threading.Event()
        self._guard: Guard | None = None
        self._kafka: Kafka | None = None
        self._valkey: Valkey | None = None

    @property
    def endpoints(self) -> Endpoints:
        """Where the pair listens."""
        kafka, valkey = self._started
        return Endpoints(f"127.0.0.1:{kafka.node.port}", f"redis://127.0.0.1:{valkey.port}/0")

    @property
    def kafka_pid(self) -> int:
        """Kafka's pid; a restart changes it."""
        process = self._started[0].process
        return 0 if process is None else process.pid

    @property
    def valkey_pid(self) -> int:
        """Valkey's pid; a restart changes it."""
        process = self._started[1].process
        return 0 if process is None else process.pid

    @property
    def is_running(self) -> bool:
        """Whether both servers run at this moment."""
        servers = [server for server in (self._kafka, self._valkey) if server is not None]
        return len(servers) == 2 and all(s.process is not None and is_running(s.process) for s in servers)

    def start(self) -> None:
        """Start both and wait until they serve: some 4 s, and once, on the first use, half a minute of fetching.

        Raises:
            LocalServicesError: one sentence that says why not; nothing is left running then.
        """
        require_extra()
        jars = ensure_jars(locked_jars(), cache_dir() / "jars", progress=self._progress)
        if not self._given:
            self.data_dir = Path(tempfile.mkdtemp(prefix="headrace-")).resolve()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with alone(self.data_dir / ".starting"):
            end_leftovers(self.data_dir)
            self._guard = Guard()
            if self._is_throwaway:
                self._guard.remove(self.data_dir)
            try:
                self._start_servers((str(java()), "-cp", classpath(jars)))
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Stop both, SIGKILL after a grace of 5 s, and throw away what is not to be kept. Again: nothing happens."""
        servers = [server for server in (self._kafka, self._valkey) if server is not None]
        stop(process for server in servers if (process := server.process) is not None)
        for server in servers:
            _reap(server)
        if self._guard is None:
            return
        remove_record(self.data_dir)
        if self._is_throwaway:
            shutil.rmtree(self.data_dir, ignore_errors=True)
        self._guard.release()
        self._guard = None

    def give_up(self) -> None:
        """From another thread or a signal handler: a `start()` under way ends with LocalServicesError."""
        self._abandon.set()

    def detach(self) -> Record:
        """Let the pair run on without us; the record in the data directory is then the only way to end it."""
        record = self._write_record(owner_pid=None)
        if self._guard is not None:
            self._guard.release()
            self._guard = None
        for server in self._started:
            if server.child is not None:
                disown(server.child)
        self._kafka = self._valkey = None
        return record

    async def restart_kafka(self) -> None:
        """End Kafka if it still runs, and start it again on the same ports and data."""
        await asyncio.to_thread(self._restart, self._started[0])

    async def restart_valkey(self) -> None:
        """End Valkey if it still runs, and start it again, empty, on the same port."""
        await asyncio.to_thread(self._restart, self._started[1])

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
            self.give_up()  # the thread cannot be cancelled; it ends its own servers and comes back
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
    def _started(self) -> tuple[Kafka, Valkey]:
        if self._kafka is None or self._valkey is None:
            raise LocalServicesError("The local Kafka and Valkey have not been started.", exit_code=2)
        return self._kafka, self._valkey

    def _start_servers(self, java_command: tuple[str, ...]) -> None:
        for attempt in range(1, _STARTS_MAX + 1):
            kafka_port, controller_port, valkey_port = free_ports(3)
            node = Node(1, kafka_port, controller_port)
            self._kafka = Kafka(node, (node,), self.data_dir, java_command)
            self._valkey = Valkey(valkey_server(), valkey_port, self.data_dir)
            try:
                self._spawn(self._valkey)
                self._spawn(self._kafka)
                self._valkey.await_ready(self._abandon)
                self._kafka.await_ready(self._abandon)
            except LocalServicesError:
                taken = self._kafka.address_is_taken or self._valkey.address_is_taken
                if attempt == _STARTS_MAX or not taken or self._abandon.is_set():
                    raise
                stop(process for server in self._started if (process := server.process) is not None)
            else:
                return

    def _spawn(self, server: Kafka | Valkey) -> None:
        process = server.spawn()
        if self._guard is not None:
            self._guard.watch(process.pid, process.mark)
        self._write_record(owner_pid=os.getpid())

    def _restart(self, server: Kafka | Valkey) -> None:
        if server.process is not None:
            stop([server.process])
            _reap(server)
        self._spawn(server)
        server.await_ready(self._abandon)

    def _write_record(self, *, owner_pid: int | None) -> Record:
        where = self.endpoints
        record = Record(
            bootstrap_servers=where.bootstrap_servers,
            redis_url=where.redis_url,
            kafka_pid=self.kafka_pid,
            valkey_pid=self.valkey_pid,
            owner_pid=owner_pid,
            data_dir=str(self.data_dir),
        )
        write_record(record)
        return record


def _reap(server: Kafka | Valkey) -> None:
    """A child that has ended must be waited for, or it stays behind as a zombie; one that has not must end now."""
    if server.child is None:
        return
    try:
        server.child.wait(timeout=_REAPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        server.child.kill()
        server.child.wait()
