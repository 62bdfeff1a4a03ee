"""While Redis is away the leader goes on: nothing is in the way of a call, and each starts within a second and a half.

Left out are requests on partitions that were added: those are found within half a minute.
"""

from collections.abc import Iterator

from tests.simulation.service.history import History

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
    grown = history.scenario.partitions
    unlike = {each.id for each in history.sent if each.body is None or each.partition >= grown}
    for each in history.sent:
        if each.id is not None and each.id not in unlike:
            first.setdefault(each.id, each.at_s)
    for name, at_s in first.items():
        if at_s > claims[0][0] + SETTLED_S and called.get(name, at_s + WITHIN_S + 1) > at_s + WITHIN_S:
            yield f"{name} was sent at {at_s:.3f} s and called at {called.get(name, -1):.3f} s"
