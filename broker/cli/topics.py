"""`headrace topics`: create what is missing, report what differs. Nothing else of Headrace ever creates a topic."""

import asyncio
import json

import typer

from broker.adapters.kafka_connection import KafkaConnection
from broker.adapters.kafka_topics import create_missing, differences, node_count
from broker.cli.options import BootstrapServers, Config, Json, TimeoutS, TopicPrefix, settings_from
from broker.cli.patience import hush_kafka, within
from broker.settings.topics import TopicSettings
from broker.settings.whole import Settings
from schemas.topics import KINDS, MIN_INSYNC, REPLICATION, TopicShape, TopicSpec, topics

app = typer.Typer(no_args_is_help=True, help="Create the topics, or report how they differ from what they should be.")

_DIFFERENT = 1


@app.command()
def create(
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    timeout: TimeoutS = 10,
    as_json: Json = False,
) -> None:
    """Create the topics that are missing, with the right settings; the others stay as they are.

    Example: headrace topics create --bootstrap-servers localhost:9092
    """
    settings = settings_from(config, bootstrap_servers, prefix)
    hush_kafka()
    connection = KafkaConnection.of(settings.kafka)

    async def ask() -> tuple[list[TopicSpec], list[str]]:
        specs = wanted(settings, await node_count(connection))
        return specs, await create_missing(connection, specs)

    specs, created = asyncio.run(within(timeout, ask))
    _warn_of_few_replicas(specs)
    if as_json:
        typer.echo(json.dumps({"created": created, "present": [x.name for x in specs if x.name not in created]}))
        return
    for name in created:
        typer.echo(f"created {name}")
    typer.echo(f"{len(created)} topics created, {len(specs) - len(created)} were there.", err=True)


@app.command()
def check(
    config: Config = None,
    bootstrap_servers: BootstrapServers = None,
    prefix: TopicPrefix = None,
    timeout: TimeoutS = 10,
    as_json: Json = False,
) -> None:
    """Report every topic that is missing or not as it should be; exit 1 if there is any.

    Example: headrace topics check --config headrace.toml
    """
    settings = settings_from(config, bootstrap_servers, prefix)
    hush_kafka()
    connection = KafkaConnection.of(settings.kafka)

    async def ask() -> list[str]:
        return await differences(connection, wanted(settings, await node_count(connection)))

    found = asyncio.run(within(timeout, ask))
    if as_json:
        typer.echo(json.dumps({"differences": found}))
    for sentence in () if as_json else found:
        typer.echo(sentence)
    if found:
        raise typer.Exit(_DIFFERENT)
    if not as_json:
        typer.echo("All topics are as they should be.", err=True)


def wanted(settings: Settings, nodes: int) -> list[TopicSpec]:
    """The topics these settings ask for on a cluster of so many nodes."""
    shapes = {kind: _shape(getattr(settings.topics, kind)) for kind in KINDS}
    return topics(settings.kafka.topic_prefix, settings.lanes, shapes, nodes, dedupe_window_s=settings.dedupe.window_s)


def _shape(topic: TopicSettings) -> TopicShape:
    """What is set; replicas only where the operator said so, since else a small cluster gets fewer."""
    said = topic.model_fields_set
    return TopicShape(
        partitions=topic.partitions,
        retention_s=topic.retention_s,
        max_message_bytes=int(topic.max_message_bytes),
        replication=topic.replication if "replication" in said else None,
        min_insync=topic.min_insync if "min_insync" in said else None,
    )


def _warn_of_few_replicas(specs: list[TopicSpec]) -> None:
    fewest = min(spec.replication for spec in specs)
    if fewest < REPLICATION:
        typer.echo(
            f"Warning: with {fewest} replica{'s' if fewest > 1 else ''} a lost disk loses requests and outcomes: "
            f"production needs {REPLICATION} nodes (min ISR {MIN_INSYNC}).",
            err=True,
        )
