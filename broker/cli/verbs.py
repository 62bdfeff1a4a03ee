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


def _verb(name: str, target: str, summary: str) -> Verb:
    return Verb(name, f"headrace.broker.cli.{target}", summary)


VERBS = (
    _verb("demo", "demo.verb:demo", "Naive workers and Headrace side by side, on a real Kafka and a simulated OpenAI."),
    _verb("local", "local:app", "A real Kafka and Valkey on this machine."),
    _verb("config", "config:app", "Show the effective settings and their origins, or check them for mistakes."),
    _verb("topics", "topics:app", "Create the topics, or report how they differ from the settings."),
    _verb("dispatcher", "dispatcher:dispatcher", "One dispatcher process: leader or warm standby."),
    _verb("retrier", "retrier:retrier", "One retry process: puts parked requests back on their lane when due."),
    _verb("gateway", "gateway.verb:app", "Serve OpenAI's API in front of the lanes; make and check its keys."),
    _verb("submit", "submit:submit", "Submit requests, one JSON object per line."),
    _verb("cancel", "cancel:cancel", "Cancel requests that are not answered yet."),
    _verb("results", "results:results", "Show past outcomes, or follow new ones."),
    _verb("dead-letters", "dead_letters.verb:app", "Requests that are not tried again: list, show, replay them."),
    _verb("status", "status.verb:status", "Show the leader, problems, backlog and remaining quota."),
    _verb("report", "report.verb:report", "Report tokens and cost by lane, model, tenant or template."),
    _verb("explain", "explain.verb:explain", "Explain an answer or an error of OpenAI."),
    _verb("simulate", "simulate.verb:simulate", "Plan capacity: simulate a workload on a quota, in seconds."),
    _verb("schemas", "schemas:app", "Message formats as JSON Schemas and an AsyncAPI document."),
    _verb("upstream", "upstream:upstream", "Serve a simulated OpenAI over HTTP."),
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
