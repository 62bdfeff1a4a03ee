"""The key file: TOML with a table `[keys.<name>]` for each key, which has the hashes of its texts.

Several hashes under one name are several texts with the same rights, so that a client can be given a new one before the
old one is taken away. Every mistake is found at once, as a sentence that repeats no value.
"""

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

from pydantic import ValidationError

from headrace.broker.errors import SettingsError
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.keys.table import NAME_CHARS_MAX, KeyTable, is_key_name, mistakes_of, unsecret
from headrace.schemas.nearest import ended, listed

FILE_BYTES_MAX: Final = 1024 * 1024
"""What a Secret of Kubernetes may hold: some four thousand keys."""
_MISTAKES_MAX: Final = 20
_DOTS_A_LINE_MAX: Final = 500
"""A hundred models in one line have half of them. tomllib's time grows with the square of the parts of one name."""
_PLACE: Final = re.compile(r"\(at (line \d+, column \d+|end of document)\)")


class KeyFileError(SettingsError):
    """A key file that cannot be used; `sentences` has its mistakes, of many the first twenty."""

    def __init__(self, sentences: Collection[str]) -> None:
        told = list(sentences)
        self.sentences = (*told[:_MISTAKES_MAX], *(["There are more mistakes."] if len(told) > _MISTAKES_MAX else ()))
        super().__init__(" ".join(self.sentences))


class NotTomlError(KeyFileError):
    """A key file that no parser of TOML reads."""


@dataclass(frozen=True, slots=True)
class KnownHash:
    """What one hash of the file is for; `not_after` is the earlier of its own and its key's."""

    key: ClientKey
    not_after: datetime | None


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Keys of one file.

    Attributes:
        keys: By name, in the file's order.
        hashes: By digest. A digest is looked up and never compared with a key, so the time of an answer says nothing
            about the keys that exist: to come near a digest, its key must be known.
    """

    keys: Mapping[str, ClientKey] = field(default_factory=dict)
    hashes: Mapping[bytes, KnownHash] = field(default_factory=dict, repr=False)


def read_keys(content: bytes, *, name: str, lanes: Collection[str] | None = None) -> KeyFile:
    """Read the bytes of a key file.

    Args:
        content: The bytes.
        name: The file's name, for sentences.
        lanes: The lanes that exist; None: not known here.

    Raises:
        KeyFileError: It has mistakes.
    """
    tables = _tables(content, name)
    mistakes: list[str] = []
    read: dict[str, KeyTable] = {}
    for key_name, raw in tables.items():
        at = f"{name}: keys.{unsecret(key_name)}"
        try:
            if not is_key_name(key_name):
                allowed = f"1 to {NAME_CHARS_MAX} letters, digits, dots, underscores and hyphens"
                mistakes.append(f"{at}: the name of a key is {allowed}.")
            read[key_name] = table = KeyTable.model_validate(raw)
            mistakes += [f"{at}{wrong}." for wrong in _unknown_lanes(table, lanes)]
        except ValidationError as error:
            mistakes += [ended(sentence) for sentence in islice(mistakes_of(at, error), _MISTAKES_MAX + 1)]
        if len(mistakes) > _MISTAKES_MAX:
            raise KeyFileError(mistakes)
    hashes: dict[bytes, KnownHash] = {}
    for key_name, table in read.items():
        mistakes += [f"{name}: {wrong}." for wrong in _enter(hashes, table, table.key(key_name))]
    if mistakes:
        raise KeyFileError(mistakes)
    return KeyFile({key_name: table.key(key_name) for key_name, table in read.items()}, hashes)


def _enter(hashes: dict[bytes, KnownHash], table: KeyTable, key: ClientKey) -> list[str]:
    """Add the hashes of one table; return the mistakes."""
    wrong = []
    for entry in table.hashes:
        other = hashes.get(entry.hash)
        if other is not None:
            whose = "twice" if other.key.name == key.name else f"as keys.{unsecret(other.key.name)} does"
            wrong.append(f"keys.{unsecret(key.name)} has a hash {whose}: a key has one name")
            continue
        ends = [at for at in (entry.not_after, table.not_after) if at is not None]
        hashes[entry.hash] = KnownHash(key, min(ends, default=None))
    return wrong


def _unknown_lanes(table: KeyTable, lanes: Collection[str] | None) -> list[str]:
    named = dict.fromkeys([*([table.lane] if table.lane else []), *(table.lanes or [])]) or {table.default_lane(): None}
    if lanes is None:
        return []
    return [f" names the lane {unsecret(lane)}, and there are {listed(lanes)}" for lane in named if lane not in lanes]


def _tables(content: bytes, name: str) -> Mapping[str, Any]:
    """Return the raw tables by key name."""
    if len(content) > FILE_BYTES_MAX:
        raise KeyFileError([f"The key file {name} is larger than {FILE_BYTES_MAX // 1024:,} KiB."])
    if any(line.count(b".") > _DOTS_A_LINE_MAX for line in content.split(b"\n")):
        raise KeyFileError([f"The key file {name} has a line with more than {_DOTS_A_LINE_MAX} dots."])
    try:
        tree = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise KeyFileError([f"The key file {name} is not UTF-8 text."]) from None
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        where = f" at {place[1]}" if place else ""
        raise NotTomlError(
            [f"The key file {name} is not TOML{where}: a key's table is `[keys.NAME]`, and a name stands once."]
        ) from None
    except (RecursionError, ValueError, OverflowError):
        raise KeyFileError([f"The key file {name} is not TOML that can be read."]) from None
    others = [unsecret(other) for other in tree if other != "keys"]
    if others:
        raise KeyFileError(
            [f"The key file {name} has {listed(others)} beside keys: each key's table is `[keys.NAME]`."]
        )
    tables = tree.get("keys", {})
    if not isinstance(tables, dict):
        raise KeyFileError([f"The key file {name} must have a table `[keys.NAME]` for each key."])
    return tables
