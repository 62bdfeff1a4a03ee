"""Protocol of what processes leave for people beside their leases in Redis; the page and `headrace status` read it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reported:
    """Result of one look below one lease key.

    Attributes:
        lease_key: The lease key.
        status: The JSON that was left, or None.
        age_s: Age of the status.
        holder: Content of the lease: a token, `released`, or None.
        standbys: Number of processes that note that they could take over; None if their index cannot be read.
        spoilt: For each key of another type than Headrace writes, a sentence that says so and gives the remedy.
    """

    lease_key: str
    status: str | None
    age_s: float | None
    holder: str | None
    standbys: int | None
    spoilt: tuple[str, ...] = ()


class StatusBoard(Protocol):
    """What the holders of the dispatchers' and the retriers' lease have left for people, and the number of standbys.

    Every method but `close` raises `headrace.broker.errors.LeaseUnavailable` when Redis does not answer, or refuses.
    """

    async def dispatcher(self) -> Reported:
        """Read what is below the dispatchers' lease."""

    async def retrier(self) -> Reported:
        """Read what is below the retriers' lease."""

    async def close(self) -> None:
        """Close the connection."""
