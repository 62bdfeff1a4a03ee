"""One pass over the dead letters, with a progress bar on a terminal."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.cli.patience import closing, kafka_at, within
from headrace.broker.cli.screen import screen
from headrace.broker.settings.whole import Settings
from headrace.consumers.dead_letters import DeadLetterReader, Found
from headrace.consumers.replays.pending_letters import CLOCKS_APART

_BAR_FROM: Final = 5_000
_BAR_EVERY: Final = 200


@asynccontextmanager
async def reading(settings: Settings, *, since: datetime | None, timeout_s: float) -> AsyncIterator[DeadLetterReader]:
    """Open a reader of the dead letters, and close it at the end.

    Raises:
        Unreachable: Kafka is not there within `timeout_s`.
    """
    connection = KafkaConnection.of(settings.kafka)
    reader = DeadLetterReader(
        topic_prefix=settings.kafka.topic_prefix,
        connection=connection,
        since=None if since is None else since - CLOCKS_APART,
    )
    async with closing(reader):
        await within(timeout_s, reader.open, place=kafka_at(connection))
        yield reader


async def each(reader: DeadLetterReader, *, quiet: bool) -> AsyncIterator[Found]:
    """Yield every dead letter; with a bar on standard error if that is a terminal and there is much to read."""
    with _bar(reader, quiet=quiet) as bar:
        number = 0
        async for found in reader:
            number += 1
            if number % _BAR_EVERY == 0:
                bar.update(bar.task_ids[0], completed=reader.offsets_done)
            yield found


@contextmanager
def _bar(reader: DeadLetterReader, *, quiet: bool) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = screen(err=True)
    silent = quiet or not console.is_terminal or reader.offsets < _BAR_FROM
    with Progress(*columns, console=console, disable=silent, transient=True) as bar:
        bar.add_task("reading", total=reader.offsets)
        yield bar
