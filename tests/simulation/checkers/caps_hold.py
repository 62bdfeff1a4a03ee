"""No tenant is called for more tokens within any minute than its cap allows, nor has more calls in flight.

Process by process, for a successor does not know of its predecessor's last minute. A request above the cap goes when
nothing else was called within the minute. A call that took nothing, because it was refused or never came in, counts
until that is known.
"""

from collections.abc import Iterator

from tests.simulation.history import CallMade, History
from tests.simulation.upstream import Ending

MINUTE_MS = 60_000
UNTAKEN = {None, Ending.REFUSED, Ending.TOO_LARGE, Ending.UNKNOWN_KEY, Ending.NO_CAPACITY}


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
        taken = sum(_taken(each, call.at_ms) for each in before if each.at_ms > call.at_ms - MINUTE_MS)
        if rule.cap_tokens is not None and taken > max(rule.cap_tokens, call.charge):
            yield f"{who}, the {taken} tokens of this minute being more than {rule.cap_tokens}"
        flying = sum(each.ended_ms is None or each.ended_ms > call.at_ms for each in before)
        if rule.inflight_max is not None and flying > rule.inflight_max:
            yield f"{who}, with {flying} in flight"


def _taken(call: CallMade, now_ms: int) -> int:
    """Return the tokens that count of a call, as far as its process knows by now."""
    is_over = call.ended_ms is not None and call.ended_ms <= now_ms
    return 0 if is_over and call.ending in UNTAKEN else call.charge
