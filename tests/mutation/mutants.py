"""The mutants of one module's source, named by content so that a list of them outlives moved and reformatted code."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.mutation.operators import is_removable, negated, returned, says, sets_extreme, stored, variants

__all__ = ["Mutant", "Name", "mutants"]

MODULE_LEVEL = "<module>"
_UNSEEN = frozenset({"__repr__", "__str__", "snapshot", "held_back"})  # texts, and what `/status` shows
_REMOVED = "(removed)"
_LENGTH_MAX = 160
_CONTEXT = 40


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """What tells a mutant from all others, wherever its function stands.

    Attributes:
        function: Qualified within its module, `Outbox.begin`; `<module>` for a constant.
        was: The statement, or the head of a compound one, on one line.
        now: The same with the change.
    """

    function: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of a tree.

    Attributes:
        lines: Of the statement that is changed, or of a compound one's head; first and last.
    """

    name: Name
    lines: tuple[int, int]
    _owner: Any = field(repr=False)
    _place: tuple[str, int | None] = field(repr=False)
    _new: Any = field(repr=False)

    def swap(self) -> Any:
        """Put the change into its tree; returns what stood there."""
        return _put(self._owner, self._place, self._new)

    def put_back(self, old: Any) -> None:
        """Undo `swap`."""
        _put(self._owner, self._place, old)


def mutants(tree: ast.Module) -> list[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    found = _Finder()
    found.body(tree, "body", "")
    return sorted(found.mutants, key=lambda each: each.lines)


def _put(owner: Any, place: tuple[str, int | None], new: Any) -> Any:
    name, index = place
    if index is None:
        old = getattr(owner, name)
        setattr(owner, name, new)
    else:
        old = getattr(owner, name)[index]
        getattr(owner, name)[index] = new
    return old


class _Finder:
    """Walks a module; knows in which function it is, and which names have a value there."""

    def __init__(self) -> None:
        self.mutants: list[Mutant] = []
        self._function = ""
        self._known: frozenset[str] = frozenset()
        self._as_bool = False
        self._statement: ast.AST = ast.Pass()

    def body(self, owner: Any, name: str, prefix: str) -> None:
        """The statements of one block."""
        for i, statement in enumerate(getattr(owner, name)):
            self._one(owner, (name, i), statement, prefix)

    def _one(self, owner: Any, place: tuple[str, int | None], statement: ast.stmt, prefix: str) -> None:
        match statement:
            case ast.ClassDef():
                self.body(statement, "body", f"{prefix}{statement.name}.")
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._define(statement, prefix)
            case ast.Assign() | ast.AnnAssign() if not self._function and not prefix:
                self._constant(statement)
            case _ if self._function:
                self._inside(owner, place, statement, prefix)
            case _:
                pass

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef, prefix: str) -> None:
        if node.name in _UNSEEN:
            return
        before = self._function, self._known, self._as_bool
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        self._function = f"{prefix}{node.name}"
        self._known = frozenset(each.arg for each in every if each is not None)
        self._as_bool = isinstance(node.returns, ast.Name) and node.returns.id == "bool"
        self.body(node, "body", f"{self._function}.")
        self._function, self._known, self._as_bool = before

    def _constant(self, node: ast.Assign | ast.AnnAssign) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if node.value is not None and len(targets) == 1 and isinstance(targets[0], ast.Name):
            self._function, self._statement = MODULE_LEVEL, node
            self._expressions(node, "value")
            self._function = ""

    def _inside(self, owner: Any, place: tuple[str, int | None], node: ast.stmt, prefix: str) -> None:
        self._statement = node
        if is_removable(node, self._known, in_init=self._function.endswith("__init__")):
            self._add(owner, place, ast.Pass(), is_statement=True)
        if isinstance(node, ast.Assert | ast.Raise) or says(node):
            return
        self._heads(owner, place, node)
        for name, value in ast.iter_fields(node):
            if isinstance(value, ast.expr) and name != "annotation":
                self._expressions(node, name)
            elif isinstance(value, list) and value and isinstance(value[0], ast.expr):
                for i in range(len(value)):
                    self._expressions(node, name, i)
        self._known |= set(stored(node))
        for name in ("body", "orelse", "finalbody"):
            self.body(node, name, prefix) if hasattr(node, name) else None
        for each in getattr(node, "handlers", ()):
            self._handler(each, prefix)
        for each in getattr(node, "cases", ()):
            self._case(each, prefix)

    def _heads(self, owner: Any, place: tuple[str, int | None], node: ast.stmt) -> None:
        """Changes of a whole condition, return, `with` or sum."""
        match node:
            case ast.If() | ast.While():
                for new in negated(node.test):
                    self._add(node, ("test", None), new)
            case ast.Return():
                for new in returned(node, as_bool=self._as_bool):
                    self._add(node, ("value", None), new)
            case ast.With() | ast.AsyncWith() if all(each.optional_vars is None for each in node.items):
                self._add(owner, place, ast.If(ast.Constant(value=True), node.body, []))
            case ast.AugAssign(op=ast.Add()):
                self._add(node, ("op", None), ast.Sub())
            case ast.AugAssign(op=ast.Sub()):
                self._add(node, ("op", None), ast.Add())
            case _:
                pass
        for i, item in enumerate(getattr(node, "items", ())):
            if isinstance(item, ast.withitem):
                self._expressions(node.items[i], "context_expr")  # type: ignore[attr-defined] # has items, see above

    def _handler(self, node: ast.ExceptHandler, prefix: str) -> None:
        self._statement = node
        if not isinstance(node.body[0], ast.Raise):
            self._add(node, ("body", None), [ast.Raise()])
        self._known |= {node.name} if node.name else frozenset()
        self.body(node, "body", prefix)

    def _case(self, node: ast.match_case, prefix: str) -> None:
        self._statement = node
        if node.guard is not None:
            self._add(node, ("guard", None), None)
            self._expressions(node, "guard")
        self._known |= {each.name for each in ast.walk(node.pattern) if isinstance(each, ast.MatchAs) and each.name}
        self.body(node, "body", prefix)

    def _expressions(self, owner: Any, name: str, index: int | None = None) -> None:
        """Every change within one expression."""
        node = getattr(owner, name) if index is None else getattr(owner, name)[index]
        if isinstance(node, ast.JoinedStr) or says(node):
            return
        for new in variants(node) if not sets_extreme(self._statement, node) else ():
            self._add(owner, (name, index), new)
        for inner, value in ast.iter_fields(node):
            if isinstance(value, list):
                for i, each in enumerate(value):
                    self._inner(node, inner, i, each)
            else:
                self._inner(node, inner, None, value)

    def _inner(self, node: ast.AST, name: str, index: int | None, value: object) -> None:
        if isinstance(value, ast.expr):
            self._expressions(node, name, index)
        elif isinstance(value, ast.comprehension):
            self._expressions(value, "iter")
            for i in range(len(value.ifs)):
                self._expressions(value, "ifs", i)
        elif isinstance(value, ast.keyword):
            self._expressions(value, "value")

    def _add(self, owner: Any, place: tuple[str, int | None], new: Any, *, is_statement: bool = False) -> None:
        statement = self._statement
        was = head(statement)
        old = _put(owner, place, new)
        if is_statement:
            now = _REMOVED
        elif isinstance(new, ast.If):
            now = f"{_REMOVED}, its body stays"
        elif isinstance(statement, ast.ExceptHandler):
            now = f"{was} raise"
        else:
            now = head(statement)
        _put(owner, place, old)
        if now != was:
            name = Name(self._function, *(shortened(was, now) if now != _REMOVED else (was, now)))
            self.mutants.append(Mutant(name, _lines(statement), owner, place, new))


