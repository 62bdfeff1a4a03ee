"""Strangers' text on a person's terminal: nothing in it may move the cursor, colour the screen or hide itself.

Names of models, ids, keys and headers come from whoever may write to a lane. What a terminal or an eye would take for
something else than a letter is written as the escape that names it (`broker.service.escapes`).

Every verb prints by `say`, `say_json`, `say_coloured` or a `broker.cli.screen`: a test looks for any other way.
"""

import re
import sys
from typing import Any, Final

import typer

from broker.service.escapes import safe, safe_json
from broker.service.presentable import json_text

__all__ = (
    "is_person_watching",
    "json_line",
    "safe",
    "safe_bytes",
    "say",
    "say_coloured",
    "say_json",
    "short",
)

_COLOURS: Final = re.compile(r"(\x1b\[[0-9;]*m)")
"""What `typer.style` writes around a text."""


def say(text: str = "", *, err: bool = False) -> None:
    """Print a text, which may have several lines; every verb prints by this or by `say_json`."""
    typer.echo(safe(text, keep="\n\t"), err=err)


def say_coloured(text: str) -> None:
    """Print a text with colours of ours; whatever else is harmful in it is escaped."""
    parts = _COLOURS.split(text)
    typer.echo("".join(part if number % 2 else safe(part, keep="\n\t") for number, part in enumerate(parts)))


def say_json(value: Any) -> None:
    """Print a value as one line of JSON, whatever stands in it; its texts are the same for a parser."""
    typer.echo(json_line(value))


def json_line(value: Any, *, compact: bool = False) -> str:
    """The same as a text."""
    return safe_json(json_text(value, compact=compact))


def safe_bytes(value: bytes, *, keep: str = "") -> str:
    r"""The same for bytes that may be no text: what is not UTF-8 becomes `\xff`."""
    return safe(value.decode("utf-8", errors="backslashreplace"), keep=keep)


def short(text: str, chars_max: int) -> str:
    """At most so many characters; an ellipsis says that there were more."""
    return text if len(text) <= chars_max else f"{text[: chars_max - 1]}…"


def is_person_watching() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()
