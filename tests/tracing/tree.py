"""Spans that a collector has received, and one trace of them as a tree of text."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KINDS = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
_ERROR = 2
_A_LINE = 2
"""Attributes in one line."""


@dataclass(frozen=True, slots=True)
class Received:
    """One span as OTLP's JSON has it."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    failed: bool
    service: str
    instance: str
    schema_url: str


def received(path: Path) -> list[Received]:
    """Every span in the collector's file so far."""
    found: list[Received] = []
    for line in path.read_text().splitlines() if path.exists() else ():
        for batch in json.loads(line)["resourceSpans"]:
            resource = _attributes(batch["resource"]["attributes"])
            for scope in batch["scopeSpans"]:
                found += [_span(each, resource, scope.get("schemaUrl", "")) for each in scope["spans"]]
    return found


def _span(given: dict[str, Any], resource: dict[str, Any], schema_url: str) -> Received:
    return Received(
        trace_id=given["traceId"],
        span_id=given["spanId"],
        parent_id=given.get("parentSpanId", ""),
        name=given["name"],
        kind=_KINDS[given["kind"]],
        start_ns=int(given["startTimeUnixNano"]),
        end_ns=int(given["endTimeUnixNano"]),
        attributes=_attributes(given.get("attributes", [])),
        failed=given.get("status", {}).get("code") == _ERROR,
        service=resource["service.name"],
        instance=str(resource.get("service.instance.id", "")).rpartition(":")[2],
        schema_url=schema_url,
    )


def _attributes(listed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {each["key"]: _value(each["value"]) for each in listed}


def _value(given: dict[str, Any]) -> Any:
    if "arrayValue" in given:
        return [_value(each) for each in given["arrayValue"].get("values", [])]
    if "intValue" in given:
        return int(given["intValue"])
    return next(iter(given.values()), None)


def roots(spans: Sequence[Received]) -> list[Received]:
    """The spans whose parent was not received."""
    known = {each.span_id for each in spans}
    return [each for each in spans if each.parent_id not in known]


def tree(spans: Sequence[Received], shown: Sequence[str] = ()) -> str:
    """One trace as text: times in seconds since its first span began; of the attributes those that `shown` names."""
    began_ns = min(each.start_ns for each in spans)
    first = sorted(roots(spans), key=lambda each: each.start_ns)
    return "\n".join(line for root in first for line in _lines(root, spans, began_ns, shown, 0))


def _lines(span: Received, spans: Sequence[Received], began_ns: int, shown: Sequence[str], depth: int) -> Iterator[str]:
    start, end = ((at - began_ns) / 1e9 for at in (span.start_ns, span.end_ns))
    where = f"{span.service} {span.instance}".strip()
    mark = "  FAILED" if span.failed else ""
    yield f"{start:8.3f} {end:8.3f}  {'  ' * depth}{span.name}  [{span.kind}, {where}]{mark}"
    told = [f"{name}={span.attributes[name]}" for name in shown if name in span.attributes]
    for number in range(0, len(told), _A_LINE):
        yield f"{'':19}{'  ' * depth}  {'  '.join(told[number : number + _A_LINE])}"
    for child in sorted((each for each in spans if each.parent_id == span.span_id), key=lambda each: each.start_ns):
        yield from _lines(child, spans, began_ns, shown, depth + 1)
