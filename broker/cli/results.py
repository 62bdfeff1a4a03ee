"""`headrace results`: past outcomes, or those to come. It joins no consumer group and commits nothing."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

import typer

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.amounts import counted, spoken_id
from headrace.broker.cli.columns import Columns, Line
from headrace.broker.cli.moments import moment
from headrace.broker.cli.options import BootstrapServers, Config, Json, TimeoutS, TopicPrefix, settings_from
from headrace.broker.cli.outcome_line import outcome_line
from headrace.broker.cli.outcome_rows import COLUMNS, line_of, text_of
from headrace.broker.cli.patience import FOR_EVER_S, closing, kafka_at, run_verb, within
from headrace.broker.cli.screen import screen
from headrace.broker.cli.terminal import is_person_watching, safe, say
from headrace.broker.cli.topics_there import no_such_topic
from headrace.broker.client_ports import ClientDoors, Start
from headrace.broker.errors import InvalidRequest, MissingTopic
from headrace.broker.settings.whole import Settings
from headrace.consumers.past_outcomes import PastOutcomes
from headrace.consumers.results import ResultReader
from headrace.schemas.instants import to_wire
from headrace.schemas.outcome import Failed, Outcome, sent_as
from headrace.schemas.unreadable import UNREADABLE, is_unreadable

_FAILED = 1
_WATCHED_LIMIT: Final = 100
"""Number of rows on a terminal, unless --limit says otherwise; a pipe always gets all of them."""
_PAGE_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class Chosen:
    """Filter for the outcomes that are shown; None and an empty set match all."""

    ids: frozenset[str] = frozenset()
    lane: str | None = None
    tenant: str | None = None
    failed: bool = False

    def holds(self, outcome: Outcome) -> bool:
        """Return whether the outcome is to be shown."""
        return (
            (not self.ids or outcome.id in self.ids or sent_as(outcome) in self.ids)
            and (self.lane is None or outcome.lane == self.lane)
            and (self.tenant is None or outcome.tenant == self.tenant)
            and (not self.failed or isinstance(outcome, Failed))
        )


@dataclass(frozen=True, slots=True)
class DisplayOptions:
    """How outcomes are shown: as JSON, as a table on a terminal, or a line each; a `limit` of 0 means all of them."""

    as_json: bool = False
    text: bool = False
    limit: int = 0
    table: Columns | None = None

    def made(self, outcome: Outcome, published_at: datetime | None) -> Line | str:
        """Return what is shown of an outcome, which is less than the whole, so that only that is kept.

        Args:
            outcome: One that was not called does not say when it ended.
            published_at: The time of its record in Kafka; it stands for the end where the outcome states none.
        """
        at = outcome.timings.finished_at or published_at
        if self.as_json:
            return outcome_line(outcome)
        if self.table is None:
            return safe(_as_line(outcome, text=self.text, at=at))
        return line_of(outcome, text=self.text, at=at)

    def show(self, rows: Collection[Line | str]) -> None:
        """Show these rows below the earlier ones."""
        for row in rows:
            if isinstance(row, str):
                say(row)
        if self.table is not None:
            self.table.show(row for row in rows if isinstance(row, Line))


@dataclass(slots=True)
class _Seen:
    """Counts of outcomes: all, those chosen, the unreadable of all; and whether a chosen one failed."""

    total: int = 0
    count: int = 0
    failed: bool = False
    unreadable: int = 0


def _start(text: str) -> Start:
    """Parse `earliest`, `latest`, a span before now such as `15m`, or an instant."""
    if text == "earliest":
        return "earliest"
    if text == "latest":
        return "latest"
    return moment(text, also="earliest, latest, ")


def results(  # noqa: PLR0917  # Typer reads them by name
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep running and show outcomes as they arrive.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="WHEN", help="earliest, latest, a span such as 15m, or an instant in ISO 8601."),
    ] = None,
    ids: Annotated[list[str] | None, typer.Option("--id", metavar="ID", help="Only this id; may be repeated.")] = None,
    lane: Annotated[str | None, typer.Option(metavar="LANE", help="Only on this lane.")] = None,
    tenant: Annotated[str | None, typer.Option(metavar="TENANT", help="Only for this tenant.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only failed outcomes.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Show the model's text as well.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=10**9,
            help="The newest N, or with --follow the next N; 0: all. Default: 100 on a terminal, all in a pipe.",
        ),
    ] = None,
    topic: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Another topic of outcomes, such as a reply topic.")
    ] = None,
    as_json: Json = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    timeout: TimeoutS = 10,
) -> None:
    """Show past outcomes, the newest last, or with --follow new ones as they arrive; exit 1 if one of them failed.

    Example: headrace results --failed --from 2h

    Example: headrace results --follow --from 15m --json
    """
    settings = settings_from(config, bootstrap_servers, prefix)
    start = _start(since or ("latest" if follow else "earliest"))
    chosen = Chosen(frozenset(ids or ()), lane, tenant, failed)
    watched = is_person_watching() and not as_json
    rows = (_WATCHED_LIMIT if watched and not follow else 0) if limit is None else limit
    manner = DisplayOptions(as_json, text, rows, Columns(screen(), COLUMNS) if watched else None)
    connection = KafkaConnection.of(settings.kafka)
    sought = _StartPoint(settings, connection, start, topic)

    async def told() -> bool:
        if follow:
            return await _followed(sought, chosen, manner)
        return await _looked_back(sought, chosen, manner, timeout_s=timeout)

    if not run_verb(told()):
        raise typer.Exit(_FAILED)


@dataclass(frozen=True, slots=True)
class _StartPoint:
    """The topic, and the position to start from."""

    settings: Settings
    connection: KafkaConnection | ClientDoors
    start: Start
    topic: str | None

    def reader(self) -> ResultReader:
        """Return a reader of the outcomes to come."""
        return ResultReader(
            group=None,
            topic_prefix=self.settings.kafka.topic_prefix,
            connection=self.connection,
            start=self.start,
            topic=self.topic,
        )

    def past(self) -> PastOutcomes:
        """Return a reader of the outcomes that the topic already holds."""
        return PastOutcomes(
            topic_prefix=self.settings.kafka.topic_prefix,
            connection=self.connection,
            since=self.start if isinstance(self.start, datetime) else None,
            topic=self.topic,
        )


async def _opened(opening: Callable[[], Awaitable[None]], sought: _StartPoint, timeout_s: float) -> None:
    """Open it as soon as Kafka answers; the error for a missing topic suggests the one that was likely meant."""
    try:
        await within(timeout_s, opening, place=kafka_at(sought.connection))
    except MissingTopic as reason:
        if sought.topic is None:
            raise
        raise InvalidRequest(await no_such_topic(sought.topic, sought.settings)) from reason


async def _followed(sought: _StartPoint, chosen: Chosen, manner: DisplayOptions) -> bool:
    reader = sought.reader()
    async with closing(reader):
        await _opened(reader.open, sought, FOR_EVER_S)
        return await _shown_as_they_come(reader, chosen, manner)


async def _shown_as_they_come(reader: ResultReader, chosen: Chosen, manner: DisplayOptions) -> bool:
    """Show each chosen outcome as it comes, `limit` of them; False if one of them failed."""
    seen = _Seen()
    async for outcome in _chosen(reader, chosen, seen):
        manner.show([manner.made(outcome, reader.published_at)])
        if seen.count == manner.limit:
            break
    _say_skipped(reader.undecodable - seen.unreadable)
    return not seen.failed


async def _looked_back(sought: _StartPoint, chosen: Chosen, manner: DisplayOptions, *, timeout_s: float) -> bool:
    """Show the newest `limit` chosen outcomes, or all; False if a chosen one failed."""
    if sought.start == "latest":
        return True  # nothing has come since now
    past = sought.past()
    seen, kept = _Seen(), deque[Line | str](maxlen=manner.limit or None)
    page_rows = 0 if manner.limit else 1 if manner.table is None else _PAGE_ROWS
    async with closing(past):
        await _opened(past.open, sought, timeout_s)
        async for outcome in _chosen(past, chosen, seen):
            kept.append(manner.made(outcome, past.published_at))
            if len(kept) == page_rows:
                manner.show(kept)
                kept.clear()
    manner.show(kept)
    _say_skipped(past.skipped)
    if manner.table is not None:
        shown = f" Shown: the newest {manner.limit:,}; --limit 0 shows all." if 0 < manner.limit < seen.count else ""
        say(f"{_how_many(chosen, seen)} in {past.topic}.{shown}", err=True)
    return not seen.failed


async def _chosen(outcomes: AsyncIterator[Outcome], chosen: Chosen, seen: _Seen) -> AsyncIterator[Outcome]:
    async for outcome in outcomes:
        seen.total += 1
        seen.unreadable += is_unreadable(outcome)
        if chosen.holds(outcome):
            seen.count += 1
            seen.failed = seen.failed or isinstance(outcome, Failed)
            yield outcome


def _how_many(chosen: Chosen, seen: _Seen) -> str:
    """Return `3 outcomes`, or the chosen number of all."""
    if chosen == Chosen():
        return counted(seen.count, "outcome")
    return f"{seen.count:,} of {counted(seen.total, 'outcome')}"


def _say_skipped(count: int) -> None:
    if count:
        are = "is not an outcome and was" if count == 1 else "are not outcomes and were"
        say(f"{counted(count, 'record')} {are} skipped.", err=True)


def _as_line(outcome: Outcome, *, text: bool = False, at: datetime | None = None) -> str:
    """Return one line for a pipe or a file; `at` is the end."""
    when = to_wire(at) if at else "-"
    name = spoken_id(outcome.id, outcome.run)
    columns = [when, name, outcome.lane or "-", outcome.tenant or "-", outcome.model or "-"]
    if is_unreadable(outcome):
        return "  ".join([*columns, UNREADABLE, outcome.message])
    if isinstance(outcome, Failed):
        return "  ".join([*columns, f"failed ({outcome.reason})", outcome.message])
    tokens = f"{outcome.usage.total_tokens} tokens" if outcome.usage else "-"
    return "  ".join([*columns, "completed", tokens, *([text_of(outcome.response)] if text else [])])
