"""Puts a mutant into the running process: new code objects for the functions that exist already.

Whatever holds a function (another module, a decorator, a bound method) holds the mutant then.
"""

import ast
import gc
import sys
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

from tests.mutation.mutants import MODULE_LEVEL, Mutant

Functions = Mapping[str, list[FunctionType]]
"""The functions that exist, by the file that defines them."""


class Patched(Enum):
    """What became of a mutant in this process."""

    DONE = auto()
    SAME = auto()  # it compiles to the same instructions
    UNFIT = auto()  # nothing that exists has been made from it: a default value, a decorator, a closure


def functions() -> Functions:
    """Every function of the process."""
    found: dict[str, list[FunctionType]] = {}
    for each in gc.get_objects():
        if isinstance(each, FunctionType):
            found.setdefault(each.__code__.co_filename, []).append(each)
    return found


def patch(tree: ast.Module, mutant: Mutant, module: str, file: str, there: Functions) -> Patched:
    """Change the process for good: only ever called in a child that ends with its tests."""
    mutant.swap()
    if mutant.name.function == MODULE_LEVEL:
        return _rebind(tree, mutant, module, file)
    ast.fix_missing_locations(tree)
    new = {(code.co_qualname, code.co_firstlineno): code for code in _codes(compile(tree, file, "exec"))}
    changed = fit = 0
    for function in there.get(file, ()):
        code = new.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
        if code is None:
            continue
        if _instructions(code) == _instructions(function.__code__):
            continue
        changed += 1
        if code.co_freevars == function.__code__.co_freevars:
            function.__code__ = code
            fit += 1
    if fit:
        return Patched.DONE
    return Patched.UNFIT if changed else Patched.SAME


def _codes(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)


def _instructions(code: CodeType) -> tuple[object, ...]:
    inner = tuple(
        _instructions(each) if isinstance(each, CodeType) else (type(each).__name__, repr(each))
        for each in code.co_consts
    )
    return (code.co_code, inner, code.co_names, code.co_varnames, code.co_freevars, code.co_exceptiontable)


def _rebind(tree: ast.Module, mutant: Mutant, module: str, file: str) -> Patched:
    """A constant of a module has another value, there and wherever it was imported by its name."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and node.lineno == mutant.lines[0]:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            assert isinstance(target, ast.Name)
            names = vars(sys.modules[module])
            expression = ast.fix_missing_locations(ast.Expression(node.value))
            old, new = names[target.id], eval(compile(expression, file, "eval"), names)  # noqa: S307 — our own source
            if old == new and type(old) is type(new):
                return Patched.SAME
            names[target.id] = new
            for other in [*sys.modules.values()]:
                if getattr(other, "__dict__", {}).get(target.id, names) is old and _imports_from(other, module):
                    setattr(other, target.id, new)
            return Patched.DONE
    return Patched.UNFIT


def _imports_from(other: ModuleType, module: str) -> bool:
    file = getattr(other, "__file__", None) or ""
    return file.endswith(".py") and f"from {module} import" in Path(file).read_text()
