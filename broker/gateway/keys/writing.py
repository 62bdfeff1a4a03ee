"""Text of a key's table for the key file, written so that a further hash can be appended.

A table's members stand first and each hash in a table of its own, `[[keys.<name>.hashes]]`, which TOML lets follow at
the end of the file, behind the tables of other keys. So a key is added and rotated by appending alone: what an operator
wrote, comments included, stays as it is.
"""

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from headrace.broker.gateway.keys.file import KeyFile, KeyFileError, read_keys
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.keys.ring import read_file

_BARE: Final = re.compile("[A-Za-z0-9_-]+")
_USUAL: Final = ClientKey(name="", tenant="")
_WRITTEN: Final = (
    "models",
    "inflight_max",
    "requests_per_minute",
    "deadline_s",
    "wait_s",
    "on_disconnect",
    "template",
)
"""Members that are written where they differ from their defaults."""


def table_text(key: ClientKey, hashed: str, not_after: datetime | None, made: datetime) -> str:
    """Return the table of a new key with its first hash."""
    lines = [f"[keys.{_bare(key.name)}]", f"tenant = {_toml(key.tenant)}"]
    lines += [f"{member} = {_toml(value)}" for member, value in _members(key)]
    return "\n".join(lines) + "\n\n" + hash_text(key.name, hashed, not_after, made)


def hash_text(name: str, hashed: str, not_after: datetime | None, made: datetime) -> str:
    """Return the table of one more hash of a key."""
    lines = [f"[[keys.{_bare(name)}.hashes]]  # made {made.astimezone(UTC):%Y-%m-%d}", f"hash = {_toml(hashed)}"]
    if not_after is not None:
        lines.append(f"not_after = {not_after.astimezone(UTC).isoformat().replace('+00:00', 'Z')}")
    return "\n".join(lines) + "\n"


def append(path: Path, text: str) -> KeyFile:
    """Append tables to a key file, or begin it, readable by its owner alone; return its new content.

    Nothing is written unless the file as it would be has no mistake.

    Raises:
        KeyFileError: It cannot be read or written, or would have a mistake.
    """
    before = read_file(path)[0] if path.exists() else b""
    gap = b"" if not before else b"\n" if before.endswith(b"\n") else b"\n\n"
    added = gap + text.encode()
    read = read_keys(before + added, name=str(path))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, added)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KeyFileError([f"The key file {path} cannot be written: {error.strerror}."]) from None
    return read


def _members(key: ClientKey) -> Iterator[tuple[str, Any]]:
    if key.lane != _USUAL.lane:
        yield "lane", key.lane
    if len(key.lanes) > 1:
        yield "lanes", list(key.lanes)
    for member in _WRITTEN:
        value = getattr(key, member)
        if value != getattr(_USUAL, member):
            yield member, list(value) if isinstance(value, tuple) else value


def _toml(value: Any) -> str:
    """Format a value as TOML, which writes text, lists and numbers as JSON does."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _bare(name: str) -> str:
    return name if _BARE.fullmatch(name) else _toml(name)
