"""The verbs of `headrace`, and the modules that implement them.

A table and not imports: `headrace --help` answers before anything heavy is loaded, and `headrace results` runs where
openai, tiktoken and redis are never imported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import typer

from headrace.broker.cli.help_page import WHICH_VERB, GroupPage, VerbPage


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb; `target` is `module:attribute`, which names a function or a Typer app."""

    name: str
    target: str
    summary: str


VERBS = (
    Verb(
        "demo",
        "headrace.broker.cli.demo.verb:demo",
        "Naive workers and Headrace side by side, on a real Kafka and a simulated OpenAI.",
    ),
    Verb("local", "headrace.broker.cli.local:app", "A real Kafka and Valkey on this machine."),
    Verb(
        "config",
        "headrace.broker.cli.config:app",
        "Show the effective settings and their origins, or check them for mistakes.",
    ),
    Verb("topics", "headrace.broker.cli.topics:app", "Create the topics, or report how they differ from the settings."),
    Verb("dispatcher", "headrace.broker.cli.dispatcher:dispatcher", "One dispatcher process: leader or warm standby."),
    Verb(
        "retrier",
        "headrace.broker.cli.retrier:retrier",
        "One retry process: puts parked requests back on their lane when due.",
    ),
    Verb("submit", "headrace.broker.cli.submit:submit", "Submit requests, one JSON object per line."),
    Verb("cancel", "headrace.broker.cli.cancel:cancel", "Cancel requests that are not answered yet."),
    Verb("results", "headrace.broker.cli.results:results", "Show past outcomes, or follow new ones."),
    Verb(
        "dead-letters",
        "headrace.broker.cli.dead_letters.verb:app",
        "Requests that are not tried again: list, show, replay them.",
    ),
    Verb("status", "headrace.broker.cli.status.verb:status", "Show the leader, problems, backlog and remaining quota."),
    Verb("explain", "headrace.broker.cli.explain.verb:explain", "Explain an answer or an error of OpenAI."),
    Verb(
        "simulate",
        "headrace.broker.cli.simulate.verb:simulate",
        "Plan capacity: simulate a workload on a quota, in seconds.",
    ),
    Verb("schemas", "headrace.broker.cli.schemas:app", "Message formats as JSON Schemas and an AsyncAPI document."),
    Verb("upstream", "headrace.broker.cli.upstream:upstream", "Serve a simulated OpenAI over HTTP."),
)


def assemble(app: typer.Typer, verbs: Sequence[Verb], chosen: str | None) -> None:
    """Register `verbs` on `app`: `chosen` loaded, the others as names with their summaries."""
    for verb in verbs:
        if verb.name == chosen:
            _register(app, verb)
        else:
            app.command(verb.name, help=verb.summary)(_not_loaded)


def _register(app: typer.Typer, verb: Verb) -> None:
    module, _, attribute = verb.target.partition(":")
    offered = getattr(import_module(module), attribute)
    if isinstance(offered, typer.Typer):
        for command in offered.registered_commands:
            command.cls = VerbPage
        app.add_typer(offered, name=verb.name, cls=GroupPage, subcommand_metavar=WHICH_VERB)
    else:
        app.command(verb.name, cls=VerbPage)(offered)


def _not_loaded() -> None:
    """Stand in for a verb in the list of verbs; the chosen verb is loaded before anything runs."""
    raise AssertionError("a verb that was not chosen cannot run")
