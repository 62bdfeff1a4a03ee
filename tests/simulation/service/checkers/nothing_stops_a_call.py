"""While Redis is away, or one service tier has no capacity, the leader goes on: each call starts within a second and a
half.

Left out are requests on partitions that were added, which are found within half a minute, and those of that tier. A
request with an ordering key waits for the one before it, whatever its tier.
"""

import json
from collections.abc import Iterator

from tests.simulation.service.history import History
from tests.simulation.service.producers import Sent
from tests.simulation.service.scenario import SCARCE_TIER

WITHIN_S = 1.5
SETTLED_S = 1.0
"""After the first claim: by then the leader reads, and has its levels."""


def check(history: History) -> Iterator[str]:
    """A request that waited for its first call."""
    claims = history.claims()
    if not history.scenario.is_roomy or not claims:
        return
    called: dict[str, float] = {}
    for call in history.calls:
        called.setdefault(call.id, call.sent_s)
    first: dict[str, float] = {}
    unlike = {each.id for each in history.sent if _may_wait(history, each)}
    for each in history.sent:
        if each.id is not None and each.id not in unlike:
            first.setdefault(each.id, each.at_s)
    for name, at_s in first.items():
        if at_s > claims[0][0] + SETTLED_S and called.get(name, at_s + WITHIN_S + 1) > at_s + WITHIN_S:
            yield f"{name} was sent at {at_s:.3f} s and called at {called.get(name, -1):.3f} s"


def _may_wait(history: History, sent: Sent) -> bool:
    if sent.body is None or sent.partition >= history.scenario.partitions:
        return True
    if not history.scenario.faults.scarce:
        return False
    return sent.key is not None or json.loads(sent.body).get("service_tier") == SCARCE_TIER
