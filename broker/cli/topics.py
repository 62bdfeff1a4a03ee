"""`headrace topics`: creates missing topics and reports differences.

Apart from the demo, which has a Kafka of its own, nothing else of Headrace ever creates a topic.
"""

import shlex
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import Cluster, create_missing, look, node_count
from headrace.broker.amounts import counted
from headrace.broker.cli.options import BootstrapServers, Config, Json, TimeoutS, TopicPrefix, settings_from
from headrace.broker.cli.patience import kafka_at, run_verb, within
from headrace.broker.cli.screen import screen, show_beside, show_to_copy
from headrace.broker.cli.terminal import safe, say, say_json
from headrace.broker.service.preflight.findings import Finding, Review
from headrace.broker.service.preflight.topic_check import review, wanted
from headrace.schemas.topics import MIN_INSYNC, REPLICATION, TopicSpec

app = typer.Typer(no_args_is_help=True, help="Create the topics, or report how they differ from the settings.")

_DIFFERENT = 1


@app.command()
def create(
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    timeout: TimeoutS = 10,
    as_json: Json = False,
) -> None:
    """Create the missing topics with the right settings; existing topics stay as they are.

    Example: headrace topics create --bootstrap-servers localhost:9092
    """
    settings = settings_from(config, bootstrap_servers, prefix)
    connection = KafkaConnection.of(settings.kafka)

    async def ask() -> tuple[list[TopicSpec], list[str]]:
        specs = wanted(settings, await node_count(connection))
        return specs, await create_missing(connection, specs)

    specs, created = run_verb(within(timeout, ask, place=kafka_at(connection)))
    _warn_of_few_replicas(specs)
    if as_json:
        say_json({"created": created, "present": [x.name for x in specs if x.name not in created]})
        return
    for name in created:
        say(f"created {name}")
    there = len(specs) - len(created)
    say(f"{counted(len(created), 'topic')} created, {there} {'was' if there == 1 else 'were'} there.", err=True)


@app.command()
def check(
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    timeout: TimeoutS = 10,
    as_json: Json = False,
) -> None:
    """Report every difference between topics and nodes and what the settings need, with the command that fixes it.

    Exit 1 if there is a difference; cautions do not change the exit code. Nothing is changed in Kafka.

    Example: headrace topics check --config headrace.toml
    """
    settings = settings_from(config, bootstrap_servers, prefix)
    connection = KafkaConnection.of(settings.kafka)

    async def ask() -> Cluster:
        return await look(connection, [*(spec.name for spec in wanted(settings, REPLICATION)), *settings.replies.allow])

    create_again = _create_command(config, bootstrap_servers, prefix)
    found = review(settings, run_verb(within(timeout, ask, place=kafka_at(connection))), create=create_again)
    if as_json:
        told = {"differences": [_as_json(one) for one in found.differences]}
        say_json(told | {"cautions": [_as_json(one) for one in found.cautions]})
    else:
        _tell(found)
    if found.differences:
        raise typer.Exit(_DIFFERENT)


def _create_command(config: Path | None, bootstrap_servers: str | None, prefix: str | None) -> str:
    """Return the command that creates the topics that were checked: with the same options."""
    given = {"--config": config, "--bootstrap-servers": bootstrap_servers, "--prefix": prefix}
    options = (word for option, value in given.items() if value is not None for word in (option, str(value)))
    return shlex.join(("headrace", "topics", "create", *options))


def _tell(found: Review) -> None:
    """Print a block for each topic, with a sentence and the command that mends it for each difference."""
    console = screen()
    if found.missing:
        create = (safe(found.missing[0].mend), "cyan")
        show_to_copy(console, Text.assemble(("missing", "bold red"), " topics (create them with ", create, ")"))
        for one in found.missing:
            console.print(Text(f"  {safe(one.subject)}"))
    others = [one for one in found.differences if one not in found.missing]
    for subject, inside in groupby(others, key=lambda one: one.subject):
        console.print(Text(safe(subject), style="bold red"))
        for one in inside:
            show_beside(console, Text("  "), f"{one.said}.")
            show_to_copy(console, Text(safe(f"    {one.mend}"), style="cyan"))
    for one in found.cautions:
        show_beside(console, Text("caution  ", "yellow"), f"{one.headline}.")
        show_to_copy(console, Text(safe(f"    {one.mend}"), style="cyan"))
    sys.stdout.flush()
    count = len(found.differences)
    if count:
        say(f"{count} difference{'s' if count > 1 else ''}; nothing was changed.", err=True)
    else:
        say("All topics are as the settings want them.", err=True)


def _as_json(one: Finding) -> dict[str, Any]:
    return {
        "topic": one.topic,
        "nodes": list(one.nodes),
        "setting": one.setting,
        "is": one.is_now,
        "should_be": one.should_be,
        "sentence": one.sentence,
        "mend": one.mend,
    }


def _warn_of_few_replicas(specs: list[TopicSpec]) -> None:
    fewest = min(spec.replication for spec in specs)
    if fewest < REPLICATION:
        say(
            f"Warning: with {fewest} replica{'s' if fewest > 1 else ''} a lost disk loses requests and outcomes: "
            f"production needs {REPLICATION} nodes (min ISR {MIN_INSYNC}).",
            err=True,
        )
