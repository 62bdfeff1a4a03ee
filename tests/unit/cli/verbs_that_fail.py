"""Verbs that end in every way a verb can end."""

from typing import NoReturn

import typer

from broker.errors import Unreachable

several = typer.Typer(no_args_is_help=True, help="Two verbs.")


def quiet() -> None:
    typer.echo("done")


def unreachable() -> NoReturn:
    raise Unreachable("Kafka does not answer\nat localhost:9092")


def surprised() -> NoReturn:
    raise KeyError("x")


def interrupted() -> NoReturn:
    raise KeyboardInterrupt


def differs() -> NoReturn:
    raise typer.Exit(1)


def in_a_group() -> NoReturn:
    raise ExceptionGroup("tasks", [ValueError("a consequence"), Unreachable("Redis does not answer.")])


@several.command()
def first() -> None:
    typer.echo("first")


@several.command()
def second(count: int) -> None:
    typer.echo(str(count))
