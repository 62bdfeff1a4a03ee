"""The list of mutants that may survive, each with the reason; held against what a run found."""

import json
import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutants import Name

LIST = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True, slots=True)
class Held:
    """A run held against the list.

    Attributes:
        unargued: Survivors that the list does not name, or not often enough.
        killed: Entries whose mutants all fail a test now.
        gone: Entries that are no mutant of any module in scope any more.
    """

    unargued: tuple[Name, ...]
    killed: tuple[Name, ...]
    gone: tuple[Name, ...]


def read(path: Path = LIST) -> dict[Name, int]:
    """How many mutants of each name may survive.

    Raises:
        ValueError: An entry has no reason, or stands there twice.
    """
    entries = tomllib.loads(path.read_text()).get("survivor", []) if path.exists() else []
    allowed: dict[Name, int] = {}
    for entry in entries:
        name = Name(entry["function"], entry["was"], entry["now"])
        if not entry.get("why", "").strip():
            raise ValueError(f"No reason is given for {name}")
        if name in allowed:
            raise ValueError(f"Twice in the list: {name}")
        allowed[name] = entry.get("times", 1)
    return allowed


def hold(allowed: dict[Name, int], every: Iterable[Name], ran: Iterable[Name], survived: Iterable[Name]) -> Held:
    """`every` mutant of the scope, those that `ran` now, and those of them that survived."""
    exist, done, alive = set(every), set(ran), Counter(survived)
    unargued = [name for name, times in sorted(alive.items()) if times > allowed.get(name, 0)]
    killed = [name for name in allowed if name in done and not alive[name]]
    return Held(tuple(unargued), tuple(killed), tuple(name for name in allowed if name not in exist))


def stanza(name: Name, why: str = "") -> str:
    """An entry of the list, to be completed with its reason."""
    fields = (("function", name.function), ("was", name.was), ("now", name.now), ("why", why))
    return "\n".join(["[[survivor]]", *(f"{key} = {_quoted(value)}" for key, value in fields)])


def _quoted(text: str) -> str:
    """A TOML string; literal where it can be, for then it reads like the code."""
    return json.dumps(text) if "'" in text or not text.isprintable() else f"'{text}'"
