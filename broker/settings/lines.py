"""The line of a TOML file on which each setting stands.

tomllib keeps no positions. But a line of TOML, or a few of them where a value is longer, is a TOML document of its own:
so each statement is given to tomllib alone, and its own parser says which keys it names.
"""

import tomllib
from collections.abc import Iterator
from typing import Any

from headrace.broker.settings.origins import DEFAULTS, Path, leaves

_STATEMENT_LINES_MAX = 200
"""The search for the end of a value stops here, since it costs a parse for each of its lines."""


def lines_of(text: str) -> dict[Path, int]:
    """Map path to line, counted from 1, for every table and value of a TOML document that tomllib has accepted."""
    found: dict[Path, int] = {}
    table: Path = ()
    for number, statement, tree in _statements(text.splitlines()):
        paths = list(leaves(tree, DEFAULTS))
        if statement.lstrip().startswith("["):
            table = paths[0]
            found.setdefault(table, number)
        else:
            found.update({(*table, *path): number for path in paths})
    return found


def line_at(path: Path, lines: dict[Path, int]) -> int | None:
    """Return the line of `path`, or of the table that holds it."""
    return next((lines[path[:length]] for length in range(len(path), 0, -1) if path[:length] in lines), None)


def _statements(lines: list[str]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield each statement with its first line and its content alone."""
    at = 0
    while at < len(lines):
        longest = _STATEMENT_LINES_MAX if "=" in lines[at] else 1  # a longer statement has its = on its first line
        for length in range(1, min(longest, len(lines) - at) + 1):
            statement = "\n".join(lines[at : at + length])
            try:
                tree = tomllib.loads(statement)
            except tomllib.TOMLDecodeError:
                continue
            if tree:
                yield at + 1, statement, tree
            break
        else:
            length = 1
        at += length
