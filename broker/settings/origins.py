"""The values as they were given, each with the place that gave it, laid over one another.

An error must say which of a file, a variable and a flag is to be mended, and `config show` where a value came from;
so origins travel beside the values until the settings are built.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """One value and its origin: words that fit behind "from", such as "the flag --prefix"."""

    value: Any
    origin: str


Leaves = dict[Path, Given]
"""Path to value. An empty table is a leaf too: `[limits."gpt-4o"]` alone declares a limit."""


def leaves(tree: Mapping[str, Any], origin: str, at: Path = ()) -> Leaves:
    """The leaves of a nested table, below the path `at`."""
    found: Leaves = {}
    for key, value in tree.items():
        path = (*at, str(key))
        if isinstance(value, Mapping) and value:
            found.update(leaves(value, origin, path))
        else:
            found[path] = Given(value, origin)
    return found


def lay_over(lower: Leaves, upper: Leaves) -> None:
    """Lays `upper` over `lower`, key by key; a value replaces a whole table and a table a value."""
    for path, given in upper.items():
        for other in list(lower):
            covered = other[: len(path)] == path and given.value != {}
            covering = path[: len(other)] == other
            if other != path and (covered or covering):
                del lower[other]
        if given.value != {} or not any(other[: len(path)] == path for other in lower):
            lower[path] = given


def tree_of(given: Leaves) -> dict[str, Any]:
    """The nested table of the values alone."""
    tree: dict[str, Any] = {}
    for path, one in given.items():
        table = tree
        for key in path[:-1]:
            table = table.setdefault(key, {})
        table[path[-1]] = one.value
    return tree


def origin_of(path: Path, given: Leaves) -> str | None:
    """Where the value at `path`, or the nearest above or below it, came from; None if nobody gave it."""
    return next(_related(path, given), None)


def _related(path: Path, given: Leaves) -> Iterator[str]:
    for length in range(len(path), 0, -1):
        if path[:length] in given:
            yield given[path[:length]].origin
    for other, one in given.items():
        if other[: len(path)] == path and path:
            yield one.origin


def dotted(path: Path) -> str:
    """The path as one writes it in TOML: parts that hold more than letters, digits, - and _ are quoted."""
    return ".".join(part if part.replace("-", "").replace("_", "").isalnum() else f'"{part}"' for part in path)
