"""A mutant in a process of its own: what is killed, what survives, what cannot be put in place."""

import ast
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutation.hot import End, fork, wait
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.patch import Patched, functions, patch

SOURCE = """
LIMIT = 5
UNUSED = 5

class Box:
    @property
    def full(self):
        return self.count >= LIMIT

    def put(self, count=1):
        self.count = count
        for _ in range(0):
            self.count = 0

def loop():
    while False:
        pass
"""


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    made = ModuleType("mutated_specimen")
    made.__file__ = str(tmp_path / "mutated_specimen.py")
    exec(compile(SOURCE, made.__file__, "exec"), vars(made))  # noqa: S102 — a module to be mutated
    sys.modules[made.__name__] = made
    return made


def end_of(module: ModuleType, now: str, passes: Callable[[], bool]) -> End:
    """Of a child that runs one test on the mutant."""
    assert module.__file__
    tree, there = ast.parse(SOURCE), functions()
    (mutant,) = (each for each in mutants(tree) if each.name.now == now)

    def work() -> None:
        done = patch(tree, mutant, module.__name__, str(module.__file__), there)
        if done is not Patched.DONE:
            os._exit(End[done.name].value)
        os._exit((End.SURVIVED if passes() else End.FAILED).value)

    return wait(fork(work))  # type: ignore[arg-type] # it does not return


def full_with(module: ModuleType, count: int) -> bool:
    box = module.Box()
    box.put(count)
    return bool(box.full)


@pytest.mark.slow
def test_a_mutant_is_killed_by_a_test_of_its_boundary_and_survives_any_other(module: ModuleType) -> None:
    boundary = "return self.count > LIMIT"
    assert end_of(module, boundary, lambda: full_with(module, 5)) is End.FAILED
    assert end_of(module, boundary, lambda: full_with(module, 6)) is End.SURVIVED
    assert full_with(module, 5), "and the process that forked is as it was"


@pytest.mark.slow
def test_a_constant_is_changed_for_all_that_read_it(module: ModuleType) -> None:
    assert end_of(module, "LIMIT = 6", lambda: full_with(module, 5)) is End.FAILED


@pytest.mark.slow
def test_a_loop_without_an_end_is_a_time_out(module: ModuleType) -> None:
    def within_a_moment() -> bool:
        import signal  # noqa: PLC0415 — in the child

        signal.setitimer(signal.ITIMER_VIRTUAL, 0.05)
        module.loop()
        return True

    assert end_of(module, "while True:", within_a_moment) is End.TIMED_OUT


@pytest.mark.slow
def test_a_child_that_raises_is_no_survivor(module: ModuleType) -> None:
    def fails() -> bool:
        raise KeyError

    assert end_of(module, "for _ in range(1):", fails) is End.FAILED


def test_what_compiles_to_the_same_is_no_mutant() -> None:
    tree = ast.parse("def f():\n    return 1\n")
    (mutant,) = mutants(tree)
    assert isinstance(mutant, Mutant)
    assert patch(tree, mutant, "none", "/nowhere.py", {}) is Patched.SAME
