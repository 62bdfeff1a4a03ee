"""`headrace dead-letters list` and `show`. They join no group and commit nothing, so they disturb no reader."""

import sys
from collections.abc import Iterator
from typing import Annotated, Final

import typer
from rich.text import Text

from headrace.broker.cli.dead_letters.listing import ColumnPrinter, Listing, TerminalTable, object_lines
from headrace.broker.cli.dead_letters.passage import each, reading
from headrace.broker.cli.dead_letters.reasons import known_reasons
from headrace.broker.cli.dead_letters.replaying import replay
from headrace.broker.cli.dead_letters.row import row_of
from headrace.broker.cli.dead_letters.sheet import LABEL_CELLS, as_object, sheet
from headrace.broker.cli.moments import moment
from headrace.broker.cli.options import BootstrapServers, Config, Json, TimeoutS, TopicPrefix, settings_from
from headrace.broker.cli.patience import run_verb
from headrace.broker.cli.screen import screen, show_beside
from headrace.broker.cli.terminal import is_person_watching, say, say_json
from headrace.broker.errors import HeadraceError
from headrace.broker.settings.whole import Settings
from headrace.consumers.dead_letters import DeadLetterReader, Found, Original
from headrace.consumers.replays.filters import LetterFilters
from headrace.schemas.dead_letter import Origin

app = typer.Typer(no_args_is_help=True, help="Requests that are not tried again: list, show, replay them.")
app.command()(replay)

_WHEN: Final = "A span before now such as 15m, or an instant in ISO 8601."


class NoSuchDeadLetter(HeadraceError):  # noqa: N818  # what was found, not what went wrong
    """No dead letter is at that place, or of that id; exit 1."""


@app.command(name="list")
def list_(  # noqa: PLR0917  # Typer reads them by name
    reason: Annotated[
        list[str] | None, typer.Option(metavar="REASON", help="Only with this reason; may be repeated.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="Only for this model; * matches as in a shell.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(metavar="TENANT", help="Only for this tenant.")] = None,
    since: Annotated[str | None, typer.Option(metavar="WHEN", help=f"Failed since then. {_WHEN}")] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help=f"Failed before then. {_WHEN}")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="The newest N; 0: all.")] = 100,
    as_json: Json = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    timeout: TimeoutS = 10,
) -> None:
    """List dead letters, the newest last: time, id, reason, origin; never a prompt, an answer or metadata.

    Example: headrace dead-letters list --reason rejected --model 'gpt-4o*' --since 2h
    """
    settings = settings_from(config, bootstrap_servers, prefix)
    filters = LetterFilters(
        reasons=known_reasons(reason),
        models=tuple(model or ()),
        tenant=tenant,
        since=None if since is None else moment(since),
        until=None if until is None else moment(until),
    )
    for_people = TerminalTable() if is_person_watching() else ColumnPrinter()
    listing = Listing(limit, show=object_lines if as_json else for_people)
    unreadable = run_verb(_listed(settings, filters, listing, timeout_s=timeout))
    if not as_json:
        say(listing.summary(unreadable, f"{settings.kafka.topic_prefix}.dead-letters"), err=True)


async def _listed(settings: Settings, filters: LetterFilters, listing: Listing, *, timeout_s: float) -> int:
    """Show the chosen dead letters; return how many records were not dead letters."""
    streams = listing.limit == 0 and is_person_watching()
    async with reading(settings, since=filters.since, timeout_s=timeout_s) as reader:
        async for found in each(reader, quiet=streams):
            if filters.may_hold(found) and filters.holds(original := found.original()):
                listing.add(row_of(found, original))
        listing.end()
        return reader.unreadable


@app.command()
def show(  # noqa: PLR0917  # Typer reads them by name
    which: Annotated[
        str,
        typer.Argument(
            metavar="ORIGIN|ID",
            help="The request's id, or topic/partition/offset of the dead letter or of its original.",
        ),
    ],
    body: Annotated[
        bool, typer.Option("--body", help="Show the value as well; bytes that are not text as escapes.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write only the value's exact bytes, to a file or a pipe.")
    ] = False,
    as_json: Json = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    timeout: TimeoutS = 10,
) -> None:
    """Show one dead letter with its headers; the newest if the id has several.

    Example: headrace dead-letters show lead-8841-email --raw > request.json
    """
    if raw and is_person_watching():
        raise typer.BadParameter(
            "The exact bytes could disturb a terminal: redirect them to a file or a pipe, or use --body"
        )
    settings = settings_from(config, bootstrap_servers, prefix)
    found, original, older = run_verb(_sought(settings, which, timeout_s=timeout))
    if raw:
        sys.stdout.buffer.write(found.letter.value or b"")
        sys.stdout.buffer.flush()
    elif as_json:
        say_json(as_object(found, original, older, body=body))
    else:
        _show_sheet(sheet(found, original, older, body=body))


def _show_sheet(lines: Iterator[str]) -> None:
    """Print the facts beside their labels, wrapped on a terminal; behind an empty line the value, unchanged."""
    shown_on = screen()
    for line in iter(lambda: next(lines, ""), ""):
        if shown_on.is_terminal:
            show_beside(shown_on, Text(line[:LABEL_CELLS]), line[LABEL_CELLS:])
        else:
            say(line)
    for number, line in enumerate(lines):
        say(line if number else f"\n{line}")


async def _sought(settings: Settings, which: str, *, timeout_s: float) -> tuple[Found, Original, list[Origin]]:
    place = place_of(which)
    async with reading(settings, since=None, timeout_s=timeout_s) as reader:
        if place is not None and place.topic == reader.topic:
            there = await reader.at(place.partition, place.offset)
            if there is not None:
                return there, there.original(), []
            raise NoSuchDeadLetter(f"There is no dead letter at {place}: it has expired, or never existed.")
        return await _newest(reader, which, place)


async def _newest(reader: DeadLetterReader, which: str, place: Origin | None) -> tuple[Found, Original, list[Origin]]:
    """Return the newest dead letter that is meant, and the places of the older ones."""
    newest: tuple[Found, Original] | None = None
    older: list[Origin] = []
    async for found in each(reader, quiet=False):
        original = found.original()
        if which == original.id or (place is not None and place == found.letter.origin):
            if newest is not None:
                older.append(newest[0].place)
            newest = found, original
    if newest is None:
        raise NoSuchDeadLetter(
            f"{reader.topic} has no dead letter of {which}: give a request's id, or topic/partition/offset of the "
            "dead letter or of its original."
        )
    return *newest, older


def place_of(text: str) -> Origin | None:
    """Parse `topic/partition/offset`; None if the text has another form."""
    topic, *numbers = text.rsplit("/", 2)
    if not topic or len(numbers) != 2 or not all(number.isascii() and number.isdecimal() for number in numbers):
        return None
    return Origin(topic, int(numbers[0]), int(numbers[1]))
