"""Error sentence for an unknown lane: the lanes that the topics show, and which of them was most likely meant.

A producer does not have the dispatchers' settings, so the lanes that it can know of are those with a topic in Kafka.
"""

from collections.abc import Iterable

from headrace.schemas.nearest import nearest, shown, there_is_no
from headrace.schemas.topics import lanes_among, prefixes_among, requests_topic

_CREATE = "`headrace topics create` adds those of the settings"


def no_such_lane(lane: str, prefix: str, topics: Iterable[str]) -> str:
    """Return a whole sentence; `topics` are all that Kafka shows."""
    seen = tuple(topics)
    if lanes := lanes_among(seen, prefix):
        said = there_is_no("lane", lane, lanes)
        return said if said.endswith("?") else f"{said.removesuffix('.')}: {_CREATE}."
    near = nearest(prefix, prefixes_among(seen))
    mend = f"did you mean the prefix {near}? If not, {_CREATE}." if near else f"{_CREATE}."
    return f"There is no lane {shown(lane)} and no other, since no topic {requests_topic(prefix, '…')} exists: {mend}"
