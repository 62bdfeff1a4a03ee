"""The values as they were given, each with its origin, laid over one another.

An error must say which of a file, a variable and a flag is to be mended, and `config show` where a value came from; so
origins travel beside the values until the settings are built.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Path = tuple[str, ...]

_PLACES_NAMED_MAX = 3


class SourceKind(StrEnum):
    """The kind of place a value came from."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"
    SECRET_FILE = "secret_file"  # noqa: S105  # the kind of place, no secret


@dataclass(frozen=True, slots=True)
class SettingOrigin:
    """One place: a file with its line, the name of a variable or of a flag. As text it fits behind "from"."""

    source: SourceKind
    name: str = ""
    line: int | None = None

    def __str__(self) -> str:
        match self.source:
            case SourceKind.DEFAULT:
                return "the defaults"
            case SourceKind.FILE:
                return f"{self.name}:{self.line}" if self.line else self.name
            case SourceKind.ENVIRONMENT:
                return f"the environment variable {self.name}"
            case SourceKind.FLAG:
                return f"the flag {self.name}"
            case SourceKind.SECRET_FILE:
                return f"the file {self.name}"


DEFAULTS = SettingOrigin(SourceKind.DEFAULT)


@dataclass(frozen=True, slots=True)
class Given:
    """One value and its origin."""

    value: Any = field(repr=False)  # it may be a secret
    origin: SettingOrigin


Leaves = dict[Path, Given]
"""Path to value. An empty table is a leaf too: `[limits."gpt-4o"]` alone declares a limit."""


def leaves(tree: Mapping[str, Any], origin: SettingOrigin, at: Path = ()) -> Leaves:
    """Return the leaves of a nested table, below the path `at`."""
    found: Leaves = {}
    for key, value in tree.items():
        path = (*at, str(key))
        if isinstance(value, Mapping) and value:
            found.update(leaves(value, origin, path))
        else:
            found[path] = Given(value, origin)
    return found


def lay_over(lower: Leaves, upper: Leaves) -> None:
    """Lay `upper` over `lower`, key by key; a value replaces a whole table and a table a value."""
    for path, given in upper.items():
        for other in list(lower):
            covered = other[: len(path)] == path and given.value != {}
            covering = path[: len(other)] == other
            if other != path and (covered or covering):
                del lower[other]
        if given.value != {} or not any(other[: len(path)] == path for other in lower):
            lower[path] = given


def tree_of(given: Leaves) -> dict[str, Any]:
    """Return the nested table of the values alone."""
    tree: dict[str, Any] = {}
    for path, one in given.items():
        table = tree
        for key in path[:-1]:
            table = table.setdefault(key, {})
        table[path[-1]] = one.value
    return tree


def origin_of(path: Path, given: Leaves) -> SettingOrigin | None:
    """Return the origin of the value at `path`, or of the nearest one above or below it; None if there is none."""
    return next(_related(path, given), None)


def origins_of(paths: Iterable[Path], given: Leaves) -> list[SettingOrigin]:
    """Return all origins but the defaults of values at, above or below `paths`, each once, in that order."""
    found = [origin for path in paths for origin in _related(path, given)]
    return [origin for origin in dict.fromkeys(found) if origin.source is not SourceKind.DEFAULT]


def named(origins: Iterable[SettingOrigin | str]) -> str:
    """Return the places as an addition to a sentence, such as ` (from headrace.toml:3)`; empty without any."""
    texts = [str(origin) for origin in origins]
    if len(texts) > _PLACES_NAMED_MAX:
        texts = [*texts[:_PLACES_NAMED_MAX], "elsewhere"]
    joined = " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
    return f" (from {joined})" if joined else ""


def _related(path: Path, given: Leaves) -> Iterator[SettingOrigin]:
    for length in range(len(path), 0, -1):
        if path[:length] in given:
            yield given[path[:length]].origin
    for other, one in given.items():
        if other[: len(path)] == path and path and other != path:
            yield one.origin


def dotted(path: Path) -> str:
    """Write the path as in TOML: parts that hold more than letters, digits, - and _ are quoted."""
    return ".".join(part if part.replace("-", "").replace("_", "").isalnum() else f'"{part}"' for part in path)
