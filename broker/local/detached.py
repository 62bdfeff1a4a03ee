"""The detached pair, which runs on after the command that started it: found and ended through its record.

Where no directory is named, the pair is this user's only one: a note in the cache directory says where it lives, and
its data are deleted when it is ended. Data in a directory that was named stay. As long as one server of a pair runs, a
start deletes nothing: it starts what has ended (`headrace.broker.local.mending`).
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headrace.broker.local.cache import cache_dir
from headrace.broker.local.claim import alone, end_leftovers
from headrace.broker.local.cluster import majority, require_size, size_of_data
from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.free_ports import accepts
from headrace.broker.local.jars import Progress
from headrace.broker.local.known import known, note, unnamed
from headrace.broker.local.mending import mend, running_of
from headrace.broker.local.processes import GRACE_S, Process, running_in, stop
from headrace.broker.local.record import PairRecord, port_of, read_record, remove_record
from headrace.broker.local.services import LocalServices
from headrace.broker.local.valkey import answers_ping


@dataclass(frozen=True, slots=True)
class Stopped:
    """A pair that was ended: its directory, the pids that still ran, and whether its data were thrown away."""

    data_dir: str
    pids: tuple[int, ...]
    thrown_away: bool


def _quiet(_sentence: str) -> None:
    return


def up(
    data_dir: Path | None = None,
    *,
    nodes: int | None = None,
    progress: Progress | None = None,
    told: Callable[[str], None] = _quiet,
) -> PairRecord:
    """Return the running pair: started if none runs, mended if a part of it does; an unnamed one begins empty.

    Without `nodes` Kafka has as many as the data were written by, or one. `told` gets a sentence on everything that was
    mended or thrown away.

    Raises:
        LocalServicesError: One sentence that says why it cannot start; what ran before runs on. Also, with exit code 2,
            if the pair that runs has another number of nodes than was asked for.
    """
    if nodes is not None:
        require_size(nodes)
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    with alone(cache / "up.lock"):
        home = _absolute(data_dir) or last()
        record = _mended(home, nodes, progress, told)
        if record is None:
            home = _absolute(data_dir) or unnamed()
            record = _mended(home, nodes, progress, told) or _begun(home, nodes, progress, told)
        note(home)
        return record


def _mended(home: Path, nodes: int | None, progress: Progress | None, told: Callable[[str], None]) -> PairRecord | None:
    """Return the pair that runs there, with its ended servers started again; None where nothing runs."""
    record, running = read_record(home), running_in(home)
    if record is None and running:
        sentence = f"Servers without a record still run in {home} ({_pids_in_words(running)})"
        raise LocalServicesError(f"{sentence}: end them with `headrace local down` first.", exit_code=2)
    if record is None or not running_of(record):
        return None
    _require_nodes(record, nodes)
    if record.owner_pid is None and len(running_of(record)) < len(record.kafka_pids) + 1:
        record = mend(record, progress=progress, told=told)
    if record.is_serving and not _answers(record):
        sentence = f"Kafka and Valkey run in {home} ({_pids_in_words(running_of(record))}) and do not answer"
        raise LocalServicesError(f"{sentence}: wait, or end them with `headrace local down`.")
    return record if record.is_serving else None


def _begun(home: Path, nodes: int | None, progress: Progress | None, told: Callable[[str], None]) -> PairRecord:
    """Start a pair where none runs; without a named directory its data begin empty."""
    end_leftovers(home)
    if home == unnamed():
        if size_of_data(home) is not None:
            told(
                f"An earlier Kafka and Valkey in {home} had ended: their topics are deleted. Data in a --data DIR stay."
            )
        shutil.rmtree(home, ignore_errors=True)
    others = [str(each) for each in known() if each != home]
    services = LocalServices(home, nodes=nodes or size_of_data(home) or 1, progress=progress)
    services.start()
    if others:
        told(f"Others run in {', '.join(others)}. `headrace local down` stops all of them.")
    return services.detach()


def status(data_dir: Path | None = None) -> PairRecord | None:
    """Return the record of the pair in `data_dir` (without one: of the last pair started) if it serves."""
    record = read_record(_absolute(data_dir) or last())
    return record if record is not None and record.is_serving and _answers(record) else None


def half_dead(data_dir: Path | None = None) -> str | None:
    """Return a sentence on the servers that run of a pair that does not serve; None if none runs."""
    home = _absolute(data_dir) or last()
    running = running_in(home)
    if not running:
        return None
    ended = "the others have ended, or do not answer"
    return (
        f"Only a part of Kafka and Valkey runs in {home} ({_pids_in_words(running)}); {ended}: `headrace local up` "
        "starts the rest."
    )


def others(record: PairRecord) -> list[str]:
    """Return the directories of this user's other pairs that are on record or run."""
    return [str(home) for home in known() if str(home) != record.data_dir]


def down(data_dir: Path | None = None) -> tuple[Stopped, ...]:
    """End the pair there, whole or half dead; without a directory every pair that this user has started."""
    homes = known() if data_dir is None else [data_dir.expanduser().resolve()]
    found = (_ended(home) for home in homes)
    return tuple(each for each in found if each is not None)


def _ended(home: Path) -> Stopped | None:
    """End what runs there, on record or not; None where there is nothing."""
    record, is_unnamed = read_record(home), home == unnamed()
    running = {each.pid: each for each in (*running_in(home), *(running_of(record) if record is not None else ()))}
    stop(running.values(), grace_s=0.0 if is_unnamed else GRACE_S)
    remove_record(home)
    if is_unnamed:
        shutil.rmtree(home, ignore_errors=True)
    return Stopped(str(home), tuple(sorted(running)), is_unnamed) if record is not None or running else None


def last() -> Path:
    """Return the directory of the last pair started that is on record, or the unnamed one."""
    return next((home for home in reversed(known()) if read_record(home) is not None), unnamed())


def _answers(record: PairRecord) -> bool:
    nodes = [accepts(port_of(node)) for node in record.bootstrap_servers.split(",")]
    return majority(len(nodes), sum(nodes)) and answers_ping(port_of(record.redis_url.removesuffix("/0")))


def _pids_in_words(processes: tuple[Process, ...]) -> str:
    return ", ".join(f"pid {process.pid}" for process in processes)


def _require_nodes(running: PairRecord, nodes: int | None) -> None:
    found = len(running.kafka_pids)
    if nodes not in (None, found):
        sentence = f"A Kafka with {found} node{'s' if found > 1 else ''} runs already, in {running.data_dir}"
        raise LocalServicesError(f"{sentence}: end it with `headrace local down` first.", exit_code=2)


def _absolute(data_dir: Path | None) -> Path | None:
    return None if data_dir is None else data_dir.expanduser().resolve()
