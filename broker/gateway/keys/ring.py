"""The keys in force: found by what a request shows, and read again while the gateway runs.

The file is read about once a second, whole: it is small, and its time of change misleads where a mount swaps links or
two writes fall into one tick of a clock. New content counts once two looks in a row have seen it, so that an editor's
half-written file takes no key away; a removed key stops working within three seconds. Content with a mistake
changes nothing: the keys before it stay in force, and `trouble` says why.
"""

import asyncio
import os
import stat
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Final, Never

import structlog

from headrace.broker.gateway.keys.file import FILE_BYTES_MAX, KeyFile, KeyFileError, KnownHash, read_keys
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.keys.key_text import KEY_CHARS_MAX, PREFIX, digest_of, is_whole
from headrace.broker.gateway.keys.refusals import KeyFault, KeyRefusedError

LOOK_EVERY_S: Final = 1.0
_BEARER: Final = "bearer"
_log = structlog.get_logger("keys")


class KeyRing:
    """Keys of one file. `open` it, then let `follow` run as long as the gateway does."""

    def __init__(self, path: Path, *, utc_now: Callable[[], datetime], lanes: Collection[str] | None = None) -> None:
        """Take the path alone; nothing is read yet.

        Args:
            path: The key file.
            utc_now: The wall time, for keys that expire.
            lanes: The lanes that exist; None: any.
        """
        self._path = path
        self._utc_now = utc_now
        self._lanes = lanes
        self._file = KeyFile()
        self._in_force: bytes | None = None
        self._seen: bytes | None = None
        self._refused: tuple[bytes, str] | None = None
        self._trouble: str | None = None

    @property
    def keys(self) -> Collection[ClientKey]:
        """The keys in force, in the file's order."""
        return self._file.keys.values()

    @property
    def trouble(self) -> str | None:
        """Why the file, as it is now, is not in force; None if it is."""
        return self._trouble

    def open(self) -> None:
        """Read the file for the first time.

        Raises:
            KeyFileError: It cannot be read, or has a mistake.
        """
        content, mode = read_file(self._path)
        self._file = read_keys(content, name=str(self._path), lanes=self._lanes)
        self._in_force = self._seen = content
        for caution in cautions_on(self._path, mode):
            _log.warning("key_file_exposed", reason=caution)
        _log.info("keys_read", keys=len(self._file.keys))

    async def follow(self) -> Never:
        """Read the file again about once a second; the loop stays free meanwhile."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Read the file once; take its content if the look before saw the same. Never raises for a file."""
        try:
            content, _ = read_file(self._path)
        except KeyFileError as error:
            self._note(str(error))
            return
        is_stable, self._seen = content == self._seen, content
        if content == self._in_force:
            self._note(None)
        elif self._refused is not None and content == self._refused[0]:
            self._note(self._refused[1])
        elif is_stable:
            try:
                self._take(content)
            except KeyFileError as error:
                self._refused = content, str(error)
                self._note(str(error))

    def find(self, authorization: str | None, api_key: str | None = None) -> ClientKey:
        """Return what a request's key stands for.

        Args:
            authorization: The header `Authorization`, if there is one: `Bearer`, in any case, and the key.
            api_key: The header `api-key`, which clients of Azure send; it counts where the first shows no key.

        Raises:
            KeyRefusedError: There is none, or it is no good. Its text does not repeat the key.
        """
        key = _shown(authorization, api_key)
        if not (key.isascii() and key.isprintable() and " " not in key and len(key) <= KEY_CHARS_MAX):
            raise KeyRefusedError(KeyFault.MALFORMED)
        known: KnownHash | None = self._file.hashes.get(digest_of(key))
        if known is None:
            is_cut = key.startswith(PREFIX) and not is_whole(key)
            raise KeyRefusedError(KeyFault.MALFORMED if is_cut else KeyFault.UNKNOWN)
        if known.not_after is not None and self._utc_now() > known.not_after:
            raise KeyRefusedError(KeyFault.EXPIRED)
        return known.key

    def _take(self, content: bytes) -> None:
        if not content:
            raise KeyFileError(
                [f"The key file {self._path} is empty: to take the last key away, leave the line [keys] in it."]
            )
        before = self._file.keys
        self._file = read_keys(content, name=str(self._path), lanes=self._lanes)
        self._in_force, self._refused = content, None
        self._note(None)
        gone = [name for name in before if name not in self._file.keys]
        _log.info("keys_read", keys=len(self._file.keys), gone=len(gone))

    def _note(self, trouble: str | None) -> None:
        """Log a trouble once, however often a look meets it."""
        if trouble is not None and trouble != self._trouble:
            _log.error("keys_unreadable", reason=trouble, keys=len(self._file.keys))
        self._trouble = trouble


def read_file(path: Path) -> tuple[bytes, int]:
    """Return the content of a key file and its mode.

    Raises:
        KeyFileError: It cannot be read, is too large, or is no file: a pipe could be read only once.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise KeyFileError([f"The key file {path} is not a regular file."])
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(FILE_BYTES_MAX + 1)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its name is no path"
        raise KeyFileError([f"The key file {path} cannot be read: {why}."]) from None
    if len(content) > FILE_BYTES_MAX:
        raise KeyFileError([f"The key file {path} is larger than {FILE_BYTES_MAX // 1024:,} KiB."])
    return content, mode


def cautions_on(path: Path, mode: int) -> list[str]:
    """Return a sentence if other users of the machine may change or read the file."""
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        return [
            f"The key file {path} can be written by other users of this machine, and they could add keys: chmod 600."
        ]
    if mode & stat.S_IROTH:
        return [f"The key file {path} can be read by every user of this machine: chmod 600, or 640 for a group."]
    return []


def _shown(authorization: str | None, api_key: str | None) -> str:
    scheme, _, token = (authorization or "").strip(" \t").partition(" ")
    if scheme.lower() == _BEARER and token.strip(" \t"):
        return token.strip(" \t")
    if api_key is not None and api_key.strip(" \t"):
        return api_key.strip(" \t")
    raise KeyRefusedError(KeyFault.MALFORMED if authorization and scheme.lower() != _BEARER else KeyFault.MISSING)
