"""`headrace submit`: sends JSON lines; prints a bar and a summary, or one receipt or outcome a line for programs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from headrace.broker.cli.client import connected
from headrace.broker.cli.options import BootstrapServers, Config, Json, TimeoutS, TopicPrefix, settings_from
from headrace.broker.cli.outcome_line import outcome_line
from headrace.broker.cli.patience import run_verb
from headrace.broker.cli.request_lines import beside, checked, is_stream, opened, submissions
from headrace.broker.cli.screen import screen
from headrace.broker.cli.sending import Sending
from headrace.broker.cli.terminal import is_person_watching, safe, say, say_json, short
from headrace.broker.cli.termination import INTERRUPTED
from headrace.broker.cli.topics_there import check_lanes
from headrace.broker.client import GenerationClient, Receipt, Submission, each
from headrace.broker.errors import IdConflict, WaitTimedOut
from headrace.broker.settings.whole import Settings
from headrace.schemas.instants import to_wire
from headrace.schemas.outcome import Failed, Outcome

_FAILED = 1
_WAITING_MAX = 10_000
"""Requests of one `submit --wait` that are under way at once."""
_SILENT_S: Final = 10.0
_FAILURES_SHOWN_MAX: Final = 10
_SENTENCE_CHARS_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """The options of the verb, apart from what is to be sent."""

    wait: bool
    wait_s: float | None
    timeout_s: float
    as_lines: bool


def submit(  # noqa: PLR0917  # Typer reads them by name
    source: Annotated[
        str, typer.Argument(metavar="FILE|-", help="JSON lines, one request each; - reads standard input.")
    ],
    lane: Annotated[str, typer.Option(metavar="LANE", help="Lane of lines that name none.")] = "standard",
    tenant: Annotated[str | None, typer.Option(metavar="TENANT", help="Tenant of lines that name none.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcomes and show them.")] = False,
    wait_timeout: Annotated[
        float | None,
        typer.Option("--wait-timeout", metavar="SECONDS", min=0.1, help="How long to wait for each outcome."),
    ] = None,
    allow_unknown: Annotated[
        bool,
        typer.Option("--allow-unknown", help="Send fields that this release does not know."),
    ] = False,
    as_json: Json = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    timeout: TimeoutS = 30,
) -> None:
    """Put requests on their lanes; a terminal shows the progress, and a summary at the end.

    A file is checked as a whole before its first line is sent, and all invalid lines are reported; standard input is
    checked line by line. A line is a request as in the docs, with an optional "lane", or a line of an OpenAI Batch
    (custom_id, method, url, body). Lines with the same id must have the same tenant, endpoint and body. With --json,
    or into a file or a pipe, each request has a line of JSON: its receipt, in the order of the requests, or with
    --wait its outcome, as it arrives. With --wait the exit code is 1 if a request failed or an id belongs to another
    request. After Ctrl-C a sentence says with which line to continue.

    Example: headrace submit leads.jsonl --lane bulk --tenant acme --wait
    """
    settings = settings_from(config, bootstrap_servers, prefix)
    streams = is_stream(source)
    with _nothing_is_sent(source):
        told = None if streams else checked(source, lane=lane, tenant=tenant, allow_unknown=allow_unknown)
    sending = Sending(source, None if told is None else told.count)
    manner = SubmitOptions(wait, wait_timeout, timeout, as_lines=as_json or not is_person_watching())
    with opened(source) as lines, _bar(sending, manner) as bar:
        wanted = submissions(sending.lines(lines), lane=lane, tenant=tenant, source=source, allow_unknown=allow_unknown)
        prepared = sending.read(wanted)
        read = beside(prepared) if streams else each(prepared)
        try:
            if told is not None:
                run_verb(check_lanes(settings, source, told, given=lane, timeout_s=timeout))
            run_verb(_connected(settings, read, Showing(sending, bar, manner)))
        except KeyboardInterrupt:
            bar.stop()
            say(f"Interrupted: {sending.how_to_go_on(waited=wait)}", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except Exception:
            bar.stop()
            if sending.has_begun:
                say(f"Stopped: {sending.how_to_go_on(waited=wait)}", err=True)
            raise
    if not manner.as_lines:
        say("\n".join(sending.ended() if wait else [sending.sent()]), wrap=True)
    if not sending.is_all_well:
        raise typer.Exit(_FAILED)


@contextmanager
def _nothing_is_sent(source: str) -> Iterator[None]:
    """At Ctrl-C while a file is checked, report that nothing was sent; checking a large file takes seconds."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"Interrupted while {source} was checked: nothing was sent.", err=True)
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _bar(sending: Sending, manner: SubmitOptions) -> Iterator[Progress]:
    """Show a bar on standard error if that is a terminal; elsewhere show nothing."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = screen(err=True)
    mixed = manner.as_lines and is_person_watching()  # lines on the same terminal would tear the bar apart
    with Progress(*columns, console=console, disable=not console.is_terminal or mixed, transient=True) as bar:
        bar.add_task("answered" if manner.wait else "sent", total=sending.total)
        yield bar


class Showing:
    """Output for each receipt or outcome: a line of JSON, or a step of the bar and a line for each failure."""

    def __init__(self, sending: Sending, bar: Progress, manner: SubmitOptions) -> None:
        self.sending = sending
        self.manner = manner
        self._bar = bar
        self._failures = 0

    def receipt(self, receipt: Receipt) -> None:
        """Show that one more request is sent."""
        if self.manner.as_lines:
            say_json(asdict(receipt) | {"submitted_at": to_wire(receipt.submitted_at)})
        self._bar.advance(self._bar.task_ids[0])

    def outcome(self, outcome: Outcome) -> None:
        """Show that one more request has ended."""
        if self.manner.as_lines:
            say(outcome_line(outcome))
        elif isinstance(outcome, Failed):
            self._failures += 1
            if self._failures <= _FAILURES_SHOWN_MAX:
                sentence = short(f"{outcome.id} failed, {outcome.reason}: {outcome.message}", _SENTENCE_CHARS_MAX)
                self._console.print(Text(safe(sentence), "red"))
            elif self._failures == _FAILURES_SHOWN_MAX + 1:
                self._console.print(Text("Further failures are only counted, at the end.", "red"))
        self._bar.advance(self._bar.task_ids[0])

    def silence(self, sentence: str) -> None:
        """Show that a request has no outcome in time, or that there is none yet."""
        self._console.print(Text(safe(sentence)), soft_wrap=True)

    @property
    def _console(self) -> Console:
        return self._bar.console


async def _connected(settings: Settings, read: AsyncIterator[Submission], showing: Showing) -> None:
    async with connected(settings, showing.manner.timeout_s) as client:
        await send(client, read, showing)


async def send(client: GenerationClient, read: AsyncIterator[Submission], showing: Showing) -> None:
    """Send all requests, and wait for the outcome of each where that is asked for; raises as the client does."""
    if showing.manner.wait:
        with _impatient(showing):
            await _waited(client, read, showing)
        return
    async for receipt in client.submit_many(read, timeout_s=showing.manner.timeout_s):
        showing.sending.note_sent(receipt)
        showing.receipt(receipt)


async def _waited(client: GenerationClient, read: AsyncIterator[Submission], showing: Showing) -> None:
    """Submit the requests, and show each outcome as it comes."""
    room, manner, sending = asyncio.Semaphore(_WAITING_MAX), showing.manner, showing.sending

    async def one(prepared: Submission) -> None:
        request_id = prepared.request.id
        try:
            outcome = await client.outcome_of(prepared, timeout_s=manner.wait_s, submit_timeout_s=manner.timeout_s)
        except WaitTimedOut as reason:
            sending.note_ended(request_id, None)
            showing.silence(str(reason))
        except IdConflict as reason:
            sending.note_conflict(request_id)
            showing.silence(str(reason))
        else:
            sending.note_ended(request_id, outcome)
            showing.outcome(outcome)
        finally:
            room.release()

    async with asyncio.TaskGroup() as waits:
        async for prepared in read:
            await room.acquire()
            sending.note_begun(prepared.request.id)
            waits.create_task(one(prepared), name=f"wait for {prepared.request.id}")


@contextmanager
def _impatient(showing: Showing) -> Iterator[None]:
    """Report once that there is no outcome yet, and where to look for the reason."""

    def tell() -> None:
        if not showing.sending.has_outcomes:
            showing.silence(f"No outcome yet after {_SILENT_S:g} s: `headrace status` says what they wait for.")

    waiting = asyncio.get_running_loop().call_later(_SILENT_S, tell)
    try:
        yield
    finally:
        waiting.cancel()
