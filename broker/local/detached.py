"""The pair that runs on by itself after the command that started it: found and ended through its record.

Where no directory is named, the pair is this user's only one: a note in the cache directory says where it lives, and
its data are thrown away at the stop. Data in a directory that somebody named are theirs and stay.
"""

import shutil
from pathlib import Path

from broker.local.cache import cache_dir
from broker.local.claim import alone, end_leftovers
from broker.local.cluster import majority, require_size, size_of_data
from broker.local.errors import LocalServicesError
from broker.local.free_ports import accepts
from broker.local.jars import Progress
from broker.local.processes import GRACE_S, stop
from broker.local.record import Record, read_record, remove_record
from broker.local.services import LocalServices
from broker.local.valkey import answers_ping


def up(data_dir: Path | None = None, *, nodes: int | None = None, progress: Progress | None = None) -> Record:
    """The running pair, started if it does not run yet; data of an unnamed pair begin empty.

    Without `nodes` Kafka has as many as the data were written by, or one.

    Raises:
        LocalServicesError: one sentence that says why it cannot start; nothing is left running then. Also, with exit
            code 2, if the pair that runs has another number of nodes than was asked for.
    """
    if nodes is not None:
        require_size(nodes)
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    with alone(cache / "up.lock"):
        running = status(data_dir)
        if running is not None:
            _require_nodes(running, nodes)
            return running
        home = _absolute(data_dir) or _unnamed()
        end_leftovers(home)
        if data_dir is None:
            shutil.rmtree(home, ignore_errors=True)
        services = LocalServices(home, nodes=nodes or size_of_data(home) or 1, progress=progress)
        services.start()
        record = services.detach()
        note_last(home)
        return record


def status(data_dir: Path | None = None) -> Record | None:
    """The record of the pair in `data_dir` (without one: of the last pair started) if it serves."""
    record = read_record(_absolute(data_dir) or _last())
    if record is None or not record.is_serving:
        return None
    nodes = [accepts(_port(node)) for node in record.bootstrap_servers.split(",")]
    return (
        record
        if majority(len(nodes), sum(nodes)) and answers_ping(_port(record.redis_url.removesuffix("/0")))
        else None
    )


def down(data_dir: Path | None = None) -> Record | None:
    """End that pair, whole or half dead; the record it had, or None where there was nothing to end."""
    home = _absolute(data_dir) or _last()
    record = read_record(home)
    if record is not None:
        stop(record.processes, grace_s=0.0 if home == _unnamed() else GRACE_S)
        remove_record(home)
    if home == _unnamed():
        shutil.rmtree(home, ignore_errors=True)
    return record


def note_last(home: Path) -> None:
    """From now on `status` and `down` without a directory mean the pair in `home`."""
    note = cache_dir() / "last"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(str(home), encoding="utf-8")


def _last() -> Path:
    try:
        home = Path((cache_dir() / "last").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return _unnamed()
    return home if read_record(home) is not None else _unnamed()


def _unnamed() -> Path:
    return cache_dir() / "local"


def _require_nodes(running: Record, nodes: int | None) -> None:
    found = len(running.kafka_pids)
    if nodes not in (None, found):
        sentence = f"A Kafka with {found} node{'s' if found > 1 else ''} runs already, in {running.data_dir}"
        raise LocalServicesError(f"{sentence}: end it with `headrace local down` first.", exit_code=2)


def _absolute(data_dir: Path | None) -> Path | None:
    return None if data_dir is None else data_dir.expanduser().resolve()


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
