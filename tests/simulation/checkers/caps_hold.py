"""No tenant is called for more tokens within any minute than its cap allows, nor has more calls in flight.

Process by process, for a successor does not know of its predecessor's last minute. A request above the cap goes when
nothing else was called within the minute.
"""

from collections.abc import Iterator

from tests.simulation.history import CallMade, History

MINUTE_MS = 60_000


def check(history: History) -> Iterator[str]:
    """Every call beyond a cap."""
    made: dict[tuple[str, str], list[CallMade]] = {}
    for call in history.calls:
        rule = history.tenants.get(call.tenant)
        if rule is None or not rule.capped:
            continue
        before = made.setdefault((call.writer, call.tenant), [])
        before.append(call)
        who = f"{call.writer} calls {call.source} of {call.tenant} at {call.at_ms}"
        taken = sum(each.charge for each in before if each.at_ms > call.at_ms - MINUTE_MS)
        if rule.cap_tokens is not None and taken > max(rule.cap_tokens, call.charge):
            yield f"{who}, the {taken} tokens of this minute being more than {rule.cap_tokens}"
        flying = sum(each.ended_ms is None or each.ended_ms > call.at_ms for each in before)
        if rule.inflight_max is not None and flying > rule.inflight_max:
            yield f"{who}, with {flying} in flight"
