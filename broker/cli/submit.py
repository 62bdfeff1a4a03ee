"""`headrace submit`: JSON lines in, one receipt a line out; or, with `--wait`, one outcome a line."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from broker.adapters.kafka_connection import KafkaConnection
from broker.cli.options import BootstrapServers, Config, TimeoutS, TopicPrefix, settings_from
from broker.cli.outcome_line import outcome_line
from broker.cli.patience import closing, hush_kafka, reach_kafka, run_verb
from broker.cli.request_lines import beside, checked, is_stream, opened, submissions
from broker.cli.screen import screen
from broker.cli.terminal import say, say_json
from broker.cli.topics_there import check_lanes
from broker.client import GenerationClient, Submission, each
from broker.errors import IdConflict, WaitTimedOut
from schemas.instants import to_wire
from schemas.outcome import Failed

_FAILED = 1
_WAITING_MAX = 10_000
"""Requests of one `submit --wait` that are under way at once."""

Advance = Callable[[], None]


def submit(  # noqa: PLR0917  # Typer reads them by name
    source: Annotated[str, typer.Argument(metavar="FILE|-", help="JSON lines, one request each; - is standard input.")],
    lane: Annotated[str, typer.Option(help="The lane of lines that name none.")] = "standard",
    tenant: Annotated[str | None, typer.Option(help="The tenant of lines that name none.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcomes and show them instead.")] = False,
    wait_timeout: Annotated[
        float | None, typer.Option("--wait-timeout", metavar="SECONDS", help="How long to wait for each outcome.")
    ] = None,
    allow_unknown: Annotated[
        bool,
        typer.Option("--allow-unknown", help="Send fields that this release does not know."),
    ] = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    timeout: TimeoutS = 30,
) -> None:
    """Put requests on their lanes; standard output gets one receipt a line, in the order of the requests.

    A file is checked as a whole before its first line is sent, and all its bad lines are told; standard input is
    checked line by line. A line looks like a request in the docs, and may carry a "lane", or is a line of an OpenAI
    Batch (custom_id, method, url, body). Lines of one id must have one tenant, endpoint and body. With --wait outcomes
    come in the order in which they are there, one for each line, and the exit code is 1 if one failed or an id is
    another request's.

    Example: headrace submit leads.jsonl --lane bulk --tenant acme --wait
    """
    settings = settings_from(config, bootstrap_servers, prefix)
    hush_kafka()
    streams = is_stream(source)
    told = None if streams else checked(source, lane=lane, tenant=tenant, allow_unknown=allow_unknown)
    if told is not None:
        run_verb(check_lanes(settings, source, told, given=lane, timeout_s=timeout))

    async def run(lines: Iterable[bytes], advance: Advance) -> bool:
        wanted = submissions(lines, lane=lane, tenant=tenant, source=source, allow_unknown=allow_unknown)
        read = beside(wanted) if streams else each(wanted)
        connection = KafkaConnection.of(settings.kafka)
        await reach_kafka(connection, timeout)
        client = GenerationClient(
            topic_prefix=settings.kafka.topic_prefix,
            connection=connection,
            source="headrace.cli",
            dedupe_window_s=settings.dedupe.window_s,
        )
        async with closing(client):
            if wait:
                return await _wait(client, read, timeout_s=timeout, wait_s=wait_timeout, advance=advance)
            async for receipt in client.submit_many(read, timeout_s=timeout):
                say_json(asdict(receipt) | {"submitted_at": to_wire(receipt.submitted_at)})
                advance()
        return True

    with opened(source) as lines, _progress(None if told is None else told.count) as advance:
        all_well = run_verb(run(lines, advance))
    if not all_well:
        raise typer.Exit(_FAILED)


async def _wait(
    client: GenerationClient,
    read: AsyncIterator[Submission],
    *,
    timeout_s: float,
    wait_s: float | None,
    advance: Advance,
) -> bool:
    """Submit and show each outcome when it is there; False if one failed or did not come in time."""
    room = asyncio.Semaphore(_WAITING_MAX)
    all_well = True

    async def one(prepared: Submission) -> None:
        nonlocal all_well
        try:
            outcome = await client.outcome_of(prepared, timeout_s=wait_s, submit_timeout_s=timeout_s)
        except (IdConflict, WaitTimedOut) as reason:
            say(str(reason), err=True)
            all_well = False
        else:
            say(outcome_line(outcome))
            all_well = all_well and not isinstance(outcome, Failed)
        finally:
            room.release()
        advance()

    async with asyncio.TaskGroup() as waits:
        async for prepared in read:
            await room.acquire()
            waits.create_task(one(prepared), name=f"wait for {prepared.request.id}")
    return all_well


@contextmanager
def _progress(total: int | None) -> Iterator[Advance]:
    """A bar on standard error if a person sees it, and nothing otherwise."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = screen(err=True)
    with Progress(*columns, console=console, disable=not console.is_terminal or sys.stdout.isatty()) as progress:
        task = progress.add_task("requests", total=total)
        yield lambda: progress.advance(task)
