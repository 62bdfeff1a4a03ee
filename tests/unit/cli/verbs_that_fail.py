"""Verbs that end in every way a verb can end."""

import asyncio
import os
import signal
from typing import NoReturn

import typer

from headrace.broker.clock import run
from headrace.broker.errors import Unreachable

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


def terminated() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def terminated_waiting() -> None:
    async def wait() -> None:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    run(wait())
