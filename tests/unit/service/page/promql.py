"""Just enough PromQL to evaluate the panels' queries on two scrapes: vectors, rates, aggregates by labels, arithmetic.

`promql_parser` reads the queries; what is not needed for a panel with a figure is an error.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Scrape = Mapping[str, Vector]
"""Values of each metric, by the labels of its series."""

_AGGREGATES: Final[Mapping[str, Callable[[list[float]], float]]] = {"sum": sum, "max": max, "min": min}
_ARITHMETIC: Final[Mapping[str, Callable[[float, float], float]]] = {"*": operator.mul, "/": operator.truediv}


def scraped(job: str, *texts: bytes) -> Scrape:
    """Read what the processes of one job expose."""
    found: dict[str, Vector] = {}
    for number, text in enumerate(texts):
        for family in text_string_to_metric_families(text.decode()):
            for sample in family.samples:
                labels = sample.labels | {"job": job, "instance": str(number)}
                found.setdefault(sample.name, {})[frozenset(labels.items())] = sample.value
    return found


class Evaluation:
    """A query over scrapes: `at(seconds)` is the one of that many seconds ago."""

    def __init__(self, at: Callable[[float], Scrape]) -> None:
        self._at = at

    def of(self, query: str) -> Vector:
        found = self._value(promql_parser.parse(query))
        assert isinstance(found, dict), query
        return found

    def _value(self, node: Any) -> Vector | float:
        match type(node).__name__:
            case "NumberLiteral":
                return float(node.val)
            case "ParenExpr":
                return self._value(node.expr)
            case "VectorSelector":
                return self._selected(node, 0)
            case "AggregateExpr":
                return self._aggregated(node)
            case "BinaryExpr":
                return self._combined(node)
            case "Call":
                return self._risen(node)
        raise AssertionError(f"a query of a panel uses {type(node).__name__}: teach it to this evaluator")

    def _selected(self, node: Any, seconds_ago: float) -> Vector:
        wanted = [(each.name, each.value) for each in node.matchers.matchers]
        series = self._at(seconds_ago).get(node.name, {})
        return {labels: value for labels, value in series.items() if all(each in labels for each in wanted)}

    def _aggregated(self, node: Any) -> Vector:
        by, values = set(node.modifier.labels), dict[Labels, list[float]]()
        vector = self._value(node.expr)
        assert isinstance(vector, dict)
        for labels, value in vector.items():
            values.setdefault(frozenset(each for each in labels if each[0] in by), []).append(value)
        return {labels: _AGGREGATES[str(node.op)](each) for labels, each in values.items()}

    def _combined(self, node: Any) -> Vector:
        left, right, op = self._value(node.lhs), self._value(node.rhs), str(node.op)
        assert isinstance(left, dict)
        if op == ">":
            assert isinstance(right, float)
            return {labels: value for labels, value in left.items() if value > right}
        if isinstance(right, float):
            return {labels: _ARITHMETIC[op](value, right) for labels, value in left.items()}
        return {labels: _ARITHMETIC[op](value, right[labels]) for labels, value in left.items() if labels in right}

    def _risen(self, node: Any) -> Vector:
        (matrix,) = node.args
        seconds = matrix.range.total_seconds()
        now, then = self._selected(matrix.vector_selector, 0), self._selected(matrix.vector_selector, seconds)
        risen = {labels: value - then.get(labels, 0.0) for labels, value in now.items()}
        per = {"increase": 1.0, "rate": seconds}[node.func.name]
        return {labels: value / per for labels, value in risen.items()}
