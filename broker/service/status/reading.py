"""The data between looking, judging and showing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from headrace.schemas.bounded_json import json_or_none

STALE_AFTER_S: Final = 5.0
"""A holder of the lease reports every second; after this time without a report it is no longer there to report."""

REPORT_CHARS_MAX: Final = 4 * 1024 * 1024
"""Length of a report in Redis that is read: ours has 3 KB for each limit. It is parsed in the event loop, once a second
while a page is open: one of 10 MB, which another program had left, held a loop up for 1.5 s."""

Said = Mapping[str, Any]
"""A status as `headrace.broker.service.status.status` makes it, of this release or of another.

Any field may be missing.
"""


@dataclass(frozen=True, slots=True)
class Report:
    """The status that one process reported of itself, or the absence of one.

    Attributes:
        said: Its status, or None.
        age_s: The age of the status; None without one.
        kind: `redis` or `url`.
        place: The lease's key, or the URL.
        holder: The present value of the lease; None if it is absent, or was not read.
        standbys: The number of processes that note that they could take over; None if it was not read.
        spoilt: Sentences on keys in Redis that something else has written over.
    """

    said: Said | None
    age_s: float | None
    kind: str
    place: str
    holder: str | None = None
    standbys: int | None = None
    spoilt: tuple[str, ...] = ()

    @property
    def is_stale(self) -> bool:
        """Whether the last report is too old."""
        return self.age_s is not None and self.age_s > STALE_AFTER_S


@dataclass(frozen=True, slots=True)
class StatusReading:
    """All that one call of the verb found; `remarks` say how it was found, if not as usual."""

    prefix: str
    dispatcher: Report
    retrier: Report | None = None
    remarks: tuple[str, ...] = ()


def read_report(text: str | None) -> Said | None:
    """Return the status that a process left in Redis; None: there is none, or it cannot be read as one."""
    told = None if text is None or len(text) > REPORT_CHARS_MAX else json_or_none(text)
    return told if isinstance(told, Mapping) else None
