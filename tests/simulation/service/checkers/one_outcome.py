"""Every request ends in exactly one outcome, and nobody gets one who has not asked.

Retention excuses an id of which it took a record: it may have no outcome. Two it never has. Whether an outcome under
an id that nobody chose tells of a conflict, `conflicts_are_told` looks at.
"""

from collections import Counter
from collections.abc import Iterator

from tests.simulation.service.history import History, Identity


def check(history: History) -> Iterator[str]:
    """Whoever has none, or more than one."""
    counts: Counter[Identity] = Counter((each["id"], each["run"]) for _, each in history.outcomes())
    yield from (f"{identity} has {count} outcomes" for identity, count in sorted(counts.items()) if count > 1)
    yield from (f"{identity} has no outcome" for identity in sorted(history.waiting()))
    wished = {each.id for each in history.sent if each.is_cancel}
    own = {(each["id"], 0) for _, each in history.outcomes() if each.get("submitted_id") is not None}
    strangers = {identity for identity in counts.keys() - history.asked() - own if identity[0] not in wished}
    yield from (f"{identity} has an outcome and was never asked for" for identity in sorted(strangers))
