"""What was found: the shapes between looking, judging and showing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

STALE_AFTER_S: Final = 5.0
"""A holder of the lease reports every second; after so long without, it is not there to report."""

Said = Mapping[str, Any]
"""A status as `broker.service.status.status` makes it, of this release or of another: any field may be missing."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one process said of itself, or that nobody did.

    Attributes:
        said: Its status, or None.
        age_s: How long ago; None without a status.
        kind: `redis` or `url`.
        place: The lease's key, or the URL.
        holder: What stands in the lease now; None if it is absent, or nobody looked.
        standbys: How many note that they could take over; None: nobody looked.
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
        """Whether nobody has reported for too long."""
        return self.age_s is not None and self.age_s > STALE_AFTER_S


@dataclass(frozen=True, slots=True)
class Look:
    """All that one call of the verb found; `remarks` say how it was found, if not as usual."""

    prefix: str
    dispatcher: Report
    retrier: Report | None = None
    remarks: tuple[str, ...] = ()
