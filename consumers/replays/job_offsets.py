"""Progress of a job in a partition: an offset below which every dead letter has been considered, and a note beside it.

The note holds the instants of the pass's spans, whether it is done, and which dead letter was considered last: that one
reveals a topic that was made anew, whatever its length.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace.broker.errors import ProgressUnreadable
from headrace.broker.ports import StoredOffset
from headrace.consumers.replays.job import Pass, ReplayRequest
from headrace.schemas.instants import from_wire, to_wire

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """Progress in one partition.

    Attributes:
        offset: Everything below it has been considered: put back, or not to be.
        last: Offset and Kafka timestamp (ms) of the dead letter considered last; None: none was.
        is_done: Whether the pass was complete when this was written.
    """

    offset: int
    pass_: Pass
    last: tuple[int, int] | None = None
    is_done: bool = False

    def stored(self) -> StoredOffset:
        """Encode it as the group stores it."""
        note: dict[str, Any] = {
            "v": _VERSION,
            "begun": to_wire(self.pass_.begun),
            "since": None if self.pass_.since is None else to_wire(self.pass_.since),
            "until": None if self.pass_.until is None else to_wire(self.pass_.until),
            "last": self.last,
            "done": self.is_done,
        }
        return StoredOffset(self.offset, json.dumps(note, separators=(",", ":")))


def marks_in(stored: Mapping[int, StoredOffset], group: str) -> dict[int, Mark]:
    """Decode the marks of a job, by partition; none for a partition that it never came to.

    Raises:
        ProgressUnreadable: The note was written by another release, or by another program.
    """
    return {number: _mark(each, group) for number, each in stored.items() if each.offset >= 0}


def _mark(stored: StoredOffset, group: str) -> Mark:
    try:
        note = json.loads(stored.metadata)
        if note["v"] != _VERSION:
            raise ValueError  # noqa: TRY301  # all faults of a note are reported in one place
        last = note["last"]
        return Mark(
            stored.offset,
            Pass(from_wire(note["begun"]), _instant(note["since"]), _instant(note["until"])),
            None if last is None else (int(last[0]), int(last[1])),
            is_done=bool(note["done"]),
        )
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as reason:
        raise ProgressUnreadable(
            f"The group {group} holds no progress that this release can read: delete the group to start the replay "
            "over."
        ) from reason


def _instant(text: str | None) -> datetime | None:
    return None if text is None else from_wire(text)


def pass_of(asked: ReplayRequest, marks: Mapping[int, Mark], now: datetime) -> Pass:
    """Return the pass to make: the one that was interrupted, or a new one."""
    under_way = [mark.pass_ for mark in marks.values() if not mark.is_done]
    latest = max(under_way, key=lambda each: each.begun, default=None)
    return latest if latest is not None and latest.goes_on(now) else asked.begins(now)
