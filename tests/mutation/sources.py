"""The product's modules as trees, their mutants, and the tests that are near them."""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutants import MODULE_LEVEL, Mutant, mutants, uses
from tests.mutation.reach import Reaches
from tests.mutation.scope import MODULES

ROOT = Path(__file__).resolve().parents[2]
_UNIT = ("core", "service", "consumers", "schemas", "testing")
TESTS = (*(f"tests/unit/{each}" for each in _UNIT), "tests/property")


@dataclass(frozen=True, slots=True)
class Source:
    """One module and its mutants."""

    module: str
    file: str
    tree: ast.Module
    mutants: list[Mutant]

    def tests(self, mutant: Mutant, reach: Reaches) -> frozenset[str]:
        """Those that reach the statement; of a constant, those that reach a function of its module that reads it."""
        recorded = str(Path(self.file).resolve())  # a running function has the path by which it was imported
        if mutant.name.function == MODULE_LEVEL:
            constant = mutant.name.was.split(":")[0].split("=")[0].strip()
            return reach.tests(recorded, uses(self.tree, constant))
        first, last = mutant.lines
        return reach.tests(recorded, range(first, last + 1))


def path_of(module: str) -> Path:
    """Where a module of the product stands."""
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def source(module: str) -> Source:
    """A module of the product, parsed."""
    path = path_of(module)
    tree = ast.parse(path.read_text())
    return Source(module, str(path), tree, mutants(tree))


def near(modules: Sequence[str]) -> list[str]:
    """The test files that bear a module's name or import it.

    A module of the core must be held by these alone. Of any other, those of the modules that use it count too.
    """
    texts = {path: path.read_text() for folder in TESTS for path in sorted((ROOT / folder).rglob("test_*.py"))}
    found: dict[str, None] = {}
    for module in modules:
        users = [] if module.startswith("headrace.broker.core.") else _users(module)
        nearest = [path for each in (module, *users) for path in _naming(each, texts)]
        found.update(dict.fromkeys(str(path.relative_to(ROOT)) for path in nearest))
    return list(found)


def _naming(module: str, texts: Mapping[Path, str]) -> list[Path]:
    stem, asked = f"test_{module.rpartition('.')[2]}", re.compile(rf"\b{re.escape(module)}\b")
    return [path for path, text in texts.items() if f"{path.stem}_".startswith(f"{stem}_") or asked.search(text)]


def _users(module: str) -> list[str]:
    asked = re.compile(rf"^from {re.escape(module)} import", re.MULTILINE)
    return [each for each in MODULES if asked.search(path_of(each).read_text())]
