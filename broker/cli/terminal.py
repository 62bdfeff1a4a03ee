"""Safe printing of foreign text: nothing in it may move the cursor, colour the screen or hide itself.

Names of models, ids, keys and headers come from any client that may write to a lane. A character that a terminal or an
eye would take for something other than a letter is written as an escape that names it
(`headrace.broker.service.metrics.escapes`).

Every verb prints by `say`, `say_json`, `say_coloured` or a `headrace.broker.cli.screen`: a test looks for any other
way.
"""

import os
import re
import sys
from typing import Any, Final, TextIO

import typer

from headrace.broker.service.metrics.escapes import safe, safe_json
from headrace.broker.service.status.presentable import json_text

__all__ = (
    "is_person_watching",
    "json_line",
    "safe",
    "safe_bytes",
    "say",
    "say_coloured",
    "say_json",
    "short",
    "wrapped",
)

_COLOURS: Final = re.compile(r"(\x1b\[[0-9;]*m)")
"""The escape sequences that `typer.style` writes around a text."""
_UNBROKEN: Final = re.compile(r"(?:`[^`]*`|\S)+")
"""A word, or several words in backticks: a command that is to be copied whole."""


def say(text: str = "", *, err: bool = False, wrap: bool | None = None) -> None:
    """Print a text, which may have several lines; every verb prints by this or by `say_json`.

    Args:
        text: What to print.
        err: Print to standard error.
        wrap: Whether lines that are wider than the terminal are wrapped at words. None: only those on standard error,
            which are sentences; text on standard output may be there to be copied.
    """
    shown = safe(text, keep="\n\t")
    if (err if wrap is None else wrap) and (columns := _columns_of(sys.stderr if err else sys.stdout)):
        shown = "\n".join(wrapped(line, columns) for line in shown.split("\n"))
    typer.echo(shown, err=err)


def wrapped(line: str, columns: int) -> str:
    """Wrap the line, keeping its indentation; a word or a command in backticks is never broken."""
    if len(line) <= columns:
        return line
    indent = line[: len(line) - len(line.lstrip())]
    lines: list[str] = []
    for word in _UNBROKEN.findall(line):
        if lines and len(lines[-1]) + 1 + len(word) <= columns:
            lines[-1] += f" {word}"
        else:
            lines.append(indent + word)
    return "\n".join(lines)


def _columns_of(stream: TextIO) -> int:
    """Return the width of the terminal behind the stream; 0 where there is none, or it does not say."""
    try:
        return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except OSError:
        return 0


def say_coloured(text: str) -> None:
    """Print a text with Headrace's own colours; every other escape sequence in it is escaped."""
    parts = _COLOURS.split(text)
    typer.echo("".join(part if number % 2 else safe(part, keep="\n\t") for number, part in enumerate(parts)))


def say_json(value: Any) -> None:
    """Print a value as one line of JSON, safe for a terminal; for a parser its texts are unchanged."""
    typer.echo(json_line(value))


def json_line(value: Any, *, compact: bool = False) -> str:
    """Return that line of JSON as a text."""
    return safe_json(json_text(value, compact=compact))


def safe_bytes(value: bytes, *, keep: str = "") -> str:
    r"""Escape bytes that may not be text, as `safe` does; a byte that is not UTF-8 becomes `\xff`."""
    return safe(value.decode("utf-8", errors="backslashreplace"), keep=keep)


def short(text: str, chars_max: int) -> str:
    """Cut the text to this number of characters, with an ellipsis at the end."""
    return text if len(text) <= chars_max else f"{text[: chars_max - 1]}…"


def is_person_watching() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()
