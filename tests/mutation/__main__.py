"""`python -m tests.mutation`: mutate, run, print the score, and hold the survivors against the list."""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tests.mutation.hot import End, Hot, collect, fork, wait
from tests.mutation.mutants import MODULE_LEVEL, Mutant, Name
from tests.mutation.patch import Functions, Patched, patch
from tests.mutation.reach import Cache, Reaches
from tests.mutation.scope import HELD, MODULES
from tests.mutation.sources import ROOT, TESTS, Source, near, path_of, source
from tests.mutation.survivors import hold, read, stanza

_ENDS = {Patched.SAME: End.SAME, Patched.UNFIT: End.UNFIT}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one mutant. `is_cut`: some tests that reach it were not run, for they take too long."""

    module: str
    name: Name
    line: int
    end: End
    tests: int
    is_cut: bool


class Run:
    """One run over some modules."""

    def __init__(self, sources: Sequence[Source], options: argparse.Namespace) -> None:
        self._sources = sources
        self._options = options
        self._again: set[tuple[str, Name]] | None = None
        if options.again:
            old = json.loads(Path(options.again).read_text())["survivors"]
            self._again = {(each["module"], Name(each["function"], each["was"], each["now"])) for each in old}
        self.results: list[Result] = []

    def serve(self, hot: Hot) -> None:
        """Record what the tests reach, then try every mutant."""
        files = list(dict.fromkeys(each.partition("::")[0] for each in hot.items))
        self._say(f"recording which lines {len(files)} test files reach, where that is not known yet …")
        recorded = [str(path_of(module)) for module in MODULES]
        reach = hot.record(files, recorded, Cache(ROOT, recorded))
        for test in reach.failed():
            self._say(f"fails without any mutant, and is left out: {test}")
        for each in self._sources:
            begun, before = time.monotonic(), len(self.results)
            self.results.extend(self._module(hot, reach, each, hot.functions))
            alive = sum(result.end is End.SURVIVED for result in self.results[before:])
            tried = len(self.results) - before
            self._say(f"{each.module}: {tried} mutants, {alive} survive, {time.monotonic() - begun:.0f} s")

    def _module(self, hot: Hot, reach: Reaches, of: Source, there: Functions) -> Iterator[Result]:
        own = f"/test_{of.module.rpartition('.')[2]}"
        if of.file not in there and any(each.name.function != MODULE_LEVEL for each in of.mutants):
            raise SystemExit(f"{of.module}: its functions were not found, so that no mutant of them can be tried")
        for mutant in of.mutants:
            if self._again is not None and (of.module, mutant.name) not in self._again:
                continue
            tests, is_cut = reach.in_order(of.tests(mutant, reach), own, self._options.seconds)

            def work(mutant: Mutant = mutant, tests: Sequence[str] = tests) -> NoReturn:
                patched = patch(of.tree, mutant, of.module, of.file, there)
                if patched is not Patched.DONE:
                    os._exit(_ENDS[patched].value)
                hot.run(tests, reach.seconds)

            end = wait(fork(work))
            if end is End.SURVIVED and self._options.verbose:
                self._say(f"  {mutant.name.function}: {mutant.name.was}  →  {mutant.name.now}  ({len(tests)} tests)")
            yield Result(of.module, mutant.name, mutant.lines[0], end, len(tests), is_cut)

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


def table(results: Sequence[Result]) -> list[str]:
    """The score of each module; a mutant that compiles to the same or cannot be put in place does not count."""
    ends: dict[str, Counter[End]] = {}
    for each in results:
        ends.setdefault(each.module, Counter())[each.end] += 1
    ends["all"] = sum(ends.values(), Counter[End]())
    width = max(map(len, ends))
    lines = [f"{'module':<{width}}  mutants  killed  timed out  survivors   score"]
    for module, found in ends.items():
        count = found.total() - found[End.SAME] - found[End.UNFIT]
        late, alive = found[End.TIMED_OUT], found[End.SURVIVED]
        score = 100 * (count - alive) / count if count else 100.0
        lines.append(
            f"{module:<{width}}  {count:>7}  {count - alive - late:>6}  {late:>9}  {alive:>9}  {score:>5.1f} %"
        )
    return lines


def as_json(results: Sequence[Result]) -> str:
    """All of a run, for `--again` and for whoever compares two."""
    survivors = [
        {
            "module": each.module,
            "line": each.line,
            "function": each.name.function,
            "was": each.name.was,
            "now": each.name.now,
            "tests": each.tests,
            "cut": each.is_cut,
        }
        for each in results
        if each.end is End.SURVIVED
    ]
    ends = {module: Counter(each.end.name.lower() for each in results if each.module == module) for module in MODULES}
    return json.dumps({"ends": {key: value for key, value in ends.items() if value}, "survivors": survivors}, indent=1)


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], metavar="MODULE", help="such as outbox or headrace.broker.core"
    )
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="of tests for each mutant at most (default %(default)s)"
    )
    parser.add_argument(
        "--far", action="store_true", help="all tests that reach a mutant, not just those that are near its module"
    )
    parser.add_argument("--json", metavar="FILE", help="write what was found")
    parser.add_argument("--again", metavar="FILE", help="only what survived when this file was written")
    parser.add_argument("--verbose", action="store_true", help="print survivors as they are found")
    return parser.parse_args(arguments)


def chosen(only: Sequence[str]) -> list[str]:
    """The modules in whose dotted names one of these stands; without any, those whose survivors are all argued away."""
    named = [each for each in MODULES if any(f".{name}." in f".{each}." for name in only)] if only else [*HELD]
    if not named:
        raise SystemExit(f"No module in scope is called {' or '.join(only)}.")
    return named


def main(arguments: Sequence[str]) -> int:
    """0 if every survivor is argued away in the list."""
    asked = options(arguments)
    sources = [source(module) for module in chosen(asked.only)]
    run = Run(sources, asked)
    if collect(TESTS if asked.far else near(chosen(asked.only)), run.serve):
        raise SystemExit("The tests could not be collected.")
    print("\n".join(table(run.results)))
    if asked.json:
        Path(asked.json).write_text(as_json(run.results))
    every = (mutant.name for module in MODULES for mutant in source(module).mutants)
    alive = [each.name for each in run.results if each.end is End.SURVIVED]
    held = hold(read(), every, (each.name for each in run.results), alive)
    for title, names in (
        ("survive, and are not in the list", held.unargued),
        ("in the list, and killed now: take them out", held.killed),
        ("in the list, and no mutant any more: take them out", held.gone),
    ):
        if names:
            print("\n".join([f"\n{len(names)} {title}:", *map(stanza, names)]))
    return 1 if held.unargued else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