def head(node: ast.AST) -> str:  # noqa: PLR0911 — one for each kind of statement
    """A statement on one line; of a compound one what stands before its first block."""
    match node:
        case ast.ExceptHandler():
            return ast.unparse(ast.ExceptHandler(node.type, node.name, [ast.Pass()])).split(":\n")[0].strip() + ":"
        case ast.match_case():
            return ast.unparse(ast.match_case(node.pattern, node.guard, [ast.Pass()])).split(":\n")[0].strip() + ":"
        case ast.If() | ast.While():
            return f"{type(node).__name__.lower()} {ast.unparse(node.test)}:"
        case ast.For() | ast.AsyncFor():
            return f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}:"
        case ast.With() | ast.AsyncWith():
            return f"with {', '.join(map(ast.unparse, node.items))}:"
        case ast.Match():
            return f"match {ast.unparse(node.subject)}:"
        case ast.Try():
            return "try:"
        case _:
            return " ".join(ast.unparse(node).split())


def shortened(was: str, now: str) -> tuple[str, str]:
    """Of a long statement only what is near the change."""
    if len(was) <= _LENGTH_MAX:
        return was, now
    begin = next((i for i, (one, other) in enumerate(zip(was, now, strict=False)) if one != other), 0)
    ends = zip(reversed(was[begin:]), reversed(now[begin:]), strict=False)
    end = next((i for i, (one, other) in enumerate(ends) if one != other), min(len(was), len(now)) - begin)
    first = max(0, begin - _CONTEXT)

    def near(text: str) -> str:
        last = len(text) - end + _CONTEXT
        return f"{'…' if first else ''}{text[first:last]}{'…' if last < len(text) else ''}"

    return near(was), near(now)


def _lines(node: Any) -> tuple[int, int]:
    if isinstance(node, ast.match_case):
        return node.pattern.lineno, node.body[0].lineno - 1
    if isinstance(node, ast.ExceptHandler):
        return node.lineno, node.body[0].lineno
    body: Sequence[ast.stmt] | None = getattr(node, "body", None)
    if isinstance(body, list) and body:
        return node.lineno, max(node.lineno, body[0].lineno - 1)
    return node.lineno, node.end_lineno


def uses(tree: ast.Module, constant: str) -> Iterator[int]:
    """The lines within functions where a module's constant is read."""
    for definition in ast.walk(tree):
        if isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in definition.body:
                for node in ast.walk(statement):
                    if isinstance(node, ast.Name) and node.id == constant and isinstance(node.ctx, ast.Load):
                        yield node.lineno
