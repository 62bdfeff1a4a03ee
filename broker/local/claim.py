"""Claim of a data directory: exclusive during a start, and cleared of servers that a dead owner left there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.processes import stop
from headrace.broker.local.record import read_record, remove_record


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Allow one start at a time: two in one directory would take each other's half-started servers for leftovers.

    Raises:
        LocalServicesError: Another process holds the lock file (exit code 2).
    """
    import fcntl  # noqa: PLC0415  there is none on Windows, where require_extra has already said so

    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalServicesError(
                f"Another start is under way in {lock.parent}: wait for it.", exit_code=2
            ) from error
        yield


def end_leftovers(data_dir: Path) -> None:
    """Stop what a dead owner left running in this directory; LocalServicesError if the pair there still serves."""
    record = read_record(data_dir)
    if record is None:
        return
    if record.is_serving:
        sentence = f"A Kafka and a Valkey already run in {data_dir}: use them, or end them with `headrace local down`."
        raise LocalServicesError(sentence, exit_code=2)
    stop(record.processes)
    remove_record(data_dir)
