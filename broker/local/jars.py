"""Kafka's jars, by coordinate, checked against a lock.

`jars.lock` has one line for each jar, `group:artifact:version sha256:…`, and no address: the Maven client decides where
a jar comes from, the lock decides what it must be. A jar enters the cache by an atomic rename after its digest was
checked, so any number of processes may fetch at once, and a damaged jar in the cache is fetched again.
"""

import hashlib
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.maven import fetch_jar

Progress = Callable[[int, int], None]
"""Called with (jars fetched, jars to fetch), from one thread, and only where something must be fetched."""
Fetch = Callable[[str, str, str, Path], Path]

_LINE = re.compile(r"([\w.-]+):([\w.-]+):([\w.-]+) sha256:([0-9a-f]{64})")
_FETCHES_MAX = 8
_TRIES_MAX = 3
_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinate(self) -> str:
        """`group:artifact:version`."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def filename(self) -> str:
        """The file name in the cache; the group distinguishes two artifacts of one name."""
        return f"{self.group}.{self.artifact}-{self.version}.jar"


def parse_lock(text: str) -> tuple[Jar, ...]:
    """Parse a lock; blank lines and lines that begin with # are skipped. ValueError names a malformed line."""
    jars = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"jars.lock, line {number}: expected `group:artifact:version sha256:…`")
        jars.append(Jar(*match.groups()))
    return tuple(jars)


def locked_jars() -> tuple[Jar, ...]:
    """Return the jars of the lock that this package ships."""
    return parse_lock(files("headrace.broker.local").joinpath("jars.lock").read_text(encoding="utf-8"))


def ensure_jars(
    jars: Sequence[Jar], directory: Path, *, fetch: Fetch = fetch_jar, progress: Progress | None = None
) -> list[Path]:
    """Return the verified paths of all `jars` in `directory`; missing or damaged ones are fetched, eight at a time.

    Raises:
        LocalServicesError: A jar cannot be fetched, or what was fetched has another digest than the lock.
    """
    directory.mkdir(parents=True, exist_ok=True)
    absent = [jar for jar in jars if _digest(directory / jar.filename) != jar.sha256]
    if absent:
        _fetch_all(absent, directory, fetch, progress or _silent)
    return [directory / jar.filename for jar in jars]


def _silent(_done: int, _total: int) -> None:
    """Report no progress."""


def _fetch_all(jars: Sequence[Jar], directory: Path, fetch: Fetch, progress: Progress) -> None:
    progress(0, len(jars))
    with ThreadPoolExecutor(_FETCHES_MAX, thread_name_prefix="headrace-jars") as pool:
        given_up = threading.Event()
        futures = [pool.submit(_fetch_one, jar, directory, fetch, given_up) for jar in jars]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                progress(done, len(jars))
        except BaseException:
            given_up.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch_one(jar: Jar, directory: Path, fetch: Fetch, given_up: threading.Event) -> None:
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=directory) as workplace:
        fetched = _try_to_fetch(jar, Path(workplace), fetch, given_up)
        if _digest(fetched) != jar.sha256:
            raise LocalServicesError(
                f"The jar {jar.coordinate} does not match the lock file (its sha256 differs): a proxy on the way to "
                "the Maven repository may alter downloads."
            )
        fetched.replace(directory / jar.filename)


def _try_to_fetch(jar: Jar, workplace: Path, fetch: Fetch, given_up: threading.Event) -> Path:
    reason: Exception | None = None
    for attempt in range(_TRIES_MAX):
        into = workplace / str(attempt)
        into.mkdir()
        try:
            return fetch(jar.group, jar.artifact, jar.version, into)
        except (OSError, RuntimeError) as error:
            reason = error
            if attempt + 1 == _TRIES_MAX or given_up.wait(_PAUSE_S):
                break
    raise LocalServicesError(
        f"The jar {jar.coordinate} could not be fetched ({type(reason).__name__}): the first start needs the "
        "network; try again when the Maven repository can be reached."
    ) from reason


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, IsADirectoryError):
        return None


def classpath(jars: Iterable[Path]) -> str:
    """Return the value for java's `-cp`."""
    return os.pathsep.join(str(jar) for jar in jars)
