"""Small changes of a syntax tree: what each operator makes of one expression or statement.

Texts are never changed, nor what is given to a log, an assertion or an exception's message: such mutants survive
everywhere and say nothing.
"""

import ast
from collections.abc import Iterator

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}
_NEVER_SWAPPED = frozenset({"min", "max", "isinstance", "issubclass", "cast", "getattr", "hasattr"})
_PLAIN = (ast.Name, ast.Call, ast.Attribute, ast.Await, ast.NamedExpr)
_LOGS = frozenset({"_log", "_logger", "logger"})
_SAYS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
_METERS = frozenset({"_meter", "_telemetry", "_watcher"})


def variants(node: ast.AST) -> Iterator[ast.expr]:  # noqa: C901, PLR0912 — a table of operators
    """What may stand in the place of an expression."""
    match node:
        case ast.Compare():
            for i, operator in enumerate(node.ops):
                operators = [*node.ops[:i], _COMPARISONS[type(operator)](), *node.ops[i + 1 :]]
                yield ast.Compare(node.left, operators, node.comparators)
        case ast.BoolOp(values=[left, right]):
            yield from (right, left)
        case ast.BoolOp():
            for i in range(len(node.values)):
                yield ast.BoolOp(node.op, [*node.values[:i], *node.values[i + 1 :]])
        case ast.UnaryOp(op=ast.Not()) | ast.UnaryOp(op=ast.USub(), operand=ast.Name() | ast.Attribute() | ast.Call()):
            yield node.operand
        case ast.BinOp() if type(node.op) in _ARITHMETIC:
            yield ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)
        case ast.Constant(value=bool() as truth):
            yield ast.Constant(not truth)
        case ast.Constant(value=int() | float() as number):
            yield ast.Constant(number + 1)
        case ast.IfExp():
            yield from (node.body, node.orelse)
        case ast.Call():
            yield from _calls(node)
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            yield from _unfiltered(node)
        case _:
            pass


def _calls(node: ast.Call) -> Iterator[ast.expr]:
    if isinstance(node.func, ast.Name) and (other := _CALLED.get(node.func.id)):
        yield ast.Call(ast.Name(other, ast.Load()), node.args, node.keywords)
    for i in range(len(node.keywords)):
        if node.keywords[i].arg is not None:
            yield ast.Call(node.func, node.args, [*node.keywords[:i], *node.keywords[i + 1 :]])
    if isinstance(node.func, ast.Name) and node.func.id in _NEVER_SWAPPED:
        return
    for i, (one, other_one) in enumerate(zip(node.args, node.args[1:], strict=False)):
        if isinstance(one, ast.Starred) or isinstance(other_one, ast.Starred) or ast.dump(one) == ast.dump(other_one):
            continue
        if not isinstance(one, ast.Lambda) and not isinstance(other_one, ast.Lambda):
            yield ast.Call(node.func, [*node.args[:i], other_one, one, *node.args[i + 2 :]], node.keywords)


def _unfiltered(node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Iterator[ast.expr]:
    for i, each in enumerate(node.generators):
        if each.ifs:
            rest = ast.comprehension(each.target, each.iter, [], each.is_async)
            generators = [*node.generators[:i], rest, *node.generators[i + 1 :]]
            if isinstance(node, ast.DictComp):
                yield ast.DictComp(node.key, node.value, generators)
            else:
                yield type(node)(node.elt, generators)


def negated(test: ast.expr) -> Iterator[ast.expr]:
    """The opposite of a condition whose parts no other operator changes."""
    if isinstance(test, _PLAIN):
        yield ast.UnaryOp(ast.Not(), test)


def returned(node: ast.Return, *, as_bool: bool) -> Iterator[ast.expr]:
    """What else a function may return."""
    if node.value is None or isinstance(node.value, ast.Constant):
        return
    if as_bool:
        yield from negated(node.value)
    else:
        yield ast.Constant(None)


def is_removable(statement: ast.stmt, known: frozenset[str], *, in_init: bool) -> bool:
    """Whether something runs on without the statement. `known`: the names that have a value before it."""
    match statement:
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Delete() | ast.Raise():
            return not says(statement)
        case ast.Continue() | ast.Break() | ast.Return(value=None):
            return True
        case ast.Assign():
            names = {name for target in statement.targets for name in stored(target)}
            return names <= known and not (in_init and not names)
        case ast.AnnAssign(target=ast.Attribute() | ast.Subscript(), value=ast.expr()):
            return not in_init
        case _:
            return False


def sets_extreme(statement: ast.AST, test: ast.AST) -> bool:
    """Whether it is `if a < b: b = a`, for which `<=` does the same."""
    match statement, test:
        case ast.If(body=[ast.Assign(targets=[target], value=value)]), ast.Compare(left=left, comparators=[right]):
            return {ast.unparse(target), ast.unparse(value)} == {ast.unparse(left), ast.unparse(right)}
        case _:
            return False


def stored(node: ast.AST) -> Iterator[str]:
    """The names that have a value after it."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id


def says(node: ast.AST) -> bool:
    """Whether it only writes a log line or counts."""
    match node:
        case ast.Expr():
            return says(node.value)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=verb)):
            return name in _LOGS and verb in _SAYS
        case ast.Call(func=ast.Attribute(value=ast.Attribute(attr=name))):
            return name in _METERS
        case _:
            return False
