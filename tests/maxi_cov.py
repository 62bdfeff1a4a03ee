"""Every module of the core is covered whole, branches included, by its own test module; or this fails.

A line that only some other module's tests happen to pass through is not tested, it is merely run. So each module of
`broker/core` is measured by what `test_<module>.py` alone reaches, in the same room of `tests/unit/core`, and its
further files `test_<module>_<what>.py`, in one run that notes whose test is running. Tests with the marker `slow` run,
and count for nothing here: what only they reach is not covered. The idea is websockets'.

Without a module named, this runs all of `tests/unit/core`, so that `.ci/run` runs it here and nowhere else.

    python -m tests.maxi_cov [room.module …]
"""

import importlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "broker" / "core"
TESTS = ROOT / "tests" / "unit" / "core"
IMPORT = "import"


@dataclass(frozen=True, slots=True)
class Measured:
    """One module; `missing` names what its own tests leave out."""

    module: str
    percent: float
    missing: str


class Contexts:
    """Tells coverage whose tests are running, while they are collected too.

    Only when these change: each switch stores what was seen until then, which takes some 5 ms.
    """

    def __init__(self, measuring: coverage.Coverage) -> None:
        self._measuring = measuring
        self._context = IMPORT

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        self._switch(collector.path)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        if item.get_closest_marker("slow") is not None:
            with _untraced():
                return (yield)
        self._switch(item.path)
        return (yield)

    def _switch(self, path: Path) -> None:
        if (context := _context(path)) != self._context:
            self._measuring.switch_context(context)
            self._context = context


@contextmanager
def _untraced() -> Iterator[None]:
    """Run without the trace, under which a test takes twice its time."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


def measure(modules: Sequence[str]) -> list[Measured]:
    """Run the tests of these modules once. Raises SystemExit if one fails, for then the figures say nothing."""
    tests = {module: tests_of(module) for module in modules}
    measuring = coverage.Coverage(branch=True, include=[str(CORE / "*.py"), str(CORE / "*" / "*.py")], data_file=None)
    measuring.start()
    measuring.switch_context(IMPORT)
    for module in modules:  # definitions are everybody's; what they define is not
        importlib.import_module(f"headrace.broker.core.{module}")
    everything = set(modules) == set(every_module())
    there = [str(TESTS)] if everything else [str(path) for paths in tests.values() for path in paths]
    arguments = ["-q", "-p", "no:cacheprovider", "--no-header", "--timeout=60", *there]
    failed = pytest.main(arguments, plugins=[Contexts(measuring)])
    measuring.stop()
    if failed:
        raise SystemExit("A test fails: coverage says nothing.")
    return [_measured(measuring, module, tests[module]) for module in modules]


def every_module() -> list[str]:
    """Of the core, in order of their names, each behind the name of its room."""
    paths = (path.relative_to(CORE).with_suffix("") for path in CORE.rglob("*.py") if path.stem != "__init__")
    return sorted(".".join(path.parts) for path in paths)


def tests_of(module: str) -> list[Path]:
    """A module's own test files: those whose names begin with its name, and with no longer one of another module."""
    room, _, name = module.rpartition(".")
    others = (other.rpartition(".") for other in every_module())
    longer = [f"test_{other}" for where, _, other in others if where == room and other.startswith(f"{name}_")]
    folder = TESTS / room
    found = [folder / f"test_{name}.py", *sorted(folder.glob(f"test_{name}_*.py"))]
    return [path for path in found if path.exists() and not path.stem.startswith(tuple(longer))]


def _context(path: Path) -> str:
    """Name of a test file, by which coverage tells whose lines were run."""
    return "/".join(path.with_suffix("").parts[-2:])


def _measured(measuring: coverage.Coverage, module: str, tests: Sequence[Path]) -> Measured:
    if not tests:
        return Measured(module, 0.0, "it has no test file of its own")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        contexts = [f"^{IMPORT}$", *(f"^{re.escape(_context(path))}$" for path in tests)]
        source = CORE.joinpath(*module.split(".")).with_suffix(".py")
        measuring.json_report([str(source)], outfile=str(report), contexts=contexts)
        (seen,) = json.loads(report.read_text())["files"].values()
    lines = [f"line {line}" for line in seen["missing_lines"]]
    branches = [f"{start}->{'exit' if end < 0 else end}" for start, end in seen["missing_branches"]]
    return Measured(module, seen["summary"]["percent_covered"], ", ".join(lines + branches))


def main(named: Sequence[str]) -> int:
    """Measure the modules named, by default all; print a table; 1 if one is not whole."""
    results = measure(list(named) or every_module())
    for each in results:
        print(f"{each.module:<34} {each.percent:5.1f} %  {each.missing}".rstrip())
    return 1 if any(each.missing for each in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
