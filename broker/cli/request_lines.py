"""Requests as JSON lines: one object a line, with its own `lane` if it likes, which is read here and not sent."""

import asyncio
import concurrent.futures
import json
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from broker.client import Submission, submission
from broker.errors import InvalidRequest

STDIN = "-"
_READ_AHEAD = 100


@contextmanager
def opened(source: str) -> Iterator[IO[bytes]]:
    """The lines of a file, or of standard input for `-`.

    Raises:
        InvalidRequest: There is no such file, or it cannot be read.
    """
    if source == STDIN:
        # A reader of our own, never closed: a thread that waits in it holds its lock until the process ends.
        yield open(0, "rb", closefd=False)  # noqa: SIM115  # a descriptor has no path
        return
    try:
        lines = Path(source).open("rb")  # noqa: SIM115  # closed below; only opening it is ours to explain
    except OSError as reason:
        raise InvalidRequest(f"{source} cannot be read: {reason.strerror}.") from reason
    with lines:
        yield lines


def submissions(lines: Iterable[bytes], *, lane: str, tenant: str | None, source: str) -> Iterator[Submission]:
    """The request of each line that is not blank; lane and tenant where a line names none.

    Raises:
        InvalidRequest: Names the line and what is wrong with it.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _submission(line, lane, tenant)
        except InvalidRequest as reason:
            where = "standard input" if source == STDIN else source
            raise InvalidRequest(f"Line {number} of {where}: {reason}") from None


async def beside(read: Iterator[Submission]) -> AsyncIterator[Submission]:
    """The same, read in a thread: a pipe that is silent must not hold up what is on its way."""
    loop = asyncio.get_running_loop()
    handed: asyncio.Queue[Submission | Exception | None] = asyncio.Queue(_READ_AHEAD)

    def hand(item: Submission | Exception | None) -> None:
        asyncio.run_coroutine_threadsafe(handed.put(item), loop).result()

    def pump() -> None:
        with suppress(RuntimeError, concurrent.futures.CancelledError):  # the loop has ended: nobody wants more
            try:
                for prepared in read:
                    hand(prepared)
                hand(None)
            except (InvalidRequest, OSError) as reason:
                hand(reason)

    threading.Thread(target=pump, name="read requests", daemon=True).start()
    while (item := await handed.get()) is not None:
        if isinstance(item, Exception):
            raise item
        yield item


def _submission(line: bytes, lane: str, tenant: str | None) -> Submission:
    try:
        fields: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidRequest("It is not JSON.") from None
    if not isinstance(fields, dict):
        raise InvalidRequest("It is not a JSON object.")
    own = fields.pop("lane", None)
    if own is not None and not isinstance(own, str):
        raise InvalidRequest("Its lane is not a text.")
    if tenant is not None and fields.get("tenant") is None:
        fields["tenant"] = tenant
    return submission(fields, lane=own or lane, source="headrace.cli")
