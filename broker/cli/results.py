"""`headrace results`: outcomes as they come. It joins no group and commits nothing, so it disturbs nobody."""

from typing import Annotated

import typer

from broker.adapters.kafka_connection import KafkaConnection
from broker.cli.moments import moment
from broker.cli.options import BootstrapServers, Config, Json, TimeoutS, TopicPrefix, settings_from
from broker.cli.outcome_line import outcome_line
from broker.cli.patience import closing, hush_kafka, kafka_at, run_verb, within
from broker.cli.terminal import safe, say
from broker.cli.topics_there import absent
from broker.client_ports import Start
from broker.errors import MissingTopic
from consumers.results import ResultReader
from schemas.instants import to_wire
from schemas.outcome import Failed, Outcome
from schemas.unreadable import UNREADABLE, is_unreadable

_FAILED = 1
_FOR_EVER_S = float("inf")


def _start(text: str) -> Start:
    """`earliest`, `latest`, a span before now such as `15m`, or an instant."""
    if text == "earliest":
        return "earliest"
    if text == "latest":
        return "latest"
    return moment(text, also="earliest, latest, ")


def results(  # noqa: PLR0917  # Typer reads them by name
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay, and show outcomes as they come.")] = False,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="WHEN", help="earliest, latest, a span such as 15m, or an instant in ISO 8601."),
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Another topic of outcomes, such as a reply_to.")] = None,
    as_json: Json = False,
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    timeout: TimeoutS = 10,
) -> None:
    """Show the outcomes there are, from the earliest on, or with --follow those to come; exit 1 if one failed.

    Example: headrace results --follow --from 15m --json
    """
    settings = settings_from(config, bootstrap_servers, prefix)
    start = _start(since or ("latest" if follow else "earliest"))
    hush_kafka()

    connection = KafkaConnection.of(settings.kafka)

    async def run() -> bool:
        reader = ResultReader(
            group=None,
            topic_prefix=settings.kafka.topic_prefix,
            connection=connection,
            start=start,
            topic=topic,
            follow=follow,
        )
        async with closing(reader):
            try:
                await within(_FOR_EVER_S if follow else timeout, reader.open, place=kafka_at(connection))
            except MissingTopic as reason:
                raise await absent(reason, topic, settings) from reason
            return await _shown(reader, as_json=as_json)

    if not run_verb(run()):
        raise typer.Exit(_FAILED)


async def _shown(reader: ResultReader, *, as_json: bool) -> bool:
    """Print every outcome; False if one is Failed."""
    all_well, unreadable = True, 0
    async for outcome in reader:
        if as_json:
            say(outcome_line(outcome))
        else:
            say(safe(_as_line(outcome)))
        all_well = all_well and not isinstance(outcome, Failed)
        unreadable += is_unreadable(outcome)
    if skipped := reader.undecodable - unreadable:
        say(f"{skipped} records were no outcomes and were skipped.", err=True)
    return all_well


def _as_line(outcome: Outcome) -> str:
    finished = outcome.timings.finished_at
    when = to_wire(finished) if finished else "-"
    who = f"{outcome.id}#{outcome.run}" if outcome.run else outcome.id
    columns = [when, who, outcome.lane or "-", outcome.tenant or "-", outcome.model or "-"]
    if is_unreadable(outcome):
        return "  ".join([*columns, UNREADABLE, outcome.message])
    if isinstance(outcome, Failed):
        return "  ".join([*columns, f"failed ({outcome.reason})", outcome.message])
    tokens = f"{outcome.usage.total_tokens} tokens" if outcome.usage else "-"
    return "  ".join([*columns, "completed", tokens])
