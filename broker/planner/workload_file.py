"""A workload as a file, TOML or JSON: a few keys, and a `[[stream]]` table for each kind of request.

    hours = 24
    [[stream]]
    name = "new leads"
    lane = "urgent"
    rate = "300/h"
    deadline = "10 min"

An error is one sentence that names the place and the nearest existing key.
"""

import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from headrace.broker.planner.amounts import clock_ms, per_hour, span, span_ms
from headrace.broker.planner.arrivals import ENDPOINTS
from headrace.broker.planner.workload import HOUR_MS, RequestBatch, Stream, Workload
from headrace.schemas.nearest import meant_or_known
from headrace.schemas.tiers import FIELD, MALFORMED, tier_in

STREAMS_MAX: Final = 100
REQUESTS_MAX: Final = 10_000_000


class WorkloadError(ValueError):
    """A workload that cannot be run; the message is a sentence without a full stop."""


def workload_in(text: str, *, is_json: bool, lanes: Iterable[str]) -> Workload:
    """Parse the workload of a file with streams on these lanes. Raises WorkloadError."""
    try:
        whole = json.loads(text) if is_json else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise WorkloadError(f"the file is not {'JSON' if is_json else 'TOML'} ({error})") from error
    if not isinstance(whole, dict):
        raise WorkloadError("the file is not a table of keys")
    tables = whole.pop("stream", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables) or not tables:
        raise WorkloadError("the file needs at least one [[stream]] table")
    if len(tables) > STREAMS_MAX:
        raise WorkloadError(f"{len(tables)} streams are more than {STREAMS_MAX}: merge some")
    keys = _read(whole, _WHOLE, "the file")
    known = tuple(lanes)
    streams = tuple(_stream(table, number, known) for number, table in enumerate(tables, start=1))
    workload = Workload(streams, **keys)
    expected = workload.expected()
    if expected is not None and expected > REQUESTS_MAX:
        raise WorkloadError(f"about {expected:,.0f} requests are more than {REQUESTS_MAX:,}: plan a shorter time")
    return workload


def lane_among(value: object, lanes: Iterable[str]) -> str:
    """Check a lane's name. Raises ValueError, which names the nearest."""
    known = tuple(lanes)
    if value not in known:
        raise ValueError(f"there is no lane {value!r}{meant_or_known(str(value), known)}")
    return str(value)


@dataclass(frozen=True, slots=True)
class _Key:
    """A key of the file: its name in the code, and the parser of its value."""

    name: str
    read: Callable[[object], Any]


def _stream(table: Mapping[str, object], number: int, lanes: tuple[str, ...]) -> Stream:
    name = table.get("name", f"stream {number}")
    where = f"[[stream]] {name!r}" if "name" in table else f"[[stream]] number {number}"
    found = _read(table, _STREAM | {"lane": _Key("lane", lambda value: lane_among(value, lanes))}, where)
    if "lane" not in found:
        raise WorkloadError(f"{where} has no lane: one of {', '.join(lanes)}")
    batch = {key: found.pop(key) for key in ("count", "at_ms", "within_ms") if key in found}
    if ("per_hour" in found) == ("count" in batch):
        raise WorkloadError(f'{where} needs a rate such as "2/s", or a count of requests that arrive at once')
    if batch and "count" not in batch:
        raise WorkloadError(f"{where}: at and within belong to a count, not to a rate")
    if batch and "rhythm" in found:
        raise WorkloadError(f"{where}: rhythm belongs to a rate, not to a count")
    stream = Stream(**({"name": f"stream {number}"} | found))
    return replace(stream, batch=RequestBatch(**batch)) if batch else stream


def _read(table: Mapping[str, object], known: Mapping[str, _Key], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise WorkloadError(f"{where} has an unknown key {key!r}{meant_or_known(key, known)}")
        try:
            found[known[key].name] = known[key].read(value)
        except ValueError as error:
            raise WorkloadError(f"{where}: {key}: {error}") from error
    return found


def _whole_number(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"{value!r} is not a whole number from {low:,} to {high:,}")
        return value

    return read


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 100:
        raise ValueError(f"{value!r} is not text of 1 to 100 characters")
    return value


def _tier(value: object) -> str:
    named = tier_in({FIELD: value})
    if named in {"", MALFORMED}:
        raise ValueError(f"{value!r} is not the name of a service tier, such as flex")
    return named


def _endpoint(value: object) -> str:
    if value not in ENDPOINTS:
        raise ValueError(f"there is no endpoint {value!r}{meant_or_known(str(value), ENDPOINTS)}")
    return str(value)


def _hours(value: object) -> int:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 24 * 366:
        raise ValueError(f"{value!r} is not a number of hours above 0")
    return round(value * HOUR_MS)


def _rhythm(value: object) -> tuple[float, ...]:
    is_rhythm = (
        isinstance(value, list)
        and len(value) == 24
        and all(isinstance(weight, int | float) and not isinstance(weight, bool) and weight >= 0 for weight in value)
        and sum(value) > 0
    )
    if not is_rhythm:
        raise ValueError("a rhythm is 24 weights, one for each hour from midnight")
    assert isinstance(value, list)
    return tuple(map(float, value))


_WHOLE: Final = {
    "hours": _Key("span_ms", _hours),
    "starts": _Key("starts_ms", clock_ms),
    "seed": _Key("seed", _whole_number(0, 1 << 62)),
}
_STREAM: Final = {
    "name": _Key("name", _text),
    "lane": _Key("lane", str),
    "rate": _Key("per_hour", per_hour),
    "rhythm": _Key("rhythm", _rhythm),
    "count": _Key("count", _whole_number(1, REQUESTS_MAX)),
    "at": _Key("at_ms", clock_ms),
    "within": _Key("within_ms", span_ms),
    "model": _Key("model", _text),
    "endpoint": _Key("endpoint", _endpoint),
    "input_tokens": _Key("input_tokens", span),
    "output_tokens": _Key("output_tokens", span),
    "max_tokens": _Key("max_tokens", _whole_number(1, 10_000_000)),
    "messages": _Key("messages", _whole_number(1, 10_000)),
    "service_tier": _Key("service_tier", _tier),
    "deadline": _Key("deadline_ms", span_ms),
}
