"""The options that verbs share: one spelling, one help text, one way into the settings."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.broker.settings.load import load_settings
from headrace.broker.settings.whole import Settings

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file (TOML); default: HEADRACE_CONFIG."),
]
BootstrapServers = Annotated[
    str | None,
    typer.Option(
        "--bootstrap-servers", metavar="HOST:PORT,…", help="Kafka's address; default: kafka.bootstrap_servers."
    ),
]
TopicPrefix = Annotated[
    str | None,
    typer.Option(
        "--topic-prefix",
        "--prefix",
        metavar="PREFIX",
        help="Prefix of the budget's topics; default: kafka.topic_prefix.",
    ),
]
TimeoutS = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long to try to connect.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]


def settings_from(config: Path | None, bootstrap_servers: str | None, topic_prefix: str | None) -> Settings:
    """Load the effective settings with these flags over them. Raises SettingsError."""
    return load_settings(config, overriding(bootstrap_servers, topic_prefix))


def overriding(bootstrap_servers: str | None, topic_prefix: str | None) -> dict[str, str | None]:
    """Return the settings that these flags override, by key; None for a flag that was not used."""
    return {"kafka.bootstrap_servers": bootstrap_servers, "kafka.topic_prefix": topic_prefix}
