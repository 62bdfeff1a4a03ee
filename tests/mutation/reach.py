"""Which tests reach which lines, and how long each test takes: recorded once, and kept while nothing has changed.

What a test file reaches is kept under the contents of that file and of everything that it may run: the product, and
what else stands beside the tests. So a new test costs no new recording of the others.
"""

import hashlib
import pickle
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

CACHE = ".mutation"
_RUN = ("broker", "consumers", "schemas", "tests")
_OWN = frozenset({"mutation"})


@dataclass(slots=True)
class Reach:
    """What a run of one test file has shown.

    Attributes:
        lines: Tests by file and line.
        seconds: Of each test, on the processor.
        failed: Tests that fail without any mutant; they say nothing.
    """

    lines: dict[str, dict[int, frozenset[str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()


class Reaches:
    """Those of all test files of a run."""

    def __init__(self) -> None:
        self._all: list[Reach] = []
        self.seconds: dict[str, float] = {}

    def add(self, reach: Reach) -> None:
        """Take the tests of one more file into account."""
        self._all.append(reach)
        self.seconds.update(reach.seconds)

    def failed(self) -> list[str]:
        """The tests that fail without any mutant."""
        return sorted(test for each in self._all for test in each.failed)

    def tests(self, file: str, lines: Iterable[int]) -> frozenset[str]:
        """Those that reach one of these lines."""
        asked = list(lines)
        found = (each.lines.get(file, {}).get(line, frozenset()) - each.failed for each in self._all for line in asked)
        return frozenset().union(*found)

    def in_order(self, tests: Iterable[str], own: str, seconds_max: float) -> tuple[list[str], bool]:
        """The tests of a module's own first, each group fastest first; those beyond `seconds_max` are left out.

        Returns the tests, and whether any was left out.
        """
        ordered = sorted(tests, key=lambda test: (own not in test, self.seconds.get(test, 0.0), test))
        chosen: list[str] = []
        spent = 0.0
        for test in ordered:
            spent += self.seconds.get(test, 0.0)
            if chosen and spent > seconds_max:
                return chosen, True
            chosen.append(test)
        return chosen, False


class Cache:
    """What was recorded, in files."""

    def __init__(self, root: Path, sources: Iterable[str]) -> None:
        """`sources` are the files of which lines are recorded."""
        self._root = root
        self._folder = root / CACHE / _digest(root, sources)
        self._folder.mkdir(parents=True, exist_ok=True)
        for old in self._folder.parent.iterdir():
            if old != self._folder:
                shutil.rmtree(old, ignore_errors=True)  # another run may write there

    def path(self, tests: str) -> Path:
        """Where the reach of a test file is kept; its name changes with the file's contents."""
        content = hashlib.sha256((self._root / tests).read_bytes()).hexdigest()[:16]
        return self._folder / f"{tests.replace('/', '.')}.{content}"


def load(path: Path) -> Reach:
    """What was recorded."""
    loaded = pickle.loads(path.read_bytes())  # noqa: S301 — written by `save`, below
    assert isinstance(loaded, Reach)
    return loaded


def save(path: Path, reach: Reach) -> None:
    """Keep it: whole, or not at all."""
    beside = path.with_suffix(".part")
    beside.write_bytes(pickle.dumps(reach))
    beside.rename(path)


def of_contexts(found: Mapping[str, Mapping[int, Iterable[str]]]) -> dict[str, dict[int, frozenset[str]]]:
    """Coverage's contexts by line, without those that name no test; equal sets of tests are stored once."""
    sets: dict[frozenset[str], frozenset[str]] = {}
    return {
        file: {
            line: sets.setdefault(tests, tests)
            for line, contexts in lines.items()
            if (tests := frozenset(contexts) - {""})
        }
        for file, lines in found.items()
    }


def _digest(root: Path, sources: Iterable[str]) -> str:
    found = hashlib.sha256("".join(sorted(sources)).encode())
    for folder in _RUN:
        for path in sorted((root / folder).rglob("*.py")):
            if not path.name.startswith("test_") and path.parent.name not in _OWN:
                found.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return found.hexdigest()[:16]
